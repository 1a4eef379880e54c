"""The evidences that labelled anomalies give.

Labelled sessions are judged by models that were not fitted on them, as new ones are.

References:
  Geurts et al., Extremely randomized trees, Machine Learning 2006; Wolpert, Stacked
  generalization, Neural Networks 1992 (evidences as inputs, out of fold).
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy
from metalog_jax.evidence import evidences, forest, nearest, one_class
from metalog_jax.evidence import normals as normal_lib

linear_model = lazy.module('sklearn.linear_model')  # half a second that few need

NAMES = evidences.LABELLED
VOTES = (*NAMES, 'logistic')  # columns of `values`
EVENTS = 512  # that the models see, at most: those whose share differs most
ROWS = 2_000  # normal bags that they are fitted on, at most
FOLDS = 4


class Anomalies(NamedTuple):
  """Labelled anomalies, and the models that tell them from the normals."""

  counts: Any  # [A, V] csr
  bags: nearest.Index  # of the counts
  times: np.ndarray  # [A] sessions with each bag
  events: np.ndarray  # [E] that the models see
  models: tuple  # trees, event trees, logistic regression
  normal: np.ndarray  # [n, len(VOTES)] of the calibrating normals, out of fold
  own: np.ndarray  # [A, len(VOTES)] of the anomalies, out of fold


def fit(
  model: one_class.OneClass, counts: Any, times: np.ndarray, seed: int = 0
) -> Anomalies:
  """Learns what tells anomalies, bags [A, V] of `times` [A] sessions, from normals."""
  measured = model.measure(counts)
  features = one_class.features(model, measured.values)
  normal_features = one_class.features(model, model.values, own=True)
  normal_counts = model.normals.counts[model.rows]
  events = _telling(model, counts, times)
  table = np.concatenate(
    [
      _table(normal_counts, events, model.values, normal_features),
      _table(counts, events, measured.values, features),
    ]
  )
  label = np.repeat([0, 1], [len(normal_features), len(features)])
  weight = np.concatenate([model.weights, times]).astype(np.float64)
  chosen = np.ones(len(label), bool)
  rng = np.random.default_rng([seed, 12])
  if len(normal_features) > ROWS:  # the rest are judged by all
    chosen[: len(normal_features)] = False
    chosen[rng.choice(len(normal_features), ROWS, replace=False)] = True
  every = _models(table[chosen], label[chosen], weight[chosen], len(events))
  votes = _votes(every, table, len(events))
  fold = _folds(rng, label, int(times.sum()))
  for number in range(fold.max() + 1):
    # A bag with several copies is judged by the models that have seen it: so are
    # new sessions that are its copies.
    rows = np.flatnonzero((fold == number) & chosen & (weight == 1))
    others = chosen & (fold != number)
    votes[rows] = 0.0
    if len(rows) and len(np.unique(label[others])) == 2:
      part = _models(table[others], label[others], weight[others], len(events))
      votes[rows] = _votes(part, table[rows], len(events))
  bags = nearest.index(counts)
  self_skip = np.where(times == 1, np.arange(len(times)), -1)
  away = nearest.distances(bags, counts, self_skip)
  normal = _ratio(model.distances, nearest.distances(bags, normal_counts))
  # The only anomaly has no other one to be near to: it tells nothing.
  own = np.where(np.isnan(away), 0.0, _ratio(measured.distances, away))
  both = np.split(votes, [len(normal)])
  normal_votes = np.column_stack([normal, both[0]])
  own_votes = np.column_stack([own, both[1]])
  return Anomalies(counts, bags, times, events, every, normal_votes, own_votes)


def values(
  anomalies: Anomalies,
  counts: Any,
  measured: normal_lib.Measured,
  features: np.ndarray,
) -> np.ndarray:
  """[m, len(VOTES)] of bags [m, V].

  Args:
    measured: the bags against the normals.
    features: [m, F] of `one_class`.
  """
  out = np.empty((counts.shape[0], len(VOTES)))
  num, events = len(anomalies.events), anomalies.events
  out[:, 0] = _ratio(measured.distances, nearest.distances(anomalies.bags, counts))
  for block in nearest.blocks(len(out), num):
    rows = counts[block]
    table = _table(rows, events, measured.values[block], features[block])
    out[block, 1:] = _votes(anomalies.models, table, num)
  return out


def _ratio(normal: np.ndarray, anomaly: np.ndarray) -> np.ndarray:
  return np.log((normal + one_class.SOFT) / (anomaly + one_class.SOFT))


def _telling(model: one_class.OneClass, counts: Any, times: np.ndarray) -> np.ndarray:
  """The events whose share of holders differs most between the classes."""
  normal = model.normals.holders / model.normals.total
  anomalous = (counts.sign().T @ times) / times.sum()
  seen = np.flatnonzero(normal + anomalous)
  order = np.argsort(-np.abs(normal - anomalous)[seen], kind='stable')
  return np.sort(seen[order[:EVENTS]])


def _table(counts: Any, events: np.ndarray, measured, features) -> np.ndarray:
  """[m, E + M + F]: log counts, what was measured, and the evidences of it, but for
  what is beside counts.

  Trees have no evidence: with one left out, equal sessions differ a little there.
  """
  logs = counts[:, events].log1p().toarray()
  measured = np.log1p(measured[:, : len(normal_lib.NAMES)])
  features = features[:, : len(evidences.COUNTED)]
  return np.concatenate([logs, measured, features], axis=1).astype(np.float32)


def _folds(rng, label: np.ndarray, num: int) -> np.ndarray:
  fold = np.empty(len(label), int)
  for value in (0, 1):
    rows = np.flatnonzero(label == value)
    fold[rng.permutation(rows)] = np.arange(len(rows)) % min(FOLDS, max(2, num))
  return fold


def _models(table, label, weight, num: int) -> tuple:
  """Fitted on balanced classes: trees on all but evidences and on events, and a
  logistic regression on evidences."""
  balanced = weight / np.bincount(label, weight)[label]
  logistic = linear_model.LogisticRegression(max_iter=200)
  everything, events, evidences = _inputs(table, num)
  return (
    forest.grow(everything, label, balanced),
    forest.grow(events, label, balanced),
    logistic.fit(evidences, label, sample_weight=balanced * len(label)),
  )


def _votes(models: tuple, table: np.ndarray, num: int) -> np.ndarray:
  """[m, 3]: 2 P(anomaly) - 1 of both forests, log-odds of the logistic regression."""
  trees, event_trees, logistic = models
  everything, events, evidences = _inputs(table, num)
  return np.stack(
    [
      2 * forest.probabilities(trees, everything) - 1,
      2 * forest.probabilities(event_trees, events) - 1,
      logistic.decision_function(evidences),
    ],
    axis=1,
  )


def _inputs(table: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  last = num + len(normal_lib.NAMES)
  return table[:, :last], table[:, :num], table[:, last:]
