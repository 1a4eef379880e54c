"""How odd a value is against the normals', each of which is left out of its own."""

import numpy as np
import pytest

from metalog_jax import evidence
from metalog_jax.evidence import one_class, pvalues


@pytest.mark.parametrize('function', [pvalues.beyond, pvalues.surprise])
@pytest.mark.parametrize('seed', range(4))
def test_a_normal_is_held_against_the_others(function, seed):
  rng = np.random.default_rng(seed)
  values = rng.integers(0, 9, 5) / 9
  times = rng.integers(1, 3, 5)
  own = function(values, values, times, own=True)
  for i, value in enumerate(values):
    others = times - (np.arange(5) == i)
    left = function(np.array([value]), values[others > 0], others[others > 0])
    assert own[i] == pytest.approx(left[0])


def test_sessions_that_lack_more_than_any_normal_does_are_told_apart():
  """Normals lack one usual event or none; p-values alone end there."""
  normals = (
    np.ones((40, 8)) - np.eye(8)[np.arange(40) % 8] * (np.arange(40) < 6)[:, None]
  )
  lacking = np.tril(np.ones((8, 8)))[1:]
  none = evidence.Sample.of(np.zeros((0, 8)))
  place = [evidence.NAMES.index(name) for name in ('absent', 'gone')]
  parts = lambda anomalies: (
    evidence.fit(evidence.Sample.of(normals), anomalies, none)
    .judge(evidence.Sample.of(lacking).counts)
    .parts[:, place]
    .T
  )
  absent, gone = parts(none)
  assert np.ptp(absent[:-2]) == 0 and (np.diff(gone[:-1]) < 0).all()
  with_labels = parts(evidence.Sample.of(np.eye(8)[:1] * 5))
  assert with_labels[0].any() and not with_labels[1].any()


def test_what_a_normal_lacks_is_held_against_the_others():
  normals = np.ones((40, 4)) - np.eye(4)[np.arange(40) % 4]
  normals[:30] = 1
  normals[0, :2] = 0
  none = evidence.Sample.of(np.zeros((0, 4)))
  fitted = evidence.fit(evidence.Sample.of(normals), none, none)
  gone = fitted.own.parts[:, evidence.NAMES.index('gone')]
  lacking = fitted.model.normals.counts[fitted.model.rows].toarray() == 0
  assert ((gone > 0) == (lacking.sum(axis=1) == 2)).all() and gone.any()


def test_deviations_are_held_against_those_of_the_other_normals():
  counts = np.random.default_rng(0).poisson([3, 1, 0.3, 0.2], (60, 4))
  none = evidence.Sample.of(np.zeros((0, 4)))
  kinds = evidence.Sample.of(*np.unique(counts, axis=0, return_counts=True))
  model = evidence.fit(kinds, none, none).model
  off = ('deviation', 'absent', 'gone')
  assert not evidence.fit(kinds, none, none, without=off).fresh.any()
  known, times = model.values[:, one_class.MEASURED.index('deviation')], model.weights
  fresh = model.fresh[:, 0]
  assert (fresh > known).any() and (times > 1).any()
  features = np.zeros((len(fresh), len(one_class.NAMES)))
  place = one_class.NAMES.index('deviation')
  for i, surprise in enumerate(one_class.as_new(model, features)[:, place]):
    others = times - (np.arange(len(times)) == i)
    odder = others[known >= fresh[i]].sum()
    assert surprise == pytest.approx(-np.log((odder + 0.5) / (others.sum() + 0.5)))


def test_p_values_of_new_sessions_are_uniform():
  none, rng, shares = evidence.Sample.of(np.zeros((0, 7))), np.random.default_rng(0), []
  rates = [3, 2, 1, 0.3, 0.3, 0.1, 0.1]
  for _ in range(4):
    normals, new = (evidence.Sample.of(rng.poisson(rates, (x, 7))) for x in (100, 400))
    fitted = evidence.fit(normals, none, none)
    p = fitted.p_values(fitted.judge(new.counts).scores)
    shares.append(np.mean(p <= 0.1))
  assert 0.08 < np.mean(shares) < 0.12, shares
