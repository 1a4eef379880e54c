"""Floors: simple rules fitted on the very labels that the detector may see.

A detector that a floor beats has learned nothing that counting would not have
shown. Every floor but `lr_vectors*` knows a session by its bag of event ids alone.
Which floor a result is held against is picked before any score is seen (`PICKED`).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy, types
from metalog_jax.batches import bags
from metalog_jax.detectors import spe
from metalog_jax.evaluation import bag_rules
from metalog_jax.evaluation.bag_rules import Scores

linear_model = lazy.module('sklearn.linear_model')
pipeline = lazy.module('sklearn.pipeline')
preprocessing = lazy.module('sklearn.preprocessing')
tree = lazy.module('sklearn.tree')

# The floor picked beforehand is the first of these that there is: by which labels there
# are, not by scores.
PICKED = ('tree_counts', 'new_event_or_length', 'kth_unlabelled_10', 'always')
_MOST_BAGS = 10_000  # above this, no floor compares all test sessions with each other


class Labelled(NamedTuple):
  """Labelled sessions as different bags; a bag may have both labels or none."""

  counts: Any  # [U, V] sparse
  normals: np.ndarray  # [U] how many normal sessions have this bag
  anomalies: np.ndarray  # [U]
  vectors: np.ndarray  # [V, D]

  @property
  def normal(self) -> Any:
    return self.counts[self.normals > 0]

  @property
  def normal_bags(self) -> bag_rules.Normals:
    return bag_rules.Normals(self.normal, self.normals[self.normals > 0])

  @property
  def anomalous(self) -> Any:
    return self.counts[self.anomalies > 0]

  @property
  def has_both(self) -> bool:
    return bool(self.normals.any() and self.anomalies.any())

  def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of `counts`, their labels, and how many sessions each stands for."""
    kinds = (self.normals, self.anomalies)
    which = [np.flatnonzero(times) for times in kinds]
    labels = np.repeat([0, 1], [len(rows) for rows in which])
    times = np.concatenate([times[rows] for times, rows in zip(kinds, which)])
    return np.concatenate(which), labels, times


def scores(
  train: types.Dataset | None,
  test: types.Dataset,
  sources: Sequence[types.Dataset] = (),
) -> dict[str, Scores]:
  """Fits every floor that can be fitted and scores the test sessions.

  Args:
    train: the target's sessions; labels -1 are not used. None: zero-shot.
    test: the sessions to score; their labels are not read. Floors that count
      events are absent unless its events are those of `train` (equal vectors).
    sources: labelled systems. With `train` they give `lr_vectors_pooled`; without
      any of its labels they are what `lr_vectors` is fitted on.

  Returns:
    name -> (scores [S], threshold), a session being anomalous above the threshold;
    a floor whose kinds of labels are missing is absent, and so are `kth_unlabelled_*`
    above 10,000 different bags. `always` is never absent, and alone without a test.
  """
  if not test.sessions.num:  # all are learned from, for logs that are to come
    return {'always': (np.zeros(0), 0.5)}
  tested = bags.bags(test.sessions, len(test.vectors))
  results: dict[str, Scores] = {'always': (np.ones(tested.counts.shape[0]), 0.5)}
  if 1 < tested.counts.shape[0] <= _MOST_BAGS:
    results |= {name: fit(tested) for name, fit in FLOORS_WITHOUT_LABELS.items()}
  target = _labelled(train) if train is not None else None
  if train and target and np.array_equal(train.vectors, test.vectors):
    fits = FLOORS if target.normals.any() else {}
    fits = fits | FLOORS_OF_BOTH if target.has_both else fits
    results |= {name: fit(target, tested.counts) for name, fit in fits.items()}
  others = [labelled for source in sources if (labelled := _labelled(source))]
  systems = {'lr_vectors': others if target is None else [target]}
  if target is not None and others:
    systems['lr_vectors_pooled'] = [target, *others]
  features = bags.mean_and_max(tested.counts, test.vectors)
  for name, parts in systems.items():
    kinds = [part.normals for part in parts], [part.anomalies for part in parts]
    if all(any(times.any() for times in kind) for kind in kinds):
      results[name] = _logistic(parts, features)
  return {
    name: (np.asarray(value, np.float64)[tested.inverse], float(threshold))
    for name, (value, threshold) in results.items()
  }


def _labelled(data: types.Dataset) -> Labelled | None:
  """The labelled part of a data set; None where nothing is labelled."""
  labels = data.sessions.labels
  if not (labels >= 0).any():
    return None
  different = bags.bags(data.sessions, len(data.vectors))
  num = different.counts.shape[0]
  normals, anomalies = (
    np.bincount(different.inverse[labels == label], minlength=num) for label in (0, 1)
  )
  return Labelled(different.counts, normals, anomalies, np.asarray(data.vectors))


def _new_event(labelled: Labelled, test) -> Scores:
  """How many different events no labelled normal session has."""
  return test.sign() @ ~bag_rules.known_events(labelled.normal), 0.5


def _new_counts(labelled: Labelled, test) -> Scores:
  """Whether no labelled normal session has the same bag."""
  known = set(bags.row_keys(labelled.normal))
  return np.array([key not in known for key in bags.row_keys(test)], float), 0.5


def _known_anomalous_event(labelled: Labelled, test) -> Scores:
  """How many different events labelled anomalies have and normals have not."""
  alert = bag_rules.known_events(labelled.anomalous)
  return test.sign() @ (alert & ~bag_rules.known_events(labelled.normal)), 0.5


def _knn_counts(labelled: Labelled, test) -> Scores:
  """Distance to the nearest normal as a share of it and that to an anomaly."""
  normal = bags.distances(test, labelled.normal)
  anomaly = bags.distances(test, labelled.anomalous)
  both = normal + anomaly
  return np.divide(normal, both, out=np.full(len(both), 0.5), where=both > 0), 0.5


def _one_class_knn(labelled: Labelled, test, share: float) -> Scores:
  """Distance to the nearest normal; threshold from the normals themselves.

  Each labelled normal is judged by the others (a bag that two of them have is at
  distance 0); the share of them lies at or below the threshold.
  """
  normals = labelled.normal_bags
  distances = bags.distances(normals.counts, normals.counts, leave_out=True)
  threshold = normals.quantile(np.where(normals.times > 1, 0.0, distances), share)
  return bags.distances(test, normals.counts), threshold


def _tree_counts(labelled: Labelled, test) -> Scores:
  """A decision tree on counts, both classes weighing the same."""
  which, labels, times = labelled.rows()
  model = tree.DecisionTreeClassifier(random_state=0)
  weights = _balanced(labels, times)
  model.fit(labelled.counts[which], labels, sample_weight=weights)
  return model.predict_proba(test)[:, 1], 0.5


def _balanced(labels: np.ndarray, times: np.ndarray) -> np.ndarray:
  """Weights summing to 1 under which both classes weigh the same."""
  total = np.bincount(labels, times, 2)[labels]
  return times / total / len(np.unique(labels))


def _pca_counts(labelled: Labelled, test) -> Scores:
  """Squared prediction error outside the normal sessions' principal subspace."""
  return spe.fit_score(*labelled.normal_bags, test)


def _logistic(parts: Sequence[Labelled], features: np.ndarray) -> Scores:
  """Logistic regression on standardized mean and max event vectors.

  Every system weighs the same, and so do both classes within a system.
  """
  rows = [part.rows() for part in parts]
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


def _of_normals(rule: Callable[..., Scores], **options: Any) -> Callable[..., Scores]:
  return lambda labelled, test: rule(labelled.normal_bags, test, **options)


FLOORS: dict[str, Callable] = {  # (labelled, test counts) -> scores [U], threshold
  'new_event': _new_event,
  'new_event_or_length': _of_normals(bag_rules.new_event_or_length),
  'new_counts': _new_counts,
  'one_class_knn_counts': functools.partial(_one_class_knn, share=0.99),
  'one_class_knn_995': functools.partial(_one_class_knn, share=0.995),
  'one_class_knn_max': functools.partial(_one_class_knn, share=1.0),
  'ecvc': _of_normals(bag_rules.ecvc),
  'ecvc_or_new': _of_normals(bag_rules.ecvc, or_new=True),
  'rarity': _of_normals(bag_rules.rarity),
  'pca_counts': _pca_counts,
}
FLOORS_OF_BOTH: dict[str, Callable] = {  # those that need labelled anomalies as well
  'known_anomalous_event': _known_anomalous_event,
  'knn_counts': _knn_counts,
  'match_or_nearest': lambda labelled, test: bag_rules.match_or_nearest(
    labelled.counts, labelled.normals, labelled.anomalies, test
  ),
  'tree_counts': _tree_counts,
}
FLOORS_WITHOUT_LABELS: dict[str, Callable] = {  # test bags -> scores [U], threshold
  'kth_unlabelled_10': functools.partial(bag_rules.kth_nearest, share=0.10),
  'kth_unlabelled_5': functools.partial(bag_rules.kth_nearest, share=0.05),
}
