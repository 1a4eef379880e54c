"""Sessions without any label, anomalies among them: which are unlike the crowd?

  result = evidence.unlabelled(counts, times)
  result.scores > result.threshold  # the verdict on each bag
  result.parts  # [U, 8] columns as in unlabelled.NAMES; a row sums to its score

First every session is held against all others: how far is the crowd (the k-th nearest
session, k = 5 % of them), how rare is its rarest event? The four fifths that are least
odd then serve as normals, and the evidences of `one_class` are added up.

References:
  Ramaswamy et al., Efficient algorithms for mining outliers from large data sets,
  SIGMOD 2000 (k-th nearest); Rousseeuw and Van Driessen, A fast algorithm for the
  minimum covariance determinant estimator, Technometrics 1999 (fit again on the bulk);
  Rényi, On the theory of order statistics, Acta Math. Hung. 1953 (spacings).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from metalog_jax.evidence import evidences, nearest, one_class, pvalues

CROWD = 0.05  # share of the sessions that make a crowd
BULK = 0.8  # share of the sessions that serve as normals
MOST_ALERTS, LEAST_ALERTS = 0.15, 0.005  # share of the sessions above the threshold
WIDEST = 1 / 3  # probability that the widest gap is the right cut
MOST_CUTS = 2000  # gaps that are compared
WEIGHTS = (1.0, 1 / 6)  # of the crowd's distance, of the rarest event
BULK_WEIGHTS = (1 / 6, 1 / 2, 1 / 2, 1 / 6, 0.0, 0.0, 1 / 6)  # of evidences.COUNTED
NAMES = ('crowd', 'rarest_event', *evidences.COUNTED)


class Unlabelled(NamedTuple):
  """What was found; U different bags."""

  scores: np.ndarray  # [U] higher is odder
  threshold: float  # a bag with a score above it is called anomalous
  parts: np.ndarray  # [U, len(NAMES)] the evidences; a score is the sum of its row
  p_values: np.ndarray  # [U] share of the sessions that are at least as odd


def unlabelled(counts: Any, times: np.ndarray | None = None) -> Unlabelled:
  """Scores sessions of which no label is known.

  Args:
    counts: [U, V] how often each event is in each bag: dense or scipy.sparse. Equal
      rows may be given once, with their number in `times`.
    times: [U] sessions with each bag; None: one.

  Raises:
    ValueError: a count is negative or not finite.
  """
  counts = sparse.csr_matrix(counts, dtype=np.float64)
  times = np.ones(counts.shape[0]) if times is None else np.asarray(times, np.float64)
  if not (np.isfinite(counts.data) & (counts.data >= 0)).all():
    raise ValueError('counts of events are negative or not finite')
  if not counts.shape[0] or not counts.shape[1]:  # nothing, or nothing to tell apart
    equal = np.zeros(len(times))
    return Unlabelled(equal, 0.0, np.zeros((len(times), len(NAMES))), equal + 1)
  first = _against_all(counts, times)
  odd = first.sum(axis=1)
  bulk = odd <= pvalues.quantile(odd, times, BULK)
  model = one_class.fit(counts[bulk], times[bulk])
  values = model.measure(counts).values
  second = one_class.features(model, values)
  normals = np.flatnonzero(bulk)[nearest.frequent_first(times[bulk])]
  second[normals[model.rows]] = one_class.features(model, model.values, own=True)
  parts = np.concatenate([first, second[:, : len(BULK_WEIGHTS)] * BULK_WEIGHTS], axis=1)
  scores = parts.sum(axis=1)
  p_values = pvalues.exceeding(scores, scores, times) / times.sum()
  return Unlabelled(scores, likely_cut(scores, times), parts, p_values)


def bulk(counts: Any, times: np.ndarray) -> np.ndarray:
  """[U] bool: the bags of the sessions that are least odd among all."""
  if not len(times):
    return np.zeros(0, bool)
  odd = _against_all(counts, times).sum(axis=1)
  return odd <= pvalues.quantile(odd, times, BULK)


def _against_all(counts: Any, times: np.ndarray) -> np.ndarray:
  """[U, 2] weighted: distance of the crowd, and the rarest event."""
  held = counts.sign().T @ times
  rarity = sparse.diags(-np.log(np.maximum(held, 0.5) / times.sum()))
  rarest = (counts.sign() @ rarity).max(axis=1).toarray().ravel()
  crowd = crowd_distances(counts, counts, times)
  usual = pvalues.quantile(crowd, times, 0.9)
  far = np.log((crowd + one_class.SOFT) / (usual + one_class.SOFT))
  return np.stack([far, rarest], axis=1) * WEIGHTS


def crowd_distances(
  counts: Any, others: Any, times: np.ndarray, own: int = 0
) -> np.ndarray:
  """[U] distance in log counts to the nearest of others of which CROWD are nearer.

  Args:
    counts: [U, V]; others: [W, V], of each so many `times` [W].
    own: 1 where each of the counts is among the others and not to count for itself.
  """
  most = nearest.frequent_first(times)[: nearest.MOST]
  logs, weights = others[most].log1p().astype(np.float32), times[most]
  dense = logs.shape[0] * logs.shape[1] < nearest.DENSE
  squares = np.asarray(logs.multiply(logs).sum(axis=1)).ravel()
  logs = logs.toarray() if dense else logs
  size, out = CROWD * weights.sum() + own, np.zeros(counts.shape[0])
  for block in nearest.blocks(len(out), max(len(most), counts.shape[1])):
    mine = counts[block].log1p().astype(np.float32)
    norms = np.asarray(mine.multiply(mine).sum(axis=1))
    products = mine.toarray() @ logs.T if dense else (mine @ logs.T).toarray()
    far = np.maximum(norms + squares - 2 * products, 0)
    order = np.argsort(far, axis=1)
    enough = np.cumsum(weights[order], axis=1) >= size
    kth = np.take_along_axis(order, enough.argmax(axis=1)[:, None], axis=1)
    out[block] = np.sqrt(np.take_along_axis(far, kth, axis=1)).ravel()
  return np.where(out < 2e-3, 0.0, out)  # rounding of equal bags


def likely_cut(scores: np.ndarray, times: np.ndarray) -> float:
  """The threshold whose F1 is best, were one of the gaps between scores the right cut.

  The widest gap is so with a probability of WIDEST. All are by their widths times the
  sessions above: alike on average for scores whose tail is exponential (Rényi, 1953),
  so that what lies between two groups of sessions counts and what parts a few of the
  oddest does not. If sessions C' are anomalous, flagging C has an F1 of
  2 |C and C'| / (|C| + |C'|). Where there is no gap that MOST_ALERTS and LEAST_ALERTS
  allow, it is the highest score: nothing is called anomalous.
  """
  there = times > 0
  levels, which = np.unique(-scores[there], return_inverse=True)
  flagged = np.cumsum(np.bincount(which, times[there]))[:-1]
  least, most = LEAST_ALERTS * times.sum(), MOST_ALERTS * times.sum()
  gaps = np.where((flagged >= least) & (flagged <= most), np.diff(levels), 0.0)
  if not gaps.any():
    return float(-levels[0])
  likely = gaps * flagged
  likely *= (1 - WIDEST) / likely.sum()
  likely[np.argmax(gaps)] += WIDEST
  cuts = np.argsort(-likely, kind='stable')[:MOST_CUTS]
  size = flagged[cuts]
  f1 = 2 * np.minimum(size[:, None], size) / (size[:, None] + size)
  place = cuts[np.argmax(f1 @ likely[cuts])]
  return float(-(levels[place] + levels[place + 1]) / 2)
