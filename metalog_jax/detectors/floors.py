"""Floors: simple rules fitted on the very labels that the detector may see.

A detector that a floor beats has learned nothing that counting would not have
shown. Every floor but `lr_vectors*` knows a session by its bag of event ids alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.detectors import bags

Scores = tuple[np.ndarray, float]  # [S] float64, threshold: anomalous if above

_SPREAD_KEPT = 0.95  # share of the spectrum that PCA calls normal
_C_ALPHA = 3.2905  # normal deviate at 0.05 %
_NORMALS_QUIET = 0.99  # share of the labelled normals under one_class_knn's threshold


class Labelled(NamedTuple):
  """Labelled sessions as different bags; one bag may have both labels."""

  counts: Any  # [U, V] sparse
  normals: np.ndarray  # [U] how many normal sessions have this bag
  anomalies: np.ndarray  # [U]
  vectors: np.ndarray  # [V, D]

  @property
  def normal(self):
    return self.counts[self.normals > 0]

  @property
  def anomalous(self):
    return self.counts[self.anomalies > 0]


class Floor(NamedTuple):
  fit_score: Callable  # (labelled, test counts) -> scores [U], threshold
  needs_anomalies: bool


def scores(
  train: types.Dataset | None,
  test: types.Dataset,
  sources: Sequence[types.Dataset] = (),
) -> dict[str, Scores]:
  """Fit every floor that can be fitted and score the test sessions.

  Args:
    train: the target's sessions; labels -1 are not used. None: zero-shot.
    test: the sessions to score; their labels are not read. Floors that count
      events are absent unless its events are those of `train` (equal vectors).
    sources: labelled systems. With `train` they give `lr_vectors_pooled`; without
      any of its labels they are what `lr_vectors` is fitted on.

  Returns:
    name -> (scores [S], threshold), a session being anomalous above the threshold;
    a floor whose kinds of labels are missing is absent. `always` is never absent.
  """
  asked = bags.bags(test.sessions, len(test.vectors))
  results: dict[str, Scores] = {'always': (np.ones(asked.counts.shape[0]), 0.5)}
  own = _labelled(train) if train is not None else None
  if own is not None and np.array_equal(train.vectors, test.vectors):
    for name, floor in FLOORS.items():
      if own.normals.any() and (own.anomalies.any() or not floor.needs_anomalies):
        results[name] = floor.fit_score(own, asked.counts)
  others = [labelled for source in sources if (labelled := _labelled(source))]
  features = bags.mean_and_max(asked.counts, test.vectors)
  for name, parts in _logistic_fits(own, others):
    if any(part.normals.any() for part in parts):
      if any(part.anomalies.any() for part in parts):
        results[name] = _logistic(parts, features)
  return {
    name: (np.asarray(value, np.float64)[asked.inverse], float(threshold))
    for name, (value, threshold) in results.items()
  }


def _labelled(data: types.Dataset) -> Labelled | None:
  """The labelled part of a data set; None where nothing is labelled."""
  labels = data.sessions.labels
  if not (labels >= 0).any():
    return None
  found = bags.bags(data.sessions, len(data.vectors))
  num = found.counts.shape[0]
  normals = np.bincount(found.inverse[labels == 0], minlength=num)
  anomalies = np.bincount(found.inverse[labels == 1], minlength=num)
  kept = normals + anomalies > 0
  return Labelled(found.counts[kept], normals[kept], anomalies[kept], data.vectors)


def _logistic_fits(own, others):
  if own is None:
    return [('lr_vectors', others)]
  return [('lr_vectors', [own])] + [('lr_vectors_pooled', [own, *others])] * bool(
    others
  )


def _new_event(labelled, test):
  """How many different events no labelled normal session has."""
  known = np.asarray(labelled.normal.sum(axis=0)).ravel() > 0
  return (test > 0) @ ~known, 0.5


def _new_counts(labelled, test):
  """Whether no labelled normal session has the same bag."""
  known = set(bags.row_keys(labelled.normal))
  return np.array([key not in known for key in bags.row_keys(test)], float), 0.5


def _known_anomalous_event(labelled, test):
  """How many different events labelled anomalies have and normals have not."""
  alert = np.asarray(labelled.anomalous.sum(axis=0)).ravel() > 0
  alert &= np.asarray(labelled.normal.sum(axis=0)).ravel() == 0
  return (test > 0) @ alert, 0.5


def _knn_counts(labelled, test):
  """Distance to the nearest normal as a share of it and that to an anomaly."""
  normal = _distances(test, labelled.normal)
  anomaly = _distances(test, labelled.anomalous)
  both = normal + anomaly
  return np.divide(normal, both, out=np.full(len(both), 0.5), where=both > 0), 0.5


def _one_class_knn_counts(labelled, test):
  """Distance to the nearest normal; threshold from the normals themselves.

  Each labelled normal is judged by the others (a bag that two of them have is at
  distance 0); 99 % of them lie at or below the threshold.
  """
  own = _distances(labelled.normal, labelled.normal, leave_out=True)
  times = labelled.normals[labelled.normals > 0]
  own = np.where(times > 1, 0.0, own)
  threshold = np.quantile(own, _NORMALS_QUIET, weights=times, method='inverted_cdf')
  return _distances(test, labelled.normal), threshold


def _distances(rows, others, leave_out=False):
  """[U] Euclidean distance in log(1 + count) to the nearest of the others.

  With `leave_out`, the others are the rows, and none is its own neighbour; 0 where
  there is no other.
  """
  from sklearn import neighbors

  rows, others = rows.log1p(), others.log1p()
  if leave_out and others.shape[0] < 2:
    return np.zeros(rows.shape[0])
  search = neighbors.NearestNeighbors(n_neighbors=1 + leave_out, algorithm='brute')
  nearest = search.fit(others).kneighbors(rows, return_distance=False)
  if leave_out:
    is_self = nearest[:, 0] == np.arange(len(nearest))
    nearest = np.where(is_self, nearest[:, 1], nearest[:, 0])
  # Again and exactly: the search rounds, and equal bags must be at distance 0.
  apart = rows - others[nearest.ravel()]
  return np.sqrt(np.asarray(apart.multiply(apart).sum(axis=1)).ravel())


def _tree_counts(labelled, test):
  """A decision tree on counts, both classes weighing the same."""
  from sklearn import tree

  which, labels, weights = _rows(labelled)
  model = tree.DecisionTreeClassifier(random_state=0)
  model.fit(labelled.counts[which], labels, sample_weight=weights)
  return model.predict_proba(test)[:, 1], 0.5


def _rows(labelled):
  """Rows of `counts`, their labels, and weights that balance the two classes."""
  normals, anomalies = labelled.normals > 0, labelled.anomalies > 0
  which = np.concatenate([np.flatnonzero(normals), np.flatnonzero(anomalies)])
  labels = np.repeat([0, 1], [normals.sum(), anomalies.sum()])
  times = [labelled.normals[normals], labelled.anomalies[anomalies]]
  total = sum(part.sum() for part in times)
  weights = np.concatenate([part * total / (2 * max(part.sum(), 1)) for part in times])
  return which, labels, weights


def _pca_counts(labelled, test):
  """Squared prediction error outside the normal subspace of TF-IDF counts.

  idf_j = ln(n / n_j) over n normal sessions, C = X'X / n of the centred X = count
  idf, P = I - U U' for the leading eigenvectors U that keep 95 % of the spectrum:
  SPE = |P x|^2, anomalous above the Q statistic (Jackson and Mudholkar 1979):
  Q = φ1 [c √(2 φ2 h0²) / φ1 + 1 + φ2 h0 (h0 - 1) / φ1²]^(1 / h0),
  φ_i = Σ λ_j^i of the rest, h0 = 1 - 2 φ1 φ3 / (3 φ2²).

  References:
    Xu et al, Detecting large-scale system problems by mining console logs, SOSP
    2009; the counts of an event that no normal has weigh ln(n / 1e-8), as in the
    public re-implementation loglizer.
  """
  share = labelled.normals[labelled.normals > 0] / labelled.normals.sum()
  normal = labelled.normal
  idf = -np.log((normal > 0).T @ share + 1e-8 / labelled.normals.sum())
  mean = idf * (normal.T @ share)
  scaled = normal.multiply(idf).tocsr()
  cov = (scaled.T @ scaled.multiply(share[:, None])).toarray() - np.outer(mean, mean)
  spectrum, basis = np.linalg.eigh(cov)
  spectrum, basis = np.maximum(spectrum[::-1], 0), basis[:, ::-1]
  kept = np.searchsorted(np.cumsum(spectrum), _SPREAD_KEPT * spectrum.sum()) + 1
  centred = test.multiply(idf).toarray() - mean
  error = centred - centred @ basis[:, :kept] @ basis[:, :kept].T
  return (error**2).sum(axis=1), _q_statistic(spectrum[kept:])


def _q_statistic(rest):
  phi1, phi2, phi3 = (float((rest**power).sum()) for power in (1, 2, 3))
  if phi1 <= 1e-12:
    return 1e-9  # normals fill their subspace: what lies outside is rounding, or new
  h0 = 1 - 2 * phi1 * phi3 / (3 * phi2**2)
  root = _C_ALPHA * np.sqrt(2 * phi2 * h0**2) / phi1 + 1
  root += phi2 * h0 * (h0 - 1) / phi1**2
  if h0 <= 0 or root <= 0:  # outside the approximation: the sum's own normal one
    return phi1 + _C_ALPHA * np.sqrt(2 * phi2)
  return phi1 * root ** (1 / h0)


def _logistic(parts, features):
  """Balanced logistic regression on standardized mean and max event vectors."""
  from sklearn import linear_model, pipeline, preprocessing

  rows = [_rows(part) for part in parts]
  model = pipeline.make_pipeline(
    preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
  )
  weights = np.concatenate([weight for _, _, weight in rows])
  model.fit(
    np.concatenate(
      [
        bags.mean_and_max(part.counts, part.vectors)[which]
        for part, (which, _, _) in zip(parts, rows, strict=True)
      ]
    ),
    np.concatenate([label for _, label, _ in rows]),
    standardscaler__sample_weight=weights,
    logisticregression__sample_weight=weights,
  )
  return model.predict_proba(features)[:, 1], 0.5


FLOORS = {
  'new_event': Floor(_new_event, needs_anomalies=False),
  'new_counts': Floor(_new_counts, needs_anomalies=False),
  'known_anomalous_event': Floor(_known_anomalous_event, needs_anomalies=True),
  'knn_counts': Floor(_knn_counts, needs_anomalies=True),
  'one_class_knn_counts': Floor(_one_class_knn_counts, needs_anomalies=False),
  'tree_counts': Floor(_tree_counts, needs_anomalies=True),
  'pca_counts': Floor(_pca_counts, needs_anomalies=False),
}
