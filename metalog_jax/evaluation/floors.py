"""Floors: simple rules fitted on the very labels that the detector may see.

A detector that a floor beats has learned nothing that counting would not have
shown. Every floor but `lr_vectors*` knows a session by its bag of event ids alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import bags
from metalog_jax.detectors import spe

Scores = tuple[np.ndarray, float]  # [S] float64, threshold: anomalous if above

_NORMALS_QUIET = 0.99  # share of the labelled normals under one_class_knn's threshold


class Labelled(NamedTuple):
  """Labelled sessions as different bags; a bag may have both labels or none."""

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
  """A simple method that every detector is held against."""

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
  test = test._replace(vectors=np.asarray(test.vectors))
  asked = bags.bags(test.sessions, len(test.vectors))
  results: dict[str, Scores] = {'always': (np.ones(asked.counts.shape[0]), 0.5)}
  own = _labelled(train) if train is not None else None
  if own is not None and np.array_equal(train.vectors, test.vectors):
    for name, floor in FLOORS.items():
      if own.normals.any() and (own.anomalies.any() or not floor.needs_anomalies):
        results[name] = floor.fit_score(own, asked.counts)
  others = [labelled for source in sources if (labelled := _labelled(source))]
  features = bags.mean_and_max(asked.counts, test.vectors)
  for name, parts in _logistic_fits(own, others).items():
    if all(any(kind.any() for kind in kinds) for kinds in _kinds(parts)):
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
  return Labelled(found.counts, normals, anomalies, np.asarray(data.vectors))


def _logistic_fits(own, others):
  """name -> the labelled systems that a logistic regression is fitted on."""
  if own is None:
    return {'lr_vectors': others}
  pooled = {'lr_vectors_pooled': [own, *others]} if others else {}
  return {'lr_vectors': [own], **pooled}


def _kinds(parts):
  return [part.normals for part in parts], [part.anomalies for part in parts]


def _new_event(labelled, test):
  """How many different events no labelled normal session has."""
  known = np.asarray(labelled.normal.sum(axis=0)).ravel() > 0
  return test.sign() @ ~known, 0.5


def _new_counts(labelled, test):
  """Whether no labelled normal session has the same bag."""
  known = set(bags.row_keys(labelled.normal))
  return np.array([key not in known for key in bags.row_keys(test)], float), 0.5


def _known_anomalous_event(labelled, test):
  """How many different events labelled anomalies have and normals have not."""
  alert = np.asarray(labelled.anomalous.sum(axis=0)).ravel() > 0
  alert &= np.asarray(labelled.normal.sum(axis=0)).ravel() == 0
  return test.sign() @ alert, 0.5


def _knn_counts(labelled, test):
  """Distance to the nearest normal as a share of it and that to an anomaly."""
  normal = bags.distances(test, labelled.normal)
  anomaly = bags.distances(test, labelled.anomalous)
  both = normal + anomaly
  return np.divide(normal, both, out=np.full(len(both), 0.5), where=both > 0), 0.5


def _one_class_knn_counts(labelled, test):
  """Distance to the nearest normal; threshold from the normals themselves.

  Each labelled normal is judged by the others (a bag that two of them have is at
  distance 0); 99 % of them lie at or below the threshold.
  """
  own = bags.distances(labelled.normal, labelled.normal, leave_out=True)
  times = labelled.normals[labelled.normals > 0]
  own = np.where(times > 1, 0.0, own)
  threshold = np.quantile(own, _NORMALS_QUIET, weights=times, method='inverted_cdf')
  return bags.distances(test, labelled.normal), threshold


def _tree_counts(labelled, test):
  """A decision tree on counts, both classes weighing the same."""
  from sklearn import tree

  which, labels, times = _rows(labelled)
  model = tree.DecisionTreeClassifier(random_state=0)
  weights = _balanced(labels, times)
  model.fit(labelled.counts[which], labels, sample_weight=weights)
  return model.predict_proba(test)[:, 1], 0.5


def _rows(labelled):
  """Rows of `counts`, their labels, how many sessions each stands for."""
  normals, anomalies = labelled.normals > 0, labelled.anomalies > 0
  which = np.concatenate([np.flatnonzero(normals), np.flatnonzero(anomalies)])
  labels = np.repeat([0, 1], [normals.sum(), anomalies.sum()])
  times = np.concatenate([labelled.normals[normals], labelled.anomalies[anomalies]])
  return which, labels, times


def _balanced(labels, times):
  """Weights summing to 1 under which both classes weigh the same."""
  total = np.bincount(labels, times, 2)[labels]
  return times / total / len(np.unique(labels))


def _pca_counts(labelled, test):
  """Squared prediction error outside the normal sessions' principal subspace."""
  times = labelled.normals[labelled.normals > 0]
  return spe.fit_score(labelled.normal, times, test)


def _logistic(parts, features):
  """Logistic regression on standardized mean and max event vectors.

  Every system weighs the same, and so do both classes within a system.
  """
  from sklearn import linear_model, pipeline, preprocessing

  rows = [_rows(part) for part in parts]
  labels = np.concatenate([label for _, label, _ in rows])
  times = np.concatenate([time for _, _, time in rows])
  balanced = np.concatenate([_balanced(label, time) for _, label, time in rows])
  inputs = [
    bags.mean_and_max(part.counts, part.vectors)[which]
    for part, (which, _, _) in zip(parts, rows, strict=True)
  ]
  model = pipeline.make_pipeline(
    preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
  )
  model.fit(
    np.concatenate(inputs),
    labels,
    standardscaler__sample_weight=times,
    logisticregression__sample_weight=balanced * times.sum() / len(parts),
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
