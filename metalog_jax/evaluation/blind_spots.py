"""Detectors that cannot see: signs, in scores alone, that verdicts mean nothing.

Enters: scored sessions, summed up. Leaves: sentences that say what is wrong and what
to change. Silence is no proof that a detector sees.
"""

from typing import NamedTuple

import numpy as np

from metalog_jax import types

FEW = 20  # sessions, of which shares say little
MOST_NORMALS = 0.5  # called anomalous: a coin errs as often
MOST = 0.9  # of sessions without labels: of some systems half are anomalous


class Seen(NamedTuple):
  """Scored sessions, summed up."""

  sessions: int
  distinct: int  # different sequences among them, at least
  anomalies: int  # labelled so
  normals: int  # labelled so
  alerts: int  # scores above the threshold
  false: int  # of these labelled normal
  lowest: float  # score
  highest: float  # score
  threshold: float
  has_vectors: bool  # an event has a vector that is not zero, or none are read
  new: int = 0  # hold an event that training never saw
  new_alerts: int = 0  # of these above the threshold

  @classmethod
  def of(
    cls,
    data: types.Dataset,
    scores: np.ndarray,
    threshold: float,
    distinct: int,
    reads_vectors: bool = True,
    new: np.ndarray | bool = False,
  ) -> 'Seen':
    """Sums up a data set with its scores [S]; see `Detector.reads_vectors`.

    Args:
      new: [S] whether a session holds an event that training never saw; False: not
        known.
    """
    scores, sessions = np.asarray(scores), data.sessions
    alerts, normal = scores > threshold, sessions.labels == 0
    return cls(
      sessions.num,
      distinct,
      int(np.sum(sessions.labels == 1)),
      int(np.sum(normal)),
      int(np.sum(alerts)),
      int(np.sum(alerts & normal)),
      float(scores.min(initial=np.inf)),
      float(scores.max(initial=-np.inf)),
      float(threshold),
      not reads_vectors or bool(np.any(data.vectors[np.unique(sessions.events)])),
      int(np.sum(new)),
      int(np.sum(alerts & new)),
    )

  def joined(self, other: 'Seen') -> 'Seen':
    """Both together, judged by one threshold."""
    return Seen(
      self.sessions + other.sessions,
      max(self.distinct, other.distinct),
      self.anomalies + other.anomalies,
      self.normals + other.normals,
      self.alerts + other.alerts,
      self.false + other.false,
      min(self.lowest, other.lowest),
      max(self.highest, other.highest),
      other.threshold,
      self.has_vectors or other.has_vectors,
      self.new + other.new,
      self.new_alerts + other.new_alerts,
    )


NOTHING = Seen(0, 0, 0, 0, 0, 0, np.inf, -np.inf, np.nan, False)


def warnings(seen: Seen, bound: float | None = None) -> list[str]:
  """What is wrong with verdicts, most fundamental first; empty if nothing is.

  Args:
    bound: no score of the detector can be above it; None: not known.
  """
  if not seen.sessions:
    return []
  texts = []
  if not seen.has_vectors:
    texts.append(
      'every event vector is zero, so that all events look alike: choose --vectors '
      'that know the words of the templates, or --fit=all where no session is labelled'
    )
  if seen.distinct > 1 and seen.lowest == seen.highest:
    texts.append(
      f'all {seen.sessions} sessions have the same score, {seen.highest:.6g}, though '
      f'they differ ({seen.distinct} sequences): the detector cannot tell them apart'
    )
  if bound is not None and seen.threshold >= bound:
    texts.append(
      f'the threshold, {seen.threshold:.6g}, can never be exceeded, for the highest '
      f'possible score is {bound:.6g}: every session is called normal; lower it'
    )
  elif seen.anomalies and not seen.alerts:
    texts.append(
      f'none of {seen.sessions} sessions is called anomalous, though {seen.anomalies} '
      f'are: the highest score, {seen.highest:.6g}, is not above the threshold, '
      f'{seen.threshold:.6g}'
    )
  if seen.new and not seen.new_alerts:
    texts.append(
      f'messages that training never saw are in {seen.new} of {seen.sessions} '
      'sessions, none of which is called anomalous: see unknown_events of the verdicts'
    )
  labelled = seen.anomalies + seen.normals
  if seen.sessions > max(seen.anomalies, 1) and seen.alerts == seen.sessions:
    texts.append(
      f'all {seen.sessions} sessions are called anomalous: the lowest score, '
      f'{seen.lowest:.6g}, is above the threshold, {seen.threshold:.6g}'
    )
  elif seen.normals >= FEW and seen.false > MOST_NORMALS * seen.normals:
    texts.append(
      f'{seen.false} of {seen.normals} normal sessions are called anomalous: the '
      f'threshold, {seen.threshold:.6g}, is not for sessions like these'
    )
  elif not labelled and seen.sessions >= FEW and seen.alerts > MOST * seen.sessions:
    texts.append(
      f'{seen.alerts} of {seen.sessions} sessions are called anomalous: the threshold, '
      f'{seen.threshold:.6g}, is hardly for sessions like these'
    )
  return texts
