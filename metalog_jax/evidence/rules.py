"""Simple rules: what each says of the sessions to be judged, and how far it is heard.

A rule is right in some systems and blind in others. Which it is here shows on the
sessions to be judged, where a rule that flags next to nothing of what another one does
has no vote, and on labelled anomalies, each judged with itself left out: votes fall
with those that a rule misses.
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax.evidence import committee, evidences, labels, one_class, samples
from metalog_jax.evidence import unlabelled as crowd_lib
from metalog_jax.evidence.reference import NAMES, Judged, Reference

MOST_KINDS = 5_000  # of sessions that are held against each other to set the threshold
ONE_CLASS = ('new', 'distance', 'range')


class Rule(NamedTuple):
  """Verdicts of one rule, True for anomalous."""

  flagged: np.ndarray  # [m] bool, of the sessions to be judged
  own: np.ndarray | None  # [n + A] of the labelled ones, left out; None: not known


class Worlds(NamedTuple):
  """What `committee.cut` needs: as if one of the rules were right."""

  scored: committee.Scored  # [m]
  verdicts: np.ndarray  # [m, R] of each rule
  votes: np.ndarray  # [R]


def worlds(reference: Reference, unlabelled: samples.Sample) -> Worlds:
  """The rules' verdicts and votes.

  Args:
    unlabelled: at least one session; m kinds of them.
  """
  judged = reference.judge(unlabelled.counts, unlabelled.beside)
  rules = _rules(reference, judged, unlabelled)
  plain = _plain(reference, judged, rules, unlabelled.times)
  if reference.anomalies is None:
    return plain
  own = _plain_scores(reference.own)
  rules['plain'] = _above(committee.cut(*plain), plain.scored.scores, own)
  rules['alert'] = _alerts(reference, reference.anomalies, unlabelled.counts)
  scored = committee.Scored(judged.scores, unlabelled.times)
  for name, weight in (('estimate', 0.5), ('recall', 1.0)):
    labelled = reference.normal, reference.anomalous
    limit = committee.estimate(scored, *labelled, weight)
    rules[name] = _above(limit, scored.scores, reference.own.scores)
  num = reference.anomalous.weights.sum(), reference.model.normals.total
  votes = committee.weights(*num, reference.later, unseen_share(reference))
  votes = committee.tried(votes, _hits(reference, rules), num[0])
  mean = lambda x, chosen: (
    np.average(x, weights=unlabelled.times * chosen) if chosen.any() else 0.0
  )
  calm = ~rules['plain'].flagged
  doubted = rules['plain'].flagged & ~rules['event_trees'].flagged
  but = lambda *out: judged.parts[:, [x not in out for x in NAMES]].sum(axis=1)
  scores = but('missed', 'unlike')
  learned = (
    committee.calibrated(*num),
    committee.located(
      *num,
      quiet=mean(scores - plain.scored.scores, calm),
      doubted=mean(scores, doubted),
    ),
  )
  return _with_learned(scored, but('unlike'), rules, votes, learned, committee.SAY)


def _plain(reference: Reference, judged: Judged, rules: dict, times: np.ndarray):
  """`worlds`, were no anomaly labelled."""
  scored = committee.Scored(_plain_scores(judged), times)
  own = _plain_scores(reference.own)
  normals = committee.Scored(
    own[: len(reference.normal.scores)], reference.normal.weights
  )
  none = committee.Scored(np.zeros(0), np.zeros(0))
  limit = committee.estimate(scored, normals, none)
  rules = {**rules, 'estimate': _above(limit, scored.scores, own)}
  votes = committee.weights(0, reference.model.normals.total, reference.later)
  # The crowd is asked because normals are few: by few normals it is not held blind.
  shares = {
    name: rules[name].flagged @ times / times.sum() for name in (*ONE_CLASS, 'estimate')
  }
  beyond = lambda excess, name: excess(
    shares[name], _false(reference, rules[name]), reference.normal.weights.sum()
  )
  most = max(beyond(committee.excess, name) for name in ONE_CLASS)
  if 'estimate' in votes:
    most = max(most, beyond(committee.sure_excess, 'estimate'))
  votes = committee.heard(votes, shares, most)
  learned = (committee.NO_ANOMALY,)
  return _with_learned(scored, scored.scores, rules, votes, learned, committee.BLIND)


def _with_learned(scored, scores, rules, votes, learned, say: committee.Say) -> Worlds:
  """Adds to rules and their votes the learned scores, whose say is so large.

  They are learned of `scores` [m], which need not be those that are cut.
  A crowd in which nothing is odd has no vote, and no part in that say.
  """
  total = sum(share for name, share in votes.items() if name != 'crowd')
  if not rules['crowd'].flagged.any():
    votes = {name: share for name, share in votes.items() if name != 'crowd'}
  around = [committee.calibrated_votes(scores, x, say.spread) for x in learned]
  columns = np.column_stack([*(rules[name].flagged for name in votes), *around])
  num = columns.shape[1] - len(votes)
  share = say.share * total / num
  return Worlds(scored, columns, np.array([*votes.values(), *[share] * num]))


def _rules(
  reference: Reference, judged: Judged, unlabelled: samples.Sample
) -> dict[str, Rule]:
  """Name of a rule -> its verdicts, for those that need no threshold on scores."""
  normal = reference.model.values, reference.model.weights
  both = [_verdicts(x, *normal) for x in (judged, reference.own)]
  rules = {name: Rule(both[0][name], both[1][name]) for name in both[0]}
  return rules | {'crowd': Rule(_crowd(reference, unlabelled), None)}


def _verdicts(judged: Judged, values: np.ndarray, weights: np.ndarray) -> dict:
  """Name of a rule -> its verdicts [m] on bags.

  Args:
    values: [n, len(one_class.MEASURED)] of the normals; weights: [n] sessions of each.
  """
  raw = dict(zip(one_class.MEASURED, judged.raw.T))
  normal = dict(zip(one_class.MEASURED, values.T))
  verdicts = {'new': raw['new'] > 0}
  for name in evidences.BESIDE:  # rare among the normals is as good as new
    verdicts['new'] |= judged.parts[:, NAMES.index(name)] > 0
  for name in ('distance', 'range'):
    verdicts[name] = raw[name] > committee.quiet_limit(normal[name], weights)
  return verdicts | {name: x > 0 for name, x in zip(labels.NAMES, judged.votes.T)}


def _crowd(reference: Reference, unlabelled: samples.Sample) -> np.ndarray:
  """[m] bool: anomalous were no session labelled; nothing where that is not asked.

  It is asked where normals are few, and no more than there are sessions to be judged.
  """
  most = min(committee.MOST_NORMALS, unlabelled.times.sum())
  if reference.model.normals.total > most or len(unlabelled.times) > MOST_KINDS:
    return np.zeros(len(unlabelled.times), bool)
  result = crowd_lib.unlabelled(unlabelled.counts, unlabelled.times)
  return result.scores > result.threshold


def _alerts(reference: Reference, anomalies: labels.Anomalies, counts: Any) -> Rule:
  """Has an event that labelled anomalies have and no normal has.

  Of a labelled anomaly: one that another labelled anomaly has.
  """
  odd, times = anomalies.counts.sign(), reference.anomalous.weights
  holders = (odd.T @ times) * (reference.model.normals.holders == 0)
  own = np.zeros(len(reference.own.parts), bool)
  own[len(reference.normal.scores) :] = odd @ (holders > 1) > 0
  return Rule(counts @ (holders > 0) > 0, own)


def _above(limit: float, scores: np.ndarray, own: np.ndarray) -> Rule:
  return Rule(scores > limit, own > limit)


def _plain_scores(judged: Judged) -> np.ndarray:
  """[m] scores, were no anomaly labelled."""
  return judged.parts[:, [name in one_class.NAMES for name in NAMES]].sum(axis=1)


def _false(reference: Reference, rule: Rule) -> float:
  """How many labelled normals a rule flags."""
  weights = reference.normal.weights
  return 0.0 if rule.own is None else rule.own[: len(weights)] @ weights


def _hits(reference: Reference, rules: dict[str, Rule]) -> dict[str, float]:
  """Name of a rule -> how many labelled anomalies it flags."""
  start, times = len(reference.normal.scores), reference.anomalous.weights
  return {
    name: rule.own[start:] @ times
    for name, rule in rules.items()
    if rule.own is not None
  }


def unseen_share(reference: Reference) -> float:
  """The share of the anomalies that are unlike all labelled ones, by estimate."""
  parts = reference.own.parts[len(reference.normal.scores) :]
  used = [
    name in labels.NAMES and name not in reference.model.without for name in NAMES
  ]
  alone = 1.0 if not any(used) else (parts[:, used] <= 0).mean(axis=1)
  times = reference.anomalous.weights
  return committee.unseen_share((alone * times).sum(), times.sum())
