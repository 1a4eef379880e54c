"""Whether two methods' F1 differ by more than chance, on the same sessions.

A paired randomization test: were the methods alike, each session's two verdicts could
as well be exchanged. Log sessions repeat, and repeats are no new evidence: sessions to
which both methods give the same two scores, as they do to equal sequences, are
exchanged together.

References:
  Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989; Yeh, More accurate
  tests for the statistical significance of result differences, COLING 2000 (for F1).
  Holm, A simple sequentially rejective multiple test procedure, 1979.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import errors

ROUNDS = 4999  # exchanges drawn: the least p is 1 / 5000
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


class _Pair(NamedTuple):
  """One seed. Clusters where both say the same are left out of `moves`."""

  totals: np.ndarray  # [2, 2] hits and alarms, of the first and of the second
  moves: np.ndarray  # [C, 2] what the first gains when cluster C is exchanged
  anomalies: int


def compare(pairs: Sequence[tuple[Judged, Judged]], seed: int = 0) -> Difference:
  """Tests the mean over seeds of the difference in F1.

  Args:
    pairs: for each seed, both methods' verdicts on test sets that overlap.
    seed: of the exchanges.

  Raises:
    UserError: no pairs, or two that share no anomaly.
  """
  if not pairs:
    raise errors.UserError('no seed that both methods were run with')
  seeds = [_pair(*pair) for pair in pairs]
  each = [float(_difference(p, np.zeros((1, 2)))[0]) for p in seeds]
  rng, extreme = np.random.default_rng(seed), 0
  least = abs(np.mean(each)) - 1e-12
  for start in range(0, ROUNDS, _CHUNK):
    num = min(_CHUNK, ROUNDS - start)
    drawn = [_difference(p, _exchange(rng, p, num)) for p in seeds]
    extreme += int((np.abs(np.mean(drawn, 0)) >= least).sum())
  return Difference(each, (1 + extreme) / (1 + ROUNDS))


def _pair(first: Judged, second: Judged) -> _Pair:
  _, a, b = np.intersect1d(
    first.ids.astype(str), second.ids.astype(str), return_indices=True
  )
  labels = first.labels[a] == 1
  if not labels.any():
    raise errors.UserError('the methods were tested on no anomaly in common')
  scores = np.stack([first.scores[a], second.scores[b]])
  says = scores > np.array([[first.threshold], [second.threshold]])
  _, cluster = np.unique(scores, axis=1, return_inverse=True)
  cluster = cluster.ravel()
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
