"""Where to cut a ranking: one of several simple rules is right, nobody knows which.

Each rule calls every unlabelled session anomalous or not. If a rule with verdicts V is
right, flagging the sessions C above a cut has F1(C, V) = 2 |C and V| / (|C| + |V|). The
cut is the one whose F1 is highest in the mean over the rules, by their votes: a rule
that no cut agrees with hardly moves it, and the ranking is not the rules'.

Scores mean the same in every system, or nearly so. How high that of an anomaly is was
therefore learned on other systems, twice: from how many sessions are labelled
(`calibrated`), and also from where the sessions to be judged lie (`located`).

A few labelled anomalies show what is like them, not what is unlike them. The share of
anomalies unlike all labelled ones is about that of the labelled ones which are unlike
all others (`unseen_share`); so large is the say of the verdict without anomalies.

References:
  Lipton et al., Optimal thresholding of classifiers to maximize F1 measure, ECML 2014
  (expected F1); Blanchard et al., Semi-supervised novelty detection, JMLR 2010 (the
  share of anomalies from normals and unlabelled sessions); Good, The population
  frequencies of species, Biometrika 1953 (the share of kinds not yet seen).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from metalog_jax.evidence import pvalues

SOFTNESS = 0.2  # of a score near the cut, for estimates from few sessions
GRID = 60  # cuts that are tried for an estimate
QUIET = 0.99  # share of the normals that single evidences leave alone
# Votes without anomalies, and those that come with them: alike but for what is surest.
ONE_CLASS = {'new': 1.0, 'distance': 1.0, 'estimate': 1.0}
LEARNED = dict.fromkeys(
  ('trees', 'event_trees', 'ratio', 'alert', 'estimate', 'recall'), 2
)
LATER = {'new': 1.0, 'range': 1.0}  # in place of ONE_CLASS: what drifts least
PLAIN = 4.0  # votes of the verdict without anomalies, were all anomalies unlike them
FEW = 10  # normals at which that verdict has half of these
USUAL = 100  # normals at which what is new has one and a half votes; with fewer more
CROWD = 16.0  # votes of the verdict without any label, were there no normals
MEAGRE = 20  # normals at which it has a quarter of these
MOST_NORMALS = 150  # to which that verdict is heard
HEARD = 0.2  # of what another rule flags beyond false alarms: who flags less is blind
TRIED = 3.0  # power of the share of labelled anomalies that a rule flags
HALF = 6  # anomalies at which rules that learn from them have half their say
# Fitted by hand to the systems of docs/evidence.md, all of them in view.
NO_ANOMALY = 2.0  # score from which on a session is anomalous, none being labelled
CALIBRATION = (-2.6, 8.1, -1.6)  # of 1, K / (K + HALF) and log10(N / 30)
LOCATION = (0.0, 6.5, -1.6, 0.4, 0.6)  # of the same, of quiet and doubted sessions
PLACES = (-1.3, -0.5, 0.0, 0.5, 1.3)  # of a normal distribution, equally likely


class Say(NamedTuple):
  """Of learned scores."""

  share: float  # of the votes of all rules
  spread: float  # how far a system's best cut lies from them: standard deviation


SAY = Say(0.7, 1.2)  # with anomalies
BLIND = Say(0.25, 1.0)  # and without


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
  num_anomalies: float, num_normals: float, later: bool = False, unseen: float = 0.0
) -> dict[str, float]:
  """Votes of each rule but the learned ones where so many sessions are labelled.

  Args:
    later: normal behaviour may have changed: distances drift, and events do not.
    unseen: `unseen_share` of the anomalies.
  """
  learned = num_anomalies / (num_anomalies + HALF)
  crowd = CROWD * (MEAGRE / (num_normals + MEAGRE)) ** 2
  crowd *= num_normals <= MOST_NORMALS
  # Few normals beside the anomalies say little of what normal sessions can be.
  doubt = num_anomalies / (num_anomalies + num_normals)
  one_class = dict(LATER if later else ONE_CLASS)
  if not later:  # distances and estimates say little by few normals
    one_class['new'] += USUAL / (num_normals + USUAL)
  total = {name: x * (1 - learned) * (1 - doubt) for name, x in one_class.items()}
  for name, votes in LEARNED.items():
    total[name] = total.get(name, 0.0) + votes * learned
  if num_anomalies:
    total['plain'] = PLAIN * unseen * num_normals / (num_normals + FEW)
    crowd *= unseen / 2
  total['crowd'] = crowd
  return {name: votes for name, votes in total.items() if votes}


def excess(flagged: float, false: float, num_normals: float) -> float:
  """The share of the sessions that a rule flags beyond false alarms; 0 if by chance.

  Args:
    flagged: share of the sessions to be judged; false: how many of the normals.
  """
  rate, chance = _false_alarms(false, num_normals, 2.0)
  return (flagged - rate) / (1 - rate) if flagged - rate > chance else 0.0


def sure_excess(flagged: float, false: float, num_normals: float) -> float:
  """The least `excess` of a rule that is cut where it has most: that much is chance."""
  rate, chance = _false_alarms(false, num_normals, 3.0)
  return max((flagged - rate - chance) / (1 - rate), 0.0)


def _false_alarms(false: float, num: float, errors: float) -> tuple[float, float]:
  """A rule's rate of false alarms by `num` normals, and what may be added by chance.

  That is so many standard errors, and 3 / N where none of N is flagged (Hanley and
  Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA 1983).
  """
  rate = (false + 0.5) / (num + 1)
  return rate, errors * np.sqrt(rate * (1 - rate) / num) + 3 / num


def heard(
  votes: dict[str, float], flagged: dict[str, float], most: float
) -> dict[str, float]:
  """Votes without those of rules that are blind here; all, where all of them are.

  Args:
    flagged: name of a rule -> share of the sessions that it flags; not of all rules.
    most: the largest `excess` of a rule.
  """
  seeing = {name: flagged.get(name, most) >= HEARD * most for name in votes}
  return {name: x * seeing[name] for name, x in votes.items()}


def tried(
  votes: dict[str, float], hits: dict[str, float], num_anomalies: float
) -> dict[str, float]:
  """Votes that fall with the labelled anomalies that a rule misses.

  What is learned of labelled anomalies is judged by the others: two are needed.

  Args:
    hits: name of a rule -> how many labelled anomalies it flags, itself left out.
  """
  if num_anomalies < 2:
    return votes
  share = {name: (x + 1) / (num_anomalies + 2) for name, x in hits.items()}
  return {name: x * share.get(name, 1.0) ** TRIED for name, x in votes.items()}


def calibrated(num_anomalies: float, num_normals: float) -> float:
  """The score from which on sessions are anomalous in other systems.

  Labelled anomalies raise the scores of those like them, normals lower all others'.
  """
  if not num_anomalies:
    return NO_ANOMALY
  learned = num_anomalies / (num_anomalies + HALF)
  terms = (1.0, learned, np.log10(num_normals / 30))
  return float(np.dot(CALIBRATION, terms))


def located(
  num_anomalies: float, num_normals: float, quiet: float, doubted: float
) -> float:
  """`calibrated`, corrected by where scores lie in this system.

  Args:
    quiet: what labelled anomalies add to the score of a session that nothing flags.
    doubted: score of sessions that are odd and unlike the labelled anomalies, 0: none.
  """
  learned = num_anomalies / (num_anomalies + HALF)
  terms = (1.0, learned, np.log10(num_normals / 30), quiet, doubted)
  return float(np.dot(LOCATION, terms))


def unseen_share(alone: float, num_anomalies: float) -> float:
  """The share of the anomalies that are unlike all labelled ones (Good, 1953).

  With one more of either kind counted (Laplace), so that it is never 0 or 1.

  Args:
    alone: how many of the labelled ones are unlike all other labelled ones.
  """
  return (alone + 1) / (num_anomalies + 2)


def calibrated_votes(scores: np.ndarray, center: float, spread: float) -> np.ndarray:
  """[m, len(PLACES)] verdicts by scores from `center` on, and cuts around it."""
  return scores[:, None] > center + spread * np.array(PLACES)


def cut(
  scored: Scored, verdicts: np.ndarray, votes: np.ndarray, usual: float = np.nan
) -> float:
  """The threshold on scores whose F1 is highest in the mean over rules.

  It lies between two scores, which of these sessions alone says all that can be said;
  above it is anomalous. Where most rules flag nothing it is the highest score or
  higher: F1(nothing, nothing) = 1.

  Args:
    verdicts: [n, R] of each rule, 1 or True for anomalous; votes: [R] of each.
    usual: the threshold where that is between these scores, for sessions that come
      after them; otherwise, or nan, it is in the middle or the highest score.
  """
  levels, which = np.unique(-scored.scores, return_inverse=True)
  each = verdicts * scored.weights[:, None]
  sums = [np.bincount(which, column, len(levels)) for column in each.T]
  agreed = np.cumsum(sums, axis=1)  # [R, levels]
  flagged = np.cumsum(np.bincount(which, scored.weights))
  f1 = votes @ (2 * agreed / (flagged + agreed[:, -1:]))
  place = int(np.argmax(f1))
  if votes @ (agreed[:, -1] == 0) > f1[place]:
    return float(np.fmax(-levels[0], usual))
  last = -levels[place]
  below = -levels[place + 1] if place + 1 < len(levels) else last - 1
  return float(usual if below < usual < last else (last + below) / 2)


def quiet_limit(values: np.ndarray, sessions: np.ndarray) -> float:
  """What QUIET of the normals' values do not exceed."""
  return pvalues.quantile(values, sessions, QUIET)
