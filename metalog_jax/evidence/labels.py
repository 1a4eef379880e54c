"""The evidences that labelled anomalies give.

Labelled sessions are judged by models that were not fitted on them, as new ones are.

References:
  Geurts et al., Extremely randomized trees, Machine Learning 2006; Wolpert, Stacked
  generalization, Neural Networks 1992 (evidences as inputs, out of fold).
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax.evidence import evidences, forest, nearest, one_class
from metalog_jax.evidence import normals as normal_lib

NAMES = evidences.LABELLED
EVENTS = 512  # that the models see, at most: those whose share differs most
ROWS = 1_000  # normal bags that they are fitted on, at most
FOLDS = 4
SURE = 2.0  # standard errors by which other trees must be better


class Anomalies(NamedTuple):
  """Labelled anomalies, and the models that tell them from the normals."""

  counts: Any  # [A, V] csr
  bags: nearest.Index  # of the counts
  times: np.ndarray  # [A] sessions with each bag
  events: np.ndarray  # [E] that the models see
  models: tuple  # trees, event trees
  normal: np.ndarray  # [n, len(NAMES)] of the calibrating normals, out of fold
  own: np.ndarray  # [A, len(NAMES)] of the anomalies, out of fold


class Grown(NamedTuple):
  """Trees and event trees, and what they say of the labelled sessions."""

  models: tuple
  votes: np.ndarray  # [r, 2], of those that are no copies out of fold


def fit(
  model: one_class.OneClass, counts: Any, times: np.ndarray, seed: int = 0
) -> Anomalies:
  """Learns what tells anomalies, bags [A, V] of `times` [A] sessions, from normals.

  Trees look at some inputs at every node, which serves few labels best. Where hundreds
  of events tell nothing the one that does is hardly among these: trees that look at all
  of them take their place if the labelled sessions, out of fold, say so for sure.
  """
  measured = model.measure(counts)
  normal_counts = model.normals.counts[model.rows]
  events = _telling(model, counts, times)
  table = np.concatenate(
    [
      _table(normal_counts, events, model.values),
      _table(counts, events, measured.values),
    ]
  )
  label = np.repeat([0, 1], [len(model.rows), len(times)])
  weight = np.concatenate([model.weights, times]).astype(np.float64)
  chosen = np.ones(len(label), bool)
  rng = np.random.default_rng([seed, 12])
  if len(model.rows) > ROWS:  # the rest are judged by all
    chosen[: len(model.rows)] = False
    chosen[rng.choice(len(model.rows), ROWS, replace=False)] = True
  fold = np.where(chosen, _folds(rng, label, int(times.sum())), -1)
  usual, greedy = (
    _grown(table, label, weight, fold, len(events), share)
    for share in (forest.LOOKED_AT, 1.0)
  )
  alone = chosen & (weight == 1)
  better = _surely_better(greedy.votes, usual.votes, label, alone)
  every = tuple(y if x else z for x, y, z in zip(better, greedy.models, usual.models))
  votes = np.where(better, greedy.votes, usual.votes)
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
  anomalies: Anomalies, counts: Any, measured: normal_lib.Measured
) -> np.ndarray:
  """[m, len(NAMES)] of bags [m, V].

  Args:
    measured: the bags against the normals.
  """
  out = np.empty((counts.shape[0], len(NAMES)))
  num, events = len(anomalies.events), anomalies.events
  out[:, 0] = _ratio(measured.distances, nearest.distances(anomalies.bags, counts))
  for block in nearest.blocks(len(out), num):
    rows = counts[block]
    table = _table(rows, events, measured.values[block])
    out[block, 1:] = _votes(anomalies.models, table, num)
  return out


def unlike(learned: np.ndarray, num: float) -> np.ndarray:
  """[m] what is taken back of the evidence `learned` [m] from `num` labelled anomalies.

  Were none of them unlike the others, the next one would be with probability
  1 / (num + 2) (Laplace). Of such an anomaly nothing has been learned, so that odds
  fall by no more than that, however unlike all labelled anomalies a session is.
  """
  share = 1 / (num + 2)
  return np.logaddexp(np.log(share), np.log1p(-share) + learned) - learned


def _grown(table, label, weight, fold, num: int, share: float) -> Grown:
  """Models of the rows [r] that are in a fold, and what they say of all.

  Args:
    fold: [r] -1 for none; num: of events; share: see `forest.grow`.
  """
  chosen = fold >= 0
  every = _models(table[chosen], label[chosen], weight[chosen], num, share)
  votes = _votes(every, table, num)
  for number in range(fold.max() + 1):
    # A bag with several copies is judged by the models that have seen it: so are
    # new sessions that are its copies.
    rows = np.flatnonzero((fold == number) & (weight == 1))
    others = chosen & (fold != number)
    votes[rows] = 0.0
    if len(rows) and len(np.unique(label[others])) == 2:
      part = _models(table[others], label[others], weight[others], num, share)
      votes[rows] = _votes(part, table[rows], num)
  return Grown(every, votes)


def _surely_better(new, old, label: np.ndarray, alone: np.ndarray) -> np.ndarray:
  """[2] whether votes `new` [r, 2] err less than `old`, by SURE standard errors.

  That is in squares, both classes weighing the same, by the rows `alone` [r].
  """
  sign = 2 * label[:, None] - 1
  gain = (1 - sign * old) ** 2 - (1 - sign * new) ** 2
  both = [gain[alone & (label == value)] for value in (0, 1)]
  if min(map(len, both)) < 2:
    return np.zeros(2, bool)
  error = np.sqrt(sum(x.var(axis=0, ddof=1) / len(x) for x in both))
  return sum(x.mean(axis=0) for x in both) > SURE * error


def _ratio(normal: np.ndarray, anomaly: np.ndarray) -> np.ndarray:
  return np.log((normal + one_class.SOFT) / (anomaly + one_class.SOFT))


def _telling(model: one_class.OneClass, counts: Any, times: np.ndarray) -> np.ndarray:
  """The events whose share of holders differs most between the classes."""
  normal = model.normals.holders / model.normals.total
  anomalous = (counts.sign().T @ times) / times.sum()
  seen = np.flatnonzero(normal + anomalous)
  order = np.argsort(-np.abs(normal - anomalous)[seen], kind='stable')
  return np.sort(seen[order[:EVENTS]])


def _table(counts: Any, events: np.ndarray, measured: np.ndarray) -> np.ndarray:
  """[m, E + M]: log counts, and what was measured of counts.

  No evidences: with one left out, equal sessions differ a little there.
  """
  logs = counts[:, events].log1p().toarray()
  measured = np.log1p(measured[:, : len(normal_lib.NAMES)])
  return np.concatenate([logs, measured], axis=1).astype(np.float32)


def _folds(rng, label: np.ndarray, num: int) -> np.ndarray:
  fold = np.empty(len(label), int)
  for value in (0, 1):
    rows = np.flatnonzero(label == value)
    fold[rng.permutation(rows)] = np.arange(len(rows)) % min(FOLDS, max(2, num))
  return fold


def _models(table, label, weight, num: int, share: float) -> tuple:
  """Trees on balanced classes: on everything, and on events alone."""
  balanced = weight / np.bincount(label, weight)[label]
  return tuple(forest.grow(x, label, balanced, share) for x in _inputs(table, num))


def _votes(models: tuple, table: np.ndarray, num: int) -> np.ndarray:
  """[m, 2]: 2 P(anomaly) - 1 of both forests."""
  both = zip(models, _inputs(table, num))
  return np.stack([2 * forest.probabilities(*pair) - 1 for pair in both], axis=1)


def _inputs(table: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
  return table, table[:, :num]
