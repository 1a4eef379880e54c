"""Simple rules where they are blind, and where they miss labelled anomalies."""

import numpy as np
import pytest

from metalog_jax import evidence
from metalog_jax.evidence import committee, rules


def fitted(*samples):
  samples = [evidence.Sample.of(x) for x in samples]
  reference = evidence.fit(*samples)
  scores = reference.judge(samples[2].counts).scores
  return reference, samples[2], scores > reference.threshold


def f1(flagged, faulty):
  return 2 * (flagged & faulty).sum() / (flagged.sum() + faulty.sum())


def rounds(num, rate, rng):
  """Bags [num, 26] of 20 steps that vary and 6 alerts; which of them are faulty.

  A faulty one stops early, or does some steps twice as often; one in two has an alert.
  No two are alike.
  """
  steps = rng.poisson(np.arange(1, 21) / 2 + 1, (num, 20)) + 1
  alerts = np.zeros((num, 6), int)
  faulty = rng.random(num) < rate
  for row in np.flatnonzero(faulty):
    place = rng.integers(3, 18)
    if rng.random() < 0.5:
      steps[row, place:] = 0
    else:
      steps[row, place : place + 3] *= 3
    alerts[row, rng.integers(6)] = rng.random() < 0.5
  return np.concatenate([steps, alerts], axis=1), faulty


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('num_anomalies', [5, 20])
def test_labelled_anomalies_unlike_each_other_do_not_hide_the_others(
  num_anomalies, seed
):
  """Rules that see few of the labelled anomalies, and are right, used to prevail."""
  rng = np.random.default_rng(seed)
  normals, _ = rounds(100, 0.0, rng)
  anomalies, _ = rounds(num_anomalies, 1.0, rng)
  rest, faulty = rounds(600, 0.3, rng)
  *_, by_normals = fitted(normals, anomalies[:0], rest)
  *_, by_both = fitted(normals, anomalies, rest)
  assert f1(by_both, faulty) > max(0.8, f1(by_normals, faulty) - 0.05)


@pytest.mark.parametrize('seed', range(2))
def test_anomalies_of_counts_alone_are_flagged(seed):
  """No session has an event that the normals lack: that rule flags nothing here."""
  rng = np.random.default_rng(seed)
  bags = lambda num: rng.poisson([4, 4, 4, 6, 6, 6], (num, 6)) + 1
  rest, faulty = bags(500), np.arange(500) >= 440
  rest[faulty, 3:] *= 4
  reference, unlabelled, flagged = fitted(bags(400), bags(0), rest)
  votes = rules.worlds(reference, unlabelled).votes
  assert [*committee.weights(0, 400)][0] == 'new' and votes[0] == 0 < votes[1]
  assert f1(flagged, faulty) > 0.9


def test_a_rule_that_flags_next_to_nothing_of_what_another_does_is_not_heard():
  votes = {'new': 2, 'distance': 1, 'crowd': 5}
  heard = lambda new, most: committee.heard(votes, {'new': new, 'distance': 0.1}, most)
  assert heard(0.01, 0.1) == {'new': 0, 'distance': 1, 'crowd': 5}
  assert heard(0.04, 0.1) == heard(0.0, 0.0) == votes


@pytest.mark.parametrize('seed', range(6))
def test_where_nothing_is_wrong_next_to_nothing_is_flagged(seed):
  """What a rule flags for nothing makes no other one blind."""
  rng = np.random.default_rng(seed)
  bags = lambda num: rng.poisson([3, 4, 5, 1, 1, 2, 8, 0.3], (num, 8))
  *_, flagged = fitted(bags(100), bags(0), bags(400))
  assert flagged.mean() < 0.05


def test_excess_is_what_is_flagged_beyond_false_alarms_and_chance():
  assert committee.excess(0.2, 0, 999) == pytest.approx(0.2, abs=1e-3)
  assert committee.excess(0.2, 200, 999) == committee.excess(0.22, 200, 999) == 0.0
  assert committee.excess(0.2, 0, 3) == 0.0 < committee.excess(0.2, 0, 30)
  assert committee.excess(0.19, 10, 100) == 0.0 < committee.excess(0.2, 10, 100)


def test_what_is_new_has_fewer_votes_beside_many_normals():
  votes = lambda num, **options: committee.weights(0, num, **options)
  assert 2 > votes(10)['new'] > votes(100)['new'] == 1.5 > votes(10**6)['new'] > 1
  assert votes(10, later=True) | {'crowd': 0} == votes(50, later=True) | {'crowd': 0}


def test_the_least_excess_allows_for_a_cut_where_it_is_largest():
  assert committee.sure_excess(0.2, 0, 10**6) == pytest.approx(0.2, abs=1e-3)
  assert committee.sure_excess(0.6, 2e5, 10**6) == pytest.approx(0.5, abs=1e-2)
  assert (
    committee.sure_excess(0.2, 10, 100) == 0.0 < committee.sure_excess(0.3, 10, 100)
  )
  for flagged in (0.05, 0.3, 0.9):
    least = committee.sure_excess(flagged, 3, 100)
    assert least <= committee.excess(flagged, 3, 100)


@pytest.mark.parametrize('later', [False, True])
def test_a_sure_estimate_silences_others_where_it_has_a_vote(later, monkeypatch):
  rng = np.random.default_rng(0)
  normals, rest = rng.poisson(3, (2, 60, 5))
  monkeypatch.setattr(committee, 'sure_excess', lambda *_: 1.0)
  unlabelled, none = evidence.Sample.of(rest), evidence.Sample.of(rest[:0])
  reference = evidence.fit(evidence.Sample.of(normals), none, unlabelled, later)
  votes = rules.worlds(reference, unlabelled).votes
  assert [*committee.weights(0, 60, later)][0] == 'new' and bool(votes[0]) == later


def test_votes_fall_with_the_labelled_anomalies_that_a_rule_misses():
  votes = {'trees': 2.0, 'new': 2.0, 'crowd': 1.0}
  tried = lambda hits, num: committee.tried(votes, {'trees': hits, 'new': num}, num)
  assert tried(0, 10)['trees'] < tried(5, 10)['trees'] < tried(10, 10)['trees'] < 2
  assert tried(10, 10)['trees'] == tried(0, 10)['new'] and tried(3, 10)['crowd'] == 1
  assert tried(0, 1) == votes  # what is learned of it is judged by no other anomaly


def test_labelled_sessions_are_judged_without_themselves():
  """Two anomalies share an event; the others have one that no other session has."""
  anomalies = np.eye(8)[[2, 2, 3, 4, 5]] + np.eye(8)[0]
  normals = np.tile(np.eye(8)[:1], (20, 1))
  reference, unlabelled, _ = fitted(normals, anomalies, np.eye(8))
  alert = rules._alerts(reference, reference.anomalies, unlabelled.counts)
  assert alert.own.tolist() == [False] * len(reference.normal.scores) + [
    True, True, False, False, False
  ]  # fmt: skip
  assert alert.flagged.tolist() == [False, False, *[True] * 4, False, False]
