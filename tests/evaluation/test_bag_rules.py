"""The literature's rules on bags, each against a slow restatement by session."""

import collections
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.batches import bags
from metalog_jax.evaluation import bag_rules
from tests import builders

ROWS = st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=12)
given = lambda *rows: (
  lambda test: hypothesis.settings(deadline=None, max_examples=60)(
    hypothesis.given(*rows)(test)
  )
)


def bags_of(rows):
  return bags.bags(builders.sessions(rows), 6)


def normals_of(rows):
  found = bags_of(rows)
  return bag_rules.Normals(found.counts, np.bincount(found.inverse))


def score(rule, normal, test, **options):
  """(scores of each test session, threshold)."""
  tested = bags_of(test)
  scores, threshold = rule(normals_of(normal), tested.counts, **options)
  return scores[tested.inverse], threshold


def without(rows, index):
  return rows[:index] + rows[index + 1 :]


def quantile(values, share):
  """The smallest value that at least a share of them do not exceed."""
  return sorted(values)[max(math.ceil(share * len(values) - 1e-9), 1) - 1]


def new_or_length(normal, row):
  known = set().union(*normal)
  lengths = [len(n) for n in normal]
  return len(set(row) - known) + (not min(lengths) <= len(row) <= max(lengths))


def jaccard(a, b):
  a, b = (collections.Counter(row) for row in (a, b))
  share = lambda counts, event: counts[event] / max(counts.total(), 1)
  pairs = [(share(a, event), share(b, event)) for event in range(6)]
  top = sum(max(pair) for pair in pairs)
  return sum(abs(x - y) for x, y in pairs) / top if top else 0.0


def nearest_jaccard(normal, row):
  return min((jaccard(row, n) for n in normal), default=0.0)


def rarity(normal, row):
  events = [event for n in normal for event in n]
  terms = []
  for event in set(row):
    share = max(events.count(event), 1) / max(len(events), 1)
    times = 2 if event not in events else share <= 0.01
    terms.append(times * (-math.log(share)) ** 3)
  return sum(terms) / max(len(terms), 1)


def match_or_nearest(labelled, row):
  """`labelled`: (session, label) pairs."""
  same = [label for other, label in labelled if sorted(other) == sorted(row)]
  if same:
    return sum(same) / len(same)
  votes = collections.defaultdict(list)
  for other, label in labelled:
    votes[tuple(sorted(other))].append(label)
  likeness = lambda other: (
    len(set(other) & set(row)) / len(union) if (union := set(other) | set(row)) else 1
  )
  best = max(map(likeness, votes))
  decided = [
    {-1: 0.0, 0: 0.5, 1: 1.0}[np.sign(2 * sum(labels) - len(labels))]
    for other, labels in votes.items()
    if likeness(other) == best
  ]
  return sum(decided) / len(decided)


def kth(rows, index, share):
  logs = lambda row: np.log1p(np.bincount(np.array(row, int), minlength=6))
  others = without(rows, index)
  apart = sorted(np.linalg.norm(logs(rows[index]) - logs(other)) for other in others)
  k = math.ceil(share * len(others))
  return apart[k - 1] if k else 0.0


@given(ROWS, ROWS)
def test_new_event_or_length(normal, test):
  found, threshold = score(bag_rules.new_event_or_length, normal, test)
  assert found.tolist() == [new_or_length(normal, row) for row in test]
  assert threshold == 0.5


RULES = {  # rule, its slow restatement
  'ecvc': (bag_rules.ecvc, nearest_jaccard),
  'rarity': (bag_rules.rarity, rarity),
}


@pytest.mark.parametrize('name', RULES)
@given(ROWS, ROWS)
def test_distances_and_their_threshold_from_the_normals(name, normal, test):
  rule, slow = RULES[name]
  found, threshold = score(rule, normal, test)
  np.testing.assert_allclose(found, [slow(normal, row) for row in test], atol=1e-12)
  apart = [slow(without(normal, i), row) for i, row in enumerate(normal)]
  assert threshold == pytest.approx(quantile(apart, 0.99), abs=1e-12)


def test_equal_shares_are_at_distance_zero():
  found, threshold = score(bag_rules.ecvc, [[1, 2, 3], [1]], [[3, 2, 1] * 7, [], [4]])
  assert found[0] == 0
  assert [*found[1:], threshold] == pytest.approx([1, 1, 0.8])


@given(ROWS, ROWS)
def test_ecvc_or_new_flags_what_is_new_too(normal, test):
  near, threshold = score(bag_rules.ecvc, normal, test)
  both, same = score(bag_rules.ecvc, normal, test, or_new=True)
  is_new = [new_or_length(normal, row) > 0 for row in test]
  assert threshold == same
  assert ((both > same) == (near > threshold) | is_new).all()


def test_rarity_has_a_common_side():
  normal = [[1] * 99 + [2], [1] * 98 + [3, 4]]
  found, _ = score(bag_rules.rarity, normal, [[1], [2], [5], [1, 2]])
  one = math.log(200) ** 3
  np.testing.assert_allclose(found, [0, one, 2 * one, one / 2])


@given(ROWS, st.data())
def test_match_or_nearest(rows, data):
  labels = data.draw(
    st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows))
  )
  test = data.draw(ROWS) + rows[:1]
  found, tested = bags_of(rows), bags_of(test)
  num = found.counts.shape[0]
  times = [
    np.bincount(found.inverse[np.array(labels) == label], minlength=num)
    for label in (0, 1)
  ]
  scores, threshold = bag_rules.match_or_nearest(found.counts, *times, tested.counts)
  slow = [match_or_nearest(list(zip(rows, labels)), row) for row in test]
  np.testing.assert_allclose(scores[tested.inverse], slow)
  assert 0.49 < threshold < 0.5  # a tie is anomalous


@pytest.mark.parametrize('share', [0.05, 0.3, 1.0])
@given(ROWS)
def test_kth_nearest(share, rows):
  tested = bags_of(rows)
  scores, threshold = bag_rules.kth_nearest(tested, share)
  slow = [kth(rows, i, share) for i in range(len(rows))]
  np.testing.assert_allclose(scores[tested.inverse], slow, atol=1e-9)
  low, high = quantile(slow, 0.25), quantile(slow, 0.75)
  assert threshold == pytest.approx(high + 1.5 * (high - low), abs=1e-9)


def test_many_bags_are_compared_in_parts(monkeypatch):
  random = np.random.default_rng(0)
  rows = [random.integers(0, 6, random.integers(0, 9)).tolist() for _ in range(40)]
  tested, normals = bags_of(rows), normals_of(rows[:20])
  run = lambda: [
    bag_rules.kth_nearest(tested, 0.1)[0],
    bag_rules.ecvc(normals, tested.counts)[0],
    bag_rules.match_or_nearest(
      normals.counts, normals.times, np.eye(len(normals.times))[0], tested.counts
    )[0],
  ]
  whole = run()
  monkeypatch.setattr(bag_rules, '_ROWS', 7)
  for one, other in zip(whole, run()):
    np.testing.assert_array_equal(one, other)


def test_a_nearest_bag_with_as_many_of_both_is_half_a_vote():
  found = bags_of([[1], [1], [3]])
  normals, anomalies = np.array([1, 0]), np.array([1, 1])
  tested = bags_of([[1, 2], [1], [3, 4]])
  scores, threshold = bag_rules.match_or_nearest(
    found.counts, normals, anomalies, tested.counts
  )
  assert scores.tolist() == [0.5, 0.5, 1.0] and 0.5 > threshold
