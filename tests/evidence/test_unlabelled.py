"""Sessions without labels: what is unlike the crowd comes first."""

import numpy as np
import pytest

from metalog_jax import evidence


def crowd(num=200, odd=6, seed=0):
  """Counts of ordinary sessions, and of a few that lack events and have a new one."""
  rng = np.random.default_rng(seed)
  counts = np.concatenate(
    [np.tile([2, 1, 3, 0], (num, 1)), np.tile([0, 1, 0, 2], (odd, 1))]
  )
  counts[:num, 2] += rng.integers(0, 2, num)
  return counts


def test_odd_sessions_are_found_and_sums_explain_them():
  counts = crowd()
  result = evidence.unlabelled(counts)
  np.testing.assert_array_equal(result.scores > result.threshold, counts[:, 3] > 0)
  np.testing.assert_allclose(result.parts.sum(axis=1), result.scores)
  assert result.p_values[-1] == pytest.approx(6 / 206)


def test_copies_and_their_number_give_the_same():
  counts = crowd()
  kinds, inverse, times = np.unique(
    counts, axis=0, return_inverse=True, return_counts=True
  )
  each, together = evidence.unlabelled(counts), evidence.unlabelled(kinds, times)
  np.testing.assert_allclose(each.scores, together.scores[inverse.ravel()], atol=1e-5)


@pytest.mark.parametrize('counts', [np.ones((5, 3)), np.ones((1, 3)), np.zeros((4, 2))])
def test_equal_sessions_are_not_odd(counts):
  result = evidence.unlabelled(counts)
  assert np.isfinite(result.scores).all()
  assert not (result.scores > result.threshold).any()


def test_no_session():
  assert len(evidence.unlabelled(np.zeros((0, 3))).scores) == 0
