"""The labelled sessions of one system, fitted: what scores and explains new ones."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from metalog_jax.evidence import (
  committee,
  coverage,
  evidences,
  labels,
  nearest,
  one_class,
  pvalues,
  samples,
)
from metalog_jax.evidence import normals as normal_lib
from metalog_jax.evidence import unlabelled as crowd_lib

NAMES = evidences.NAMES
FREQUENT = 0.02  # share of later sessions that makes a kind worth forgiving
MOST_FORGIVEN = 50
TIE = 0.02  # scores that differ by less are equal: leaving one out moves them so far
MOST_KINDS = 5_000  # of sessions that are held against each other to set the threshold
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
  own_parts: np.ndarray  # [n + A, len(NAMES)] what these scores are the sums of
  threshold: float
  threshold_from: str
  forgiven: Any = None  # [F, V] later kinds of session that count as normal
  forgiving: one_class.OneClass | None = None  # `model` with them
  later: bool = False
  missed: coverage.Missed | None = None  # frequent kinds that no anomaly is of

  def judge(self, counts: Any, beside: np.ndarray | None = None) -> Judged:
    """Measures bags [m, V]; where later kinds are forgiven, the kinder verdict.

    Args:
      beside: [m, len(evidences.BESIDE)] what was measured beside counts; None: nothing.
    """
    missed = np.zeros(counts.shape[0])
    if self.missed is not None:
      missed = self.missed.of(counts)

    def against(model: one_class.OneClass) -> Judged:
      judged = _judge(model, self.anomalies, counts, beside)
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
    return pvalues.p_values(scores - TIE, *self.normal)

  def warnings(self, scores: np.ndarray, times: np.ndarray) -> list[str]:
    """Signs that sessions [m] called normal are not like the normals.

    Among exchangeable sessions, a share p has p-values up to p.
    """
    quiet = scores <= self.threshold
    total = times[quiet].sum()
    if not total:
      return []
    odd = times[quiet] @ (self.p_values(scores[quiet]) <= STALE) / total
    error = np.sqrt(STALE * (1 - STALE) * (1 / total + 1 / self.normal.weights.sum()))
    if odd <= 2 * STALE + 3 * error:
      return []
    return [
      f'drift: {odd:.0%} of the sessions called normal are as odd as the oddest '
      f'{STALE:.0%} of the labelled normals: label newer normal sessions'
    ]


def fit(
  normals: samples.Sample,
  anomalies: samples.Sample,
  unlabelled: samples.Sample,
  later: bool = False,
  false_alarms: float = 0.0,
  seed: int = 0,
  without: Collection[str] = evidences.OFF,
) -> Reference:
  """Fits the evidences to labelled sessions, and the threshold to unlabelled ones.

  Args:
    normals: at least one session.
    anomalies: may be none.
    unlabelled: sessions like those that will be judged, for the threshold alone; none:
      the threshold is a quantile of the normals.
    later: the unlabelled sessions come after the labelled ones, so that normal
      behaviour may have changed: frequent kinds without new events are forgiven.
    false_alarms: > 0: the threshold lets at most this share of normal sessions
      through, by split conformal prediction; half of the normals are held out for it.
    without: names of evidences that are off.
  """
  held = None
  if false_alarms:
    normals, held = samples.halves(normals, seed)
  model = one_class.fit(*normals, without)
  fitted, anomalous = None, np.zeros((0, len(NAMES)))
  measured = normal_lib.Measured(model.values, model.nearest, model.distances)
  votes = np.zeros((len(model.rows), len(labels.NAMES)))
  if len(anomalies.times):
    fitted = labels.fit(model, anomalies.counts, anomalies.times, seed)
    votes = fitted.normal
    anomalous = _judge(
      model, fitted, anomalies.counts, anomalies.beside, fitted.own
    ).parts
  features = one_class.features(model, model.values, own=True)
  normal = _judged(model, features, votes, measured).parts
  reference = Reference(
    model,
    fitted,
    committee.Scored(normal.sum(axis=1), model.weights),
    committee.Scored(anomalous.sum(axis=1), anomalies.times),
    np.concatenate([normal, anomalous]),
    0.0,
    '',
  )
  if later:
    reference = _forgive(reference, normals, anomalies, unlabelled)
    reference = reference._replace(later=True)
  elif held is None and fitted is not None and 'missed' not in without:
    # A conformal promise is not made with it: sessions to be judged are among those
    # that are counted, and the normals held out for the promise are not.
    known = (sample[:2] for sample in (normals, anomalies, unlabelled))
    reference = reference._replace(missed=coverage.fit(*known))
  reference = _with_own(reference)
  if held is not None:
    return _conformal(reference, held, false_alarms)
  return _with_threshold(reference, unlabelled)


def _judge(model, anomalies, counts, beside, votes=None) -> Judged:
  measured = model.measure(counts, beside)
  features = one_class.features(model, measured.values)
  if votes is None and anomalies is None:
    votes = np.zeros((counts.shape[0], len(labels.NAMES)))
  elif votes is None:
    votes = labels.values(anomalies, counts, measured)
  return _judged(model, features, votes, measured)


def _judged(model, features, votes, measured: normal_lib.Measured) -> Judged:
  votes = votes * [name not in model.without for name in labels.NAMES]
  every = [features, votes, np.zeros((len(votes), 2))]  # see `Reference.reckoned`
  parts = np.concatenate(every, axis=1) * evidences.weights(model.without)
  return Judged(parts, measured.values, votes, measured.nearest)


def _with_threshold(reference: Reference, unlabelled: samples.Sample) -> Reference:
  if not len(unlabelled.times):
    limit = committee.quiet_limit(*reference.normal)
    return reference._replace(threshold=limit, threshold_from='normal_quantile')
  limit = committee.cut(*worlds(reference, unlabelled))
  return reference._replace(threshold=limit, threshold_from='expected_f1')


def worlds(
  reference: Reference, unlabelled: samples.Sample
) -> tuple[committee.Scored, np.ndarray, np.ndarray]:
  """What `committee.cut` needs: scores, every rule's verdicts [m, R], its votes [R].

  Args:
    unlabelled: at least one session; m kinds of them.
  """
  judged = reference.judge(unlabelled.counts, unlabelled.beside)
  verdicts = _verdicts(reference, judged, unlabelled)
  plain = _plain(reference, judged, verdicts, unlabelled.times)
  if reference.anomalies is None:
    return plain
  verdicts['plain'] = plain[0].scores > committee.cut(*plain)
  verdicts['alert'] = _alerts(reference.model, reference.anomalies, unlabelled.counts)
  scored = committee.Scored(judged.scores, unlabelled.times)
  for name, weight in (('estimate', 0.5), ('recall', 1.0)):
    labelled = reference.normal, reference.anomalous
    verdicts[name] = scored.scores > committee.estimate(scored, *labelled, weight)
  num = reference.anomalous.weights.sum(), reference.model.normals.total
  votes = committee.weights(*num, reference.later, _unseen_share(reference))
  mean = lambda x, chosen: (
    np.average(x, weights=unlabelled.times * chosen) if chosen.any() else 0.0
  )
  doubted = verdicts['plain'] & ~verdicts['event_trees']
  but = lambda *out: judged.parts[:, [x not in out for x in NAMES]].sum(axis=1)
  scores = but('missed', 'unlike')
  learned = (
    committee.calibrated(*num),
    committee.located(
      *num,
      quiet=mean(scores - plain[0].scores, ~verdicts['plain']),
      doubted=mean(scores, doubted),
    ),
  )
  return _with_learned(scored, but('unlike'), verdicts, votes, learned, committee.SAY)


def _plain(reference: Reference, judged: Judged, verdicts: dict, times: np.ndarray):
  """`worlds`, were no anomaly labelled."""
  plain = [name in one_class.NAMES for name in NAMES]
  scored = committee.Scored(judged.parts[:, plain].sum(axis=1), times)
  own = reference.own_parts[: len(reference.normal.scores), plain].sum(axis=1)
  normal = committee.Scored(own, reference.normal.weights)
  none = committee.Scored(np.zeros(0), np.zeros(0))
  limit = committee.estimate(scored, normal, none)
  votes = committee.weights(0, reference.model.normals.total, reference.later)
  verdicts = {**verdicts, 'estimate': scored.scores > limit}
  learned = (committee.NO_ANOMALY,)
  return _with_learned(scored, scored.scores, verdicts, votes, learned, committee.BLIND)


def _with_learned(scored, scores, verdicts, votes, learned, say: float):
  """Adds to rules and their votes the learned scores, whose say is so large.

  They are learned of `scores` [m], which need not be those that are cut.
  A crowd in which nothing is odd has no vote, and no part in that say.
  """
  rules = sum(share for name, share in votes.items() if name != 'crowd')
  if not verdicts['crowd'].any():
    votes = {name: share for name, share in votes.items() if name != 'crowd'}
  around = [committee.calibrated_votes(scores, center) for center in learned]
  columns = np.column_stack([*(verdicts[name] for name in votes), *around])
  num = columns.shape[1] - len(votes)
  share = say * rules / num
  return scored, columns, np.array([*votes.values(), *[share] * num])


def _crowd(reference: Reference, unlabelled: samples.Sample) -> np.ndarray:
  """[m] bool: anomalous were no session labelled; nothing where that is not asked."""
  few = reference.model.normals.total <= committee.MOST_NORMALS
  if not few or len(unlabelled.times) > MOST_KINDS:
    return np.zeros(len(unlabelled.times), bool)
  result = crowd_lib.unlabelled(unlabelled.counts, unlabelled.times)
  return result.scores > result.threshold


def _unseen_share(reference: Reference) -> float:
  """The share of the anomalies that are unlike all labelled ones, by estimate."""
  parts = reference.own_parts[len(reference.normal.scores) :]
  used = [
    name in labels.NAMES and name not in reference.model.without for name in NAMES
  ]
  alone = 1.0 if not any(used) else (parts[:, used] <= 0).mean(axis=1)
  times = reference.anomalous.weights
  return committee.unseen_share((alone * times).sum(), times.sum())


def _verdicts(
  reference: Reference, judged: Judged, unlabelled: samples.Sample
) -> dict[str, np.ndarray]:
  """Name of a rule -> its verdicts [m] on unlabelled bags."""
  model = reference.model
  raw = dict(zip(one_class.MEASURED, judged.raw.T))
  own = dict(zip(one_class.MEASURED, model.values.T))
  verdicts = {'new': raw['new'] > 0}
  for name in evidences.BESIDE:  # rare among the normals is as good as new
    verdicts['new'] |= judged.parts[:, NAMES.index(name)] > 0
  for name in ('distance', 'range'):
    verdicts[name] = raw[name] > committee.quiet_limit(own[name], model.weights)
  verdicts['crowd'] = _crowd(reference, unlabelled)
  return verdicts | {name: x > 0 for name, x in zip(labels.NAMES, judged.votes.T)}


def _alerts(
  model: one_class.OneClass, anomalies: labels.Anomalies, counts: Any
) -> np.ndarray:
  """[m] bool: has an event that labelled anomalies have and no normal has."""
  known = np.asarray(anomalies.counts.sum(axis=0)).ravel() > 0
  known &= model.normals.holders == 0
  return counts @ known > 0


def _with_own(reference: Reference) -> Reference:
  """With the labelled sessions' own parts and scores as `judge` would give them."""
  model, num, missed = reference.model, len(reference.model.rows), reference.missed
  own = np.zeros(len(reference.own_parts))
  if missed is not None:
    own = np.append(missed.of(model.normals.counts[model.rows]), missed.own)
  parts = reference.reckoned(reference.own_parts, own)
  scores = parts.sum(axis=1)
  return reference._replace(
    own_parts=parts,
    normal=reference.normal._replace(scores=scores[:num]),
    anomalous=reference.anomalous._replace(scores=scores[num:]),
  )


def _forgive(
  reference,
  normals: samples.Sample,
  anomalies: samples.Sample,
  unlabelled: samples.Sample,
):
  """Takes frequent later kinds without new events as further normals."""
  judged = reference.judge(unlabelled.counts, unlabelled.beside)
  frequent = unlabelled.times >= FREQUENT * unlabelled.times.sum()
  other = nearest.distances(reference.model.normals.bags, unlabelled.counts) > 0
  candidates = frequent & (judged.raw[:, 0] == 0) & other
  if len(anomalies.times):
    away = nearest.distances(reference.anomalies.bags, unlabelled.counts)
    candidates &= away > 0
  rows = np.flatnonzero(candidates)
  rows = rows[np.argsort(-unlabelled.times[rows], kind='stable')][:MOST_FORGIVEN]
  if not len(rows):
    return reference
  kinds = unlabelled.counts[rows]
  forgiving = one_class.fit(
    sparse.vstack([normals.counts, kinds], format='csr'),
    np.concatenate([normals.times, unlabelled.times[rows]]),
    np.concatenate([normals.beside, unlabelled.beside[rows]]),
    reference.model.without,
  )
  return reference._replace(forgiven=kinds, forgiving=forgiving)


def _conformal(reference: Reference, held: samples.Sample, rate: float) -> Reference:
  """The threshold that a new normal exceeds with probability `rate` at most.

  With n normals held out, it is the ceil((n + 1)(1 - rate))-th smallest of their
  scores: Papadopoulos et al., Inductive confidence machines, ECML 2002. Where that is
  more than n, nothing below 1 / (n + 1) can be promised: it is their largest.
  """
  scores = reference.judge(held.counts, held.beside).scores
  normal = committee.Scored(scores, held.times)
  num = held.times.sum()
  rank = np.ceil((num + 1) * (1 - rate) - 1e-9)
  limit = pvalues.quantile(scores, held.times, min(rank / max(num, 1), 1.0))
  source = (
    f'false_alarms {rate:g}' if rank <= num else f'false_alarms {1 / (num + 1):.3g}'
  )
  return reference._replace(normal=normal, threshold=limit, threshold_from=source)
