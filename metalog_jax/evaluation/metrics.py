"""How well scores tell anomalies from normals.

A session is called anomalous where its score is ABOVE the threshold. Sessions
without a label (-1) are left out. Log sessions repeat, so every figure is also
given over different sequences and over sequences that training never had.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from metalog_jax import errors, types

KINDS = ('all', 'distinct', 'unseen')  # of sessions: see `by_kind`

Measures = dict[str, float | int | None]


class Distinct(NamedTuple):
  """The different event sequences among sessions."""

  first: np.ndarray  # [U] the first session that has the sequence, ascending
  labels: np.ndarray  # [U] int8 majority of the labelled ones, a tie is anomalous
  inverse: np.ndarray  # [S] which of the U sequences a session has


def measure(labels, scores, threshold: float) -> Measures:
  """Counts and quality of scores [S] against labels [S].

  Args:
    labels: 1 anomalous, 0 normal, -1 unlabelled (left out).
    scores: higher is more anomalous; finite.
    threshold: scores above it are verdicts of anomaly.

  Returns:
    The keys of M in the interface; None where a figure is undefined (no anomalies,
    no normals); precision is 0 where nothing is called anomalous.

  Raises:
    UserError: a score is not finite, as after a training that diverged.
  """
  labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
  if labels.shape != scores.shape or labels.ndim != 1:
    raise ValueError(f'labels {labels.shape} and scores {scores.shape} differ')
  known = labels >= 0
  labels, scores = labels[known] == 1, scores[known]
  if num := int((~np.isfinite(scores)).sum()):
    raise errors.UserError(
      f'{num} of {len(scores)} scores are not finite: the training has diverged, or '
      'event vectors are not numbers; lower the learning rate, or change --vectors'
    )
  return {
    'sessions': len(labels),
    'anomalies': int(labels.sum()),
    'threshold': float(threshold),
    **_at_threshold(labels, scores > threshold),
    'auroc': auroc(labels, scores),
    'auprc': auprc(labels, scores),
  }


def _at_threshold(labels, verdicts) -> Measures:
  hits, misses = (labels & verdicts).sum(), (labels & ~verdicts).sum()
  alarms, quiet = (~labels & verdicts).sum(), (~labels & ~verdicts).sum()
  return {
    'precision': _ratio(hits, hits + alarms, 0.0 if hits + misses else None),
    'recall': _ratio(hits, hits + misses),
    'f1': _ratio(2 * hits, 2 * hits + misses + alarms) if hits + misses else None,
    'specificity': _ratio(quiet, quiet + alarms),
  }


def _ratio(part, whole, empty=None) -> float | None:
  return float(part / whole) if whole > 0 else empty


def auroc(labels, scores) -> float | None:
  """P(score of an anomaly > score of a normal) + P(equal) / 2: Mann and Whitney's U."""
  num = int(labels.sum())
  others = len(labels) - num
  if not num or not others:
    return None
  beaten = stats.rankdata(scores)[labels].sum() - num * (num + 1) / 2
  return float(beaten / (num * others))


def auprc(labels, scores) -> float | None:
  """Average precision: Σ (R_k - R_{k-1}) P_k over the different scores, from above."""
  if not labels.any():
    return None
  _, level = np.unique(-scores, return_inverse=True)
  gained, called = np.bincount(level, labels), np.bincount(level)
  precision = np.cumsum(gained) / np.cumsum(called)
  return float(np.clip(gained @ precision / gained.sum(), 0, 1))


def distinct(sessions: types.Sessions) -> Distinct:
  """Finds the different event sequences; equal means the same events in order."""
  seen: dict[bytes, int] = {}
  keys = sequence_keys(sessions)
  inverse = np.fromiter((seen.setdefault(k, len(seen)) for k in keys), np.int64)
  _, first = np.unique(inverse, return_index=True)
  ones = np.bincount(inverse[sessions.labels == 1], minlength=len(seen))
  zeros = np.bincount(inverse[sessions.labels == 0], minlength=len(seen))
  labels = np.where(ones + zeros == 0, -1, ones >= zeros).astype(np.int8)
  return Distinct(first, labels, inverse)


def sequence_keys(sessions: types.Sessions) -> Iterator[bytes]:
  """Per session, bytes that are equal only for equal sequences."""
  data = np.ascontiguousarray(sessions.events, np.int32).tobytes()
  edges = (sessions.offsets * 4).tolist()
  return (data[a:b] for a, b in zip(edges, edges[1:], strict=False))


def by_kind(
  sessions: types.Sessions,
  scores,
  threshold: float,
  train_sessions: types.Sessions | None = None,
) -> dict[str, Measures]:
  """Measures over `all` sessions, `distinct` sequences, and `unseen` ones.

  Args:
    sessions: the test sessions with their labels.
    scores: [S]; a sequence is judged by its first session's score.
    threshold: see `measure`.
    train_sessions: the same system's sessions that training had with their labels;
      `unseen` keeps the sequences that none of them has. None: all are unseen.

  Raises:
    UserError: as `measure`.
  """
  scores = np.asarray(scores, np.float64)
  different = distinct(sessions)
  seen = set(sequence_keys(train_sessions)) if train_sessions is not None else set()
  is_new = np.array([key not in seen for key in sequence_keys(sessions)], bool)
  unseen = is_new[different.first]
  labels, firsts = different.labels, scores[different.first]
  return {
    'all': measure(sessions.labels, scores, threshold),
    'distinct': measure(labels, firsts, threshold),
    'unseen': measure(labels[unseen], firsts[unseen], threshold),
  }
