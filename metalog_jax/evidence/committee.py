"""Where to cut a ranking: simple rules vote, and the F1 that they expect is highest.

Each rule calls every unlabelled session anomalous or not. The share of the votes serves
as the probability of an anomaly, and the cut on the combined score is the one whose
expected F1 is highest: no rule need be right everywhere, and the ranking is not theirs.

References:
  Lipton et al., Optimal thresholding of classifiers to maximize F1 measure, ECML 2014
  (expected F1); Blanchard et al., Semi-supervised novelty detection, JMLR 2010 (the
  share of anomalies from normals and unlabelled sessions).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from metalog_jax.evidence import pvalues

SOFTNESS = 0.2  # of a score near the cut, for estimates from few sessions
GRID = 60  # cuts that are tried for an estimate
HALF = 6  # anomalies at which rules that learn from them have half their say
QUIET = 0.99  # share of the normals that single evidences leave alone
# How many votes a rule has: without anomalies, and with many. Chosen with each family
# of systems left out in turn (docs/evidence.md); many choices are as good within 1 %.
ONE_CLASS = {'new': 5, 'estimate': 1.5, 'distance': 2.5, 'deviation': 1, 'length': 1}
LEARNED = {'trees': 1, 'event_trees': 1, 'ratio': 2, 'estimate': 4, 'recall': 2}
LEARNED |= {'alert': 2}
FEW = {'logistic': 2}  # few parameters: its say is full at once, and fades
FADES = 3 * HALF
CONTRASTS = ('event_trees', 'ratio')  # hold anomalies against normals directly
LATER = {'new': 1, 'range': 1}  # in place of ONE_CLASS: what drifts least


class Scored(NamedTuple):
  """Scores of sessions, and how many each stands for."""

  scores: np.ndarray  # [n]
  weights: np.ndarray  # [n]

  def above(self, cuts: np.ndarray) -> np.ndarray:
    """[c] softly, the share of the sessions above each cut."""
    if not len(self.scores):
      return np.zeros(len(cuts))
    soft = special.expit((self.scores[:, None] - cuts) / SOFTNESS)
    return self.weights @ soft / self.weights.sum()


def estimate(
  unlabelled: Scored, normal: Scored, anomalous: Scored, labels: float = 0.5
) -> float:
  """The cut whose F1 is highest by estimate.

  Of the share q flagged at a cut, (1 - π) FPR is false: the rest are hits, at most π of
  them. With anomalies, π TPR are hits as well; both estimates are averaged.

  Args:
    normal, anomalous: the labelled sessions, judged as if they were new.
    labels: weight of the estimate by the labelled anomalies.
  """
  scores = unlabelled.scores
  low = min(scores.min(), normal.scores.min(initial=np.inf))
  cuts = np.linspace(low, scores.max() + 0.1, GRID)
  flagged, false = unlabelled.above(cuts), normal.above(cuts)
  least = 1 / unlabelled.weights.sum()
  if not len(anomalous.scores):
    share = max(np.max((flagged - false) / (1 - false + 1e-3)), least)
    hits = np.clip(flagged - (1 - share) * false, 0, share)
  else:
    right, num = anomalous.above(cuts), anomalous.weights.sum()
    best = np.argmax(right - false)
    share = (flagged - false)[best] / max((right - false)[best], 0.2)
    share = np.clip(share, least, 1)
    hits = (1 - labels) * np.clip(flagged - (1 - share) * false, 0, share)
    hits += labels * share * (right * num + 0.5) / (num + 1)
  return float(cuts[np.argmax(2 * hits / (flagged + share))])


def weights(
  num_anomalies: float, num_normals: float, later: bool = False
) -> dict[str, float]:
  """Votes of each rule where so many sessions are labelled.

  Args:
    later: normal behaviour may have changed: distances drift, and events do not.
  """
  learned = num_anomalies / (num_anomalies + HALF)
  # Few normals beside the anomalies say little of what normal sessions can be.
  doubt = num_anomalies / (num_anomalies + num_normals)
  one_class = LATER if later else ONE_CLASS
  total = {name: x * (1 - learned) * (1 - doubt) for name, x in one_class.items()}
  if num_anomalies:
    for name, votes in LEARNED.items():
      say = learned * (1 + 2 * doubt * (name in CONTRASTS))
      total[name] = total.get(name, 0.0) + votes * say
    total['recall'] += 6 * doubt
    fading = FADES / (FADES + num_anomalies)
    total |= {name: votes * fading * (1 - doubt) for name, votes in FEW.items()}
  return total


def cut(scored: Scored, probability: np.ndarray) -> float:
  """The threshold on scores whose F1 is highest if `probability` [n] is right.

  It lies in the middle between two scores; above it is anomalous.
  """
  levels, which = np.unique(-scored.scores, return_inverse=True)
  likely = np.cumsum(np.bincount(which, probability * scored.weights))
  flagged = np.cumsum(np.bincount(which, scored.weights))
  place = int(np.argmax(2 * likely / (flagged + likely[-1])))
  last = -levels[place]
  below = -levels[place + 1] if place + 1 < len(levels) else last - 1
  return float((last + below) / 2)


def quiet_limit(values: np.ndarray, sessions: np.ndarray) -> float:
  """What QUIET of the normals' values do not exceed."""
  return pvalues.quantile(values, sessions, QUIET)
