"""Whether two methods' F1 differ by more than chance, on the same sessions; how far.

A paired randomization test: were the methods alike, each session's two verdicts could
as well be exchanged. Log sessions repeat, and repeats are no new evidence: sessions to
which both methods give the same two scores, as they do to equal sequences, are
exchanged together.

References:
  Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989; Yeh, More accurate
  tests for the statistical significance of result differences, COLING 2000 (for F1).
  Holm, A simple sequentially rejective multiple test procedure, 1979.
  Rubin, The Bayesian bootstrap, Annals of Statistics 9, 1981.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from metalog_jax import errors

ROUNDS = 4999  # exchanges drawn: the least p is 1 / 5000
RESAMPLES = 2000  # of the interval
_CHUNK = 250


class Judged(NamedTuple):
  """One run's verdicts."""

  ids: np.ndarray  # [S] of str
  labels: np.ndarray  # [S] 0 or 1
  scores: np.ndarray  # [S]
  threshold: float


class Difference(NamedTuple):
  """First method less second."""

  each: list[float]  # F1, by seed, on the sessions that both judged
  p: float  # two-sided
  interval: tuple[float, float] | None = None  # of 95 %, of the mean of `each`


class _Shared(NamedTuple):
  """What both methods said of the sessions that both judged."""

  ids: np.ndarray  # [S] of str
  anomalous: np.ndarray  # [S] bool
  flagged: np.ndarray  # [2, S] bool
  cluster: np.ndarray  # [S] int: equal where both scores are


class _Pair(NamedTuple):
  """One seed. Clusters where both say the same are left out of `moves`."""

  totals: np.ndarray  # [2, 2] hits and alarms, of the first and of the second
  moves: np.ndarray  # [C, 2] what the first gains when cluster C is exchanged
  anomalies: int


def compare(
  pairs: Sequence[tuple[Judged, Judged]], seed: int = 0, intervals: bool = False
) -> Difference:
  """Tests the mean over seeds of the difference in F1.

  Args:
    pairs: for each seed, both methods' verdicts on test sets that overlap.
    seed: of the exchanges, and of the resampling.
    intervals: whether the interval is asked for. It is a bootstrap over seeds and, in
      all seeds alike, a Bayesian one over clusters of sessions: a session is of the
      cluster that it has in the first seed that tests it. Of few seeds it comes out
      too narrow; of one it is about the sessions alone.

  Raises:
    UserError: no pairs, or two that share no anomaly.
  """
  if not pairs:
    raise errors.UserError('no seed that both methods were run with')
  shared = [_shared(*pair) for pair in pairs]
  seeds = [_pair(one) for one in shared]
  each = [float(_difference(p, np.zeros((1, 2)))[0]) for p in seeds]
  rng, extreme = np.random.default_rng(seed), 0
  least = abs(np.mean(each)) - 1e-12
  for start in range(0, ROUNDS, _CHUNK):
    num = min(_CHUNK, ROUNDS - start)
    drawn = [_difference(p, _exchange(rng, p, num)) for p in seeds]
    extreme += int((np.abs(np.mean(drawn, 0)) >= least).sum())
  limits = _interval(shared, rng) if intervals else None
  return Difference(each, (1 + extreme) / (1 + ROUNDS), limits)


def _interval(seeds: Sequence[_Shared], rng: np.random.Generator):
  """The interval of `compare`."""
  starts = np.cumsum([0, *(one.cluster.max() + 1 for one in seeds)])
  clusters = [one.cluster + start for one, start in zip(seeds, starts)]
  ids = np.concatenate([one.ids for one in seeds]).astype(str)
  frame = pl.DataFrame({'id': ids, 'cluster': np.concatenate(clusters)})
  first = frame.select(pl.col('cluster').first().over('id')).to_series().to_numpy()
  parts = np.split(first, np.cumsum([len(one.ids) for one in seeds])[:-1])
  table = np.concatenate(
    [_counts(one, part, starts[-1]) for one, part in zip(seeds, parts, strict=True)],
    axis=1,
  )  # [clusters, seeds * 5]
  table = table[table.any(axis=1)].astype(np.float32)
  means = []
  for _ in range(0, RESAMPLES, _CHUNK):
    drawn = rng.standard_exponential((_CHUNK, len(table)), np.float32) @ table
    hits, alarms, other_hits, other_alarms, anomalies = np.moveaxis(
      drawn.reshape(_CHUNK, len(seeds), 5), 2, 0
    )
    f1 = 2 * hits / np.maximum(alarms + anomalies, 1e-9)
    other = 2 * other_hits / np.maximum(other_alarms + anomalies, 1e-9)
    chosen = rng.integers(0, len(seeds), (_CHUNK, len(seeds)))
    means.append(np.take_along_axis(f1 - other, chosen, 1).mean(axis=1))
  low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
  return float(low), float(high)


def _counts(shared: _Shared, cluster: np.ndarray, num: int) -> np.ndarray:
  """[num, 5] hits and alarms of both methods, anomalies, of every cluster."""
  count = lambda chosen: np.bincount(cluster[chosen], minlength=num)
  first, second = shared.flagged
  sets = (first & shared.anomalous, first, second & shared.anomalous, second)
  return np.stack([count(chosen) for chosen in (*sets, shared.anomalous)], axis=1)


def _shared(first: Judged, second: Judged) -> _Shared:
  """Raises UserError where no anomaly was judged by both."""
  ids, a, b = first.ids, slice(None), slice(None)
  if not np.array_equal(first.ids, second.ids):
    ids, a, b = np.intersect1d(
      first.ids.astype(str), second.ids.astype(str), return_indices=True
    )
  anomalous = first.labels[a] == 1
  if not anomalous.any():
    raise errors.UserError('the methods were tested on no anomaly in common')
  scores = np.stack([first.scores[a], second.scores[b]])
  flagged = scores > np.array([[first.threshold], [second.threshold]])
  _, cluster = np.unique(scores, axis=1, return_inverse=True)
  return _Shared(ids, anomalous, flagged, cluster.ravel())


def _pair(shared: _Shared) -> _Pair:
  _, labels, says, cluster = shared
  gain = says[1].astype(int) - says[0]
  moves = np.stack(
    [np.bincount(cluster, gain * is_it) for is_it in (labels, ~labels)], -1
  )
  totals = np.array([[(s & labels).sum(), (s & ~labels).sum()] for s in says])
  return _Pair(totals, moves[np.any(moves != 0, -1)], int(labels.sum()))


def _exchange(rng: np.random.Generator, pair: _Pair, num: int) -> np.ndarray:
  """[num, 2] hits and alarms that go from the second to the first."""
  return rng.integers(0, 2, (num, len(pair.moves))).astype(float) @ pair.moves


def _difference(pair: _Pair, moved: np.ndarray) -> np.ndarray:
  """[num] F1 of the first less F1 of the second, after `moved` [num, 2]."""
  f1 = lambda counts: 2 * counts[:, 0] / (counts.sum(1) + pair.anomalies)
  return f1(pair.totals[0] + moved) - f1(pair.totals[1] - moved)


def holm(p: Sequence[float]) -> list[float]:
  """p of several tests, adjusted for being several.

  >>> holm([0.01, 0.04, 0.03])
  [0.03, 0.06, 0.06]
  """
  order, adjusted, highest = np.argsort(p, kind='stable'), [0.0] * len(p), 0.0
  for rank, index in enumerate(order):
    highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
    adjusted[index] = highest
  return adjusted
