"""How well scores tell anomalies from normals.

A session is called anomalous where its score is ABOVE the threshold. Sessions
without a label (-1) are left out. Log sessions repeat, so every figure is also
given over different sequences and over sequences that training never had.
"""

from typing import NamedTuple

import numpy as np

from metalog_jax import errors, types

Measures = dict[str, float | int | None]


class Distinct(NamedTuple):
  """The different event sequences among sessions."""

  first: np.ndarray  # [U] the first session that has the sequence, ascending
  labels: np.ndarray  # [U] int8 majority of the labelled ones, a tie is anomalous
  inverse: np.ndarray  # [S] which of the U sequences a session has


def measure(labels, scores, threshold: float, weights=None) -> Measures:
  """Counts and quality of scores [S] against labels [S].

  Args:
    labels: 1 anomalous, 0 normal, -1 unlabelled (left out).
    scores: higher is more anomalous; finite.
    threshold: scores above it are verdicts of anomaly.
    weights: [S], how many sessions each stands for, as to state figures at a
      natural rate of anomalies (`rate_weights`); counts stay unweighted.

  Returns:
    The keys of M in the interface; None where a figure is undefined (no anomalies,
    no normals); precision is 0 where nothing is called anomalous.

  Raises:
    UserError: lengths differ or a score is not finite.
  """
  labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
  weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
  if not labels.shape == scores.shape == weights.shape or labels.ndim != 1:
    raise errors.UserError(
      f'labels {labels.shape}, scores {scores.shape} and weights {weights.shape} differ'
    )
  known = labels >= 0
  labels, scores, weights = labels[known] == 1, scores[known], weights[known]
  if not np.isfinite(scores).all():
    raise errors.UserError(f'{(~np.isfinite(scores)).sum()} scores are not finite')
  return {
    'sessions': int(len(labels)),
    'anomalies': int(labels.sum()),
    'threshold': float(threshold),
    **_at_threshold(labels, scores > threshold, weights),
    'auroc': auroc(labels, scores, weights),
    'auprc': auprc(labels, scores, weights),
  }


def _at_threshold(labels, verdicts, weights):
  hits = weights[labels & verdicts].sum()
  misses = weights[labels & ~verdicts].sum()
  alarms = weights[~labels & verdicts].sum()
  quiet = weights[~labels & ~verdicts].sum()
  return {
    'precision': _ratio(hits, hits + alarms, 0.0 if hits + misses else None),
    'recall': _ratio(hits, hits + misses),
    'f1': _ratio(2 * hits, 2 * hits + misses + alarms) if hits + misses else None,
    'specificity': _ratio(quiet, quiet + alarms),
  }


def _ratio(part, whole, empty=None):
  return float(part / whole) if whole > 0 else empty


def auroc(labels, scores, weights) -> float | None:
  """P(score of an anomaly > score of a normal) + P(equal) / 2, weighted."""
  hits, alarms = _cumulative(labels, scores, weights)
  if not len(hits) or hits[-1] == 0 or alarms[-1] == 0:
    return None
  gained = np.diff(alarms, prepend=0)
  # Each normal is beaten by the anomalies above it, and by half of those level.
  beaten = (hits + np.concatenate([[0], hits[:-1]])) / 2
  return float(np.clip(gained @ beaten / (hits[-1] * alarms[-1]), 0, 1))


def auprc(labels, scores, weights) -> float | None:
  """Average precision: Σ (R_k - R_{k-1}) P_k over the different scores."""
  hits, alarms = _cumulative(labels, scores, weights)
  if not len(hits) or hits[-1] == 0:
    return None
  gained = np.diff(hits, prepend=0)
  precision = np.divide(hits, hits + alarms, out=np.zeros_like(hits), where=gained > 0)
  return float(np.clip(gained @ precision / hits[-1], 0, 1))


def _cumulative(labels, scores, weights):
  """Weight of anomalies and of normals at or above each score, highest first."""
  order = np.argsort(-scores, kind='stable')
  ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
  hits = np.cumsum(np.where(labels, weights, 0.0)[order])[ends]
  alarms = np.cumsum(np.where(labels, 0.0, weights)[order])[ends]
  return hits, alarms


def distinct(sessions: types.Sessions) -> Distinct:
  """Find the different event sequences; equal means the same events in order."""
  seen: dict[bytes, int] = {}
  keys = sequence_keys(sessions)
  inverse = np.fromiter((seen.setdefault(k, len(seen)) for k in keys), np.int64)
  _, first = np.unique(inverse, return_index=True)
  ones = np.bincount(inverse[sessions.labels == 1], minlength=len(seen))
  zeros = np.bincount(inverse[sessions.labels == 0], minlength=len(seen))
  labels = np.where(ones + zeros == 0, -1, ones >= zeros).astype(np.int8)
  return Distinct(first, labels, inverse)


def sequence_keys(sessions: types.Sessions):
  """Per session, bytes that are equal only for equal sequences."""
  data = np.ascontiguousarray(sessions.events, np.int32).tobytes()
  edges = (sessions.offsets * 4).tolist()
  return (data[a:b] for a, b in zip(edges, edges[1:], strict=False))


def by_kind(
  sessions: types.Sessions,
  scores,
  threshold: float,
  train_sessions: types.Sessions | None = None,
  weights=None,
) -> dict[str, Measures]:
  """Measure over `all` sessions, `distinct` sequences, and `unseen` ones.

  Args:
    sessions: the test sessions with their labels.
    scores: [S]; a sequence is judged by its first session's score.
    threshold: see `measure`.
    train_sessions: the same system's sessions that training had, labelled or not;
      `unseen` keeps the sequences that none of them has. None: all are unseen.
    weights: [S], for `all` alone; different sequences count once each.
  """
  scores = np.asarray(scores, np.float64)
  found = distinct(sessions)
  seen = set(sequence_keys(train_sessions)) if train_sessions is not None else set()
  is_new = np.array([key not in seen for key in sequence_keys(sessions)], bool)
  unseen = is_new[found.first]
  return {
    'all': measure(sessions.labels, scores, threshold, weights),
    'distinct': measure(found.labels, scores[found.first], threshold),
    'unseen': measure(found.labels[unseen], scores[found.first][unseen], threshold),
  }


def rate_weights(labels, rate: float) -> np.ndarray:
  """Weights [S] under which anomalies are `rate` of all, summing to S."""
  labels = np.asarray(labels)
  share = np.mean(labels[labels >= 0] == 1) if (labels >= 0).any() else 0.0
  if not 0 < share < 1 or not 0 < rate < 1:
    raise errors.UserError(
      f'cannot weigh {share:.4g} anomalies to a rate of {rate:.4g}'
    )
  return np.where(labels == 1, rate / share, (1 - rate) / (1 - share))
