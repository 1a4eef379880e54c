"""Fits the evidences to one system's labelled sessions, and the threshold to the rest.

normals, anomalies -> Reference -> what later sessions are forgiven, or what is missed
                                -> threshold: promised, or by `rules` and `committee`
"""

from collections.abc import Collection

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
  rules,
  samples,
)
from metalog_jax.evidence import normals as normal_lib
from metalog_jax.evidence.reference import Judged, Reference, measure, weighed

FREQUENT = 0.02  # share of later sessions that makes a kind worth forgiving
LEAST = 5  # sessions of it: where few are to be judged, each is a frequent kind
MOST_FORGIVEN = 50


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
  if len(anomalies.times):
    without = evidences.ALONE.union(without)
  model = one_class.fit(*normals, without)
  fitted = None
  measured = normal_lib.Measured(model.values, model.nearest, model.distances)
  votes, odd = np.zeros((len(model.rows), len(labels.NAMES))), None
  if len(anomalies.times):
    fitted = labels.fit(model, anomalies.counts, anomalies.times, seed)
    votes, odd = fitted.normal, fitted.own
  features = one_class.features(model, model.values, own=True)
  normal = weighed(model, features, votes, measured)
  anomalous = measure(model, fitted, anomalies.counts, anomalies.beside, odd)
  fresh = one_class.as_new(model, features) - features
  reference = Reference(
    model,
    fitted,
    committee.Scored(normal.scores, model.weights),
    committee.Scored(anomalous.scores, anomalies.times),
    Judged._make(map(np.concatenate, zip(normal, anomalous))),
    0.0,
    '',
    fresh=fresh @ evidences.weights(without)[: len(one_class.NAMES)],
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
  if not len(unlabelled.times):
    limit = committee.quiet_limit(*reference.normal)
    return reference._replace(threshold=limit, threshold_from='normal_quantile')
  usual = committee.calibrated(anomalies.times.sum(), normals.times.sum())
  limit = committee.cut(*rules.worlds(reference, unlabelled), usual)
  return reference._replace(threshold=limit, threshold_from='expected_f1')


def _with_own(reference: Reference) -> Reference:
  """With the labelled sessions' own parts and scores as `judge` would give them."""
  model, num, missed = reference.model, len(reference.model.rows), reference.missed
  own = np.zeros(len(reference.own.parts))
  if missed is not None:
    own = np.append(missed.of(model.normals.counts[model.rows]), missed.own)
  parts = reference.reckoned(reference.own.parts, own)
  scores = parts.sum(axis=1)
  return reference._replace(
    own=reference.own._replace(parts=parts),
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
  frequent = unlabelled.times >= max(FREQUENT * unlabelled.times.sum(), LEAST)
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
  return reference._replace(
    normal=normal, fresh=0.0, threshold=limit, threshold_from=source
  )
