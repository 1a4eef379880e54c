"""The labelled sessions of one system, fitted: what scores and explains new ones."""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax.evidence import (
  committee,
  coverage,
  evidences,
  labels,
  one_class,
  pvalues,
)
from metalog_jax.evidence import normals as normal_lib

NAMES = evidences.NAMES
TIE = 0.02  # scores that differ by less are equal: leaving one out moves them so far
STALE = 0.05  # p-value up to which sessions are counted in the test for drift


class Judged(NamedTuple):
  """What was measured of bags [m, V]."""

  parts: np.ndarray  # [m, len(NAMES)] weighted evidences
  raw: np.ndarray  # [m, len(one_class.MEASURED)]
  votes: np.ndarray  # [m, len(labels.NAMES)]
  nearest: np.ndarray  # [m] normal bag

  @property
  def scores(self) -> np.ndarray:
    return self.parts.sum(axis=1)


class Reference(NamedTuple):
  """Fitted evidences with their threshold."""

  model: one_class.OneClass
  anomalies: labels.Anomalies | None
  normal: committee.Scored  # scores of the normals, each with itself left out
  anomalous: committee.Scored
  own: Judged  # [n + A] both, each with itself left out
  threshold: float
  threshold_from: str
  forgiven: Any = None  # [F, V] later kinds of session that count as normal
  forgiving: one_class.OneClass | None = None  # `model` with them
  later: bool = False
  missed: coverage.Missed | None = None  # frequent kinds that no anomaly is of
  # [n] how much more new sessions score than the normals that they are like.
  fresh: np.ndarray | float = 0.0

  def judge(self, counts: Any, beside: np.ndarray | None = None) -> Judged:
    """Measures bags [m, V]; where later kinds are forgiven, the kinder verdict.

    Args:
      beside: [m, len(evidences.BESIDE)] what was measured beside counts; None: nothing.
    """
    missed = np.zeros(counts.shape[0])
    if self.missed is not None:
      missed = self.missed.of(counts)

    def against(model: one_class.OneClass) -> Judged:
      judged = measure(model, self.anomalies, counts, beside)
      return judged._replace(parts=self.reckoned(judged.parts, missed))

    judged = against(self.model)
    if self.forgiving is None:
      return judged
    kinder = against(self.forgiving)
    better = kinder.scores < judged.scores
    pick = lambda x, y: np.where(better if x.ndim == 1 else better[:, None], y, x)
    return Judged._make(pick(x, y) for x, y in zip(judged, kinder))

  def reckoned(self, parts: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Parts [m, len(NAMES)] with what labelled anomalies say of those unlike them.

    Later anomalies are no sample of which the labelled ones are drawn at random: that a
    later session is unlike these is evidence within the bounds of `labels.unlike`.

    Args:
      missed: [m] the values of that evidence.
    """
    parts = parts.copy()
    parts[:, NAMES.index('missed')] = missed
    if self.later and self.anomalies is not None and 'unlike' not in self.model.without:
      learned = parts[:, [name in labels.NAMES for name in NAMES]].sum(axis=1)
      unlike = labels.unlike(learned, self.anomalous.weights.sum())
      parts[:, NAMES.index('unlike')] = unlike
    return parts

  def p_values(self, scores: np.ndarray) -> np.ndarray:
    """[m] share of normal sessions that would score at least as high."""
    normal = self.normal
    return pvalues.p_values(scores - TIE, normal.scores + self.fresh, normal.weights)

  def quiet(self, scores: np.ndarray, threshold: float) -> np.ndarray:
    """[2] sessions [S] called normal, and those with p-values up to STALE of them."""
    quiet = scores[scores <= threshold]
    return np.array([len(quiet), (self.p_values(quiet) <= STALE).sum()], float)

  def warnings(self, total: float, odd: float) -> list[str]:
    """Signs that sessions called normal are not like the normals: see `quiet`.

    Among exchangeable sessions, a share p has p-values up to p.
    """
    if not total:
      return []
    odd /= total
    error = np.sqrt(STALE * (1 - STALE) * (1 / total + 1 / self.normal.weights.sum()))
    if odd <= 2 * STALE + 3 * error:
      return []
    return [
      f'drift: {odd:.0%} of the sessions called normal are as odd as the oddest '
      f'{STALE:.0%} of the labelled normals: label newer normal sessions'
    ]


def measure(
  model: one_class.OneClass,
  anomalies: labels.Anomalies | None,
  counts: Any,
  beside: np.ndarray | None,
  votes: np.ndarray | None = None,
) -> Judged:
  """Measures bags [m, V], but for what `Reference.reckoned` adds.

  Args:
    votes: [m, len(labels.NAMES)] where the bags are labelled and left out of these.
  """
  measured = model.measure(counts, beside)
  features = one_class.features(model, measured.values)
  if anomalies is None:
    votes = np.zeros((counts.shape[0], len(labels.NAMES)))
  elif votes is None:
    votes = labels.values(anomalies, counts, measured)
  return weighed(model, features, votes, measured)


def weighed(
  model: one_class.OneClass,
  features: np.ndarray,
  votes: np.ndarray,
  measured: normal_lib.Measured,
) -> Judged:
  """Evidences [m, ...] as they count."""
  votes = votes * [name not in model.without for name in labels.NAMES]
  every = [features, votes, np.zeros((len(votes), 2))]  # see `Reference.reckoned`
  parts = np.concatenate(every, axis=1) * evidences.weights(model.without)
  return Judged(parts, measured.values, votes, measured.nearest)
