"""Sessions without labels: what is unlike the crowd comes first."""

import numpy as np
import pytest

from metalog_jax import evidence
from metalog_jax.evidence import nearest
from metalog_jax.evidence.unlabelled import likely_cut


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


def test_no_session_and_no_event():
  assert len(evidence.unlabelled(np.zeros((0, 3))).scores) == 0
  result = evidence.unlabelled(np.zeros((5, 0)))
  assert not (result.scores > result.threshold).any() and len(result.p_values) == 5


@pytest.mark.parametrize('count', [np.nan, np.inf, -1])
def test_counts_that_are_none_are_refused(count):
  with pytest.raises(ValueError, match='negative or not finite'):
    evidence.unlabelled(np.array([[1.0, 2.0], [1.0, count]]))


def test_an_outage_at_the_beginning_is_no_crowd():
  """There are more different bags than distances are taken to."""
  rng = np.random.default_rng(0)
  counts = rng.poisson(3.0, (2 * nearest.MOST, 8))
  counts[:480, -1] += 60
  result = evidence.unlabelled(counts)
  flagged = result.scores > result.threshold
  assert flagged[:480].mean() > 0.9 and flagged[480:].sum() < 100


@pytest.mark.parametrize('scores, times, flagged', [
  # one far session in front of a group: the group is what differs
  ([9, 4, 0.3, 0.2, 0.1], [1, 9, 30, 30, 30], 10),
  ([4, 3.9, 0.3, 0.2, 0.1], [1, 9, 30, 30, 30], 10),
  ([4, 0.3, 0.2, 0.1], [20, 30, 30, 20], 0),  # more than may be anomalous
])  # fmt: skip
def test_the_cut_lies_between_groups(scores, times, flagged):
  scores, times = np.array(scores, float), np.array(times, float)
  cut = likely_cut(scores, times)
  assert times[scores > cut].sum() == flagged
  if flagged:  # in the middle of the gap
    assert cut == (scores[scores > cut].min() + scores[scores < cut].max()) / 2
  more = likely_cut(np.append(scores, 99), np.append(times, 0))  # a kind of no session
  assert more == cut


def expected_sizes(scores, times, widest) -> int:
  """How many sessions are above the cut that is best in expectation."""
  levels = np.sort(scores)[::-1]
  sizes = np.array([times[scores >= level].sum() for level in levels])[:-1]
  gaps = levels[:-1] - levels[1:]
  gaps[(sizes < 0.005 * times.sum()) | (sizes > 0.15 * times.sum())] = 0
  likely = (1 - widest) * gaps * sizes / (gaps * sizes).sum()
  likely[gaps.argmax()] += widest
  expected = [
    sum(p * 2 * min(n, m) / (n + m) for p, m in zip(likely, sizes)) for n in sizes
  ]
  return sizes[np.argmax(expected)]


def test_the_cut_has_the_best_expected_f1():
  found = []
  for seed in range(8):
    rng = np.random.default_rng(seed)
    scores, times = rng.exponential(size=80), rng.integers(1, 9, 80).astype(float)
    found.append(times[scores > likely_cut(scores, times)].sum())
    assert found[-1] == expected_sizes(scores, times, 1 / 3)
    found[-1] = [found[-1] == expected_sizes(scores, times, w) for w in (0, 1)]
  assert not np.all(found, axis=0).any()  # neither of the two alone
