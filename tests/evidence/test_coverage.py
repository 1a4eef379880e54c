"""Frequent kinds of session that no labelled anomaly is of."""

import numpy as np
import pytest
from scipy import sparse

from metalog_jax import evidence
from metalog_jax.evidence import committee, coverage, labels, rules

KINDS = sparse.csr_matrix(np.eye(6) + 1)
NORMALS = [20, 0, 0, 0, 0, 0]
UNLABELLED = [500, 100, 10, 20, 3, 1]


def missed(anomalies, unlabelled=UNLABELLED, normals=NORMALS):
  samples = ((KINDS, np.array(x, float)) for x in (normals, anomalies, unlabelled))
  return coverage.fit(*samples)


def test_the_more_frequent_a_kind_the_less_it_is_likely_to_be_missed():
  few, many = missed([0, 0, 0, 3, 1, 0]), missed([0, 0, 0, 12, 4, 0])
  for fitted in (few, many):
    values = fitted.of(KINDS)
    assert values[0] < values[1] < values[2] < values[5] < 0 == values[3] == values[4]
  assert many.of(KINDS)[1] < 2 * few.of(KINDS)[1] < -4
  assert not few.of(sparse.csr_matrix(np.eye(6)[:1] * 9)).any()  # of no known kind


@pytest.mark.parametrize('sessions', [10_000, 75])
def test_values_are_the_chance_that_all_labelled_anomalies_are_of_other_kinds(sessions):
  rng = np.random.default_rng(0)
  num, alone, known, here = 10, 3, 60, 40
  share = rng.beta(num - alone, alone + 1, 200_000)
  total = np.minimum((known + 1) / share, sessions)
  chance = np.mean((total / (total + here)) ** num)
  value = coverage._missed(np.array([here]), known, num, alone, sessions)
  assert value == pytest.approx(np.log(chance), rel=0.02)


def test_anomalies_that_are_all_different_say_nothing():
  assert missed([0, 0, 0, 1, 1, 0]) is None
  assert missed([0, 0, 0, 2, 1, 0], unlabelled=[0] * 6) is None


def test_the_labelled_anomalies_are_measured_with_themselves_left_out():
  fitted = missed([0, 0, 0, 3, 1, 1])
  alone = missed([0, 0, 0, 3, 0, 1]).of(KINDS)[4]
  assert fitted.own[3] == 0 > fitted.own[4] == pytest.approx(alone)


def test_a_kind_that_is_mostly_normal_does_not_count_as_anomalous():
  mixed = missed([2, 0, 0, 2, 0, 0], normals=[20, 0, 0, 0, 0, 0])
  assert mixed.of(KINDS)[1] == missed([0, 0, 0, 4, 0, 0]).of(KINDS)[1]


def test_equal_bags_have_equal_hashes_in_whatever_order():
  dense = np.array([[0.0, 3, 0, 2, 7, 1]])
  mixed = sparse.csr_matrix((dense[0, [4, 1, 5, 3]], [4, 1, 5, 3], [0, 4]), (1, 6))
  key = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 6)
  hashes = coverage._hashes(mixed, key)
  assert hashes == coverage._hashes(sparse.csr_matrix(dense), key)
  assert (hashes != coverage._hashes(KINDS, key)).all()


def one_usual_event():
  """All anomalies have an event that normal sessions have too, but not the labelled:
  its frequent kinds are not anomalous."""
  usual = np.array([[4.0, 4, 0, 0], [4, 4, 2, 0], [4, 4, 3, 0], [4, 4, 4, 0]])
  faulty = np.array([[4.0, 1, 1, 1], [1, 4, 1, 1], [1, 1, 1, 1]])
  counts = np.concatenate([usual, faulty])
  normals, none = evidence.Sample.of(usual[:1], np.array([12.0])), counts[:0]
  anomalies = evidence.Sample.of(faulty[:2], np.array([5.0, 3.0]))
  times = np.array([700.0, 90, 80, 70, 15, 10, 5])
  return normals, anomalies, evidence.Sample.of(counts, times), none


def test_frequent_kinds_without_labelled_anomalies_are_called_normal():
  *samples, _ = one_usual_event()
  flagged = {}
  for without in (evidence.OFF, (*evidence.OFF, 'missed')):
    fitted = evidence.fit(*samples, without=without)
    flagged[len(without)] = fitted.judge(samples[2].counts).scores > fitted.threshold
  assert flagged[1].tolist() == [False] * 4 + [True] * 3
  assert flagged[2].tolist() != flagged[1].tolist()


def test_the_labelled_sessions_own_scores_reckon_with_it():
  normals, anomalies, rest, _ = one_usual_event()
  fitted = evidence.fit(normals, anomalies._replace(times=np.array([5.0, 1])), rest)
  own = fitted.own.parts[:, evidence.NAMES.index('missed')]
  labelled = fitted.missed.of(normals.counts)
  assert own.tolist() == [*labelled, *fitted.missed.own] and own[2] < 0
  scores = [*fitted.normal.scores, *fitted.anomalous.scores]
  np.testing.assert_allclose(scores, fitted.own.parts.sum(axis=1))


def test_the_learned_scores_are_located_without_it(monkeypatch):
  """They were learned of other systems before there was this evidence."""
  *samples, _ = one_usual_event()
  given = []
  monkeypatch.setattr(committee, 'located', lambda *_, **x: given.append(x) or 0.0)
  for without in (evidence.OFF, (*evidence.OFF, 'missed')):
    rules.worlds(evidence.fit(*samples, without=without), samples[2])
  assert given[0] == pytest.approx(given[-1]) and len(given) == 4


def test_neither_promises_nor_later_sessions_rely_on_it():
  *samples, none = one_usual_event()
  assert evidence.fit(*samples).missed is not None
  assert evidence.fit(*samples, later=True).missed is None
  assert evidence.fit(*samples, false_alarms=0.1).missed is None
  assert evidence.fit(samples[0], evidence.Sample.of(none), samples[2]).missed is None


def test_what_is_taken_back_leaves_the_odds_of_one_more_unlike_kind():
  learned = np.array([-60.0, 0.0, 3.0])
  total = learned + labels.unlike(learned, 8)
  np.testing.assert_allclose(total, np.log(0.1 + 0.9 * np.exp(learned)), atol=1e-12)


def test_later_sessions_unlike_all_labelled_anomalies_are_not_normal_for_that():
  *samples, _ = one_usual_event()
  later = evidence.fit(*samples, later=True)
  odd = sparse.csr_matrix([[1.0, 9, 0, 0]])
  column = evidence.NAMES.index('unlike')
  learned = [evidence.NAMES.index(name) for name in labels.NAMES]
  for bag in (odd, samples[2].counts):
    parts = later.judge(bag).parts
    taken = parts[:, learned].sum(axis=1) + parts[:, column]
    assert (taken >= np.log(1 / 10) - 1e-9).all()  # 8 anomalies are labelled
  assert later.judge(odd).parts[0, column] > 0
  assert later.normal.scores == pytest.approx(later.own.parts[:1].sum())
  for other in ({}, {'later': True, 'without': ('unlike', 'order')}):
    assert not evidence.fit(*samples, **other).judge(odd).parts[:, column].any()
