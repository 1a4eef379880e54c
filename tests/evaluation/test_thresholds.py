"""Thresholds: what each promises, on any scores."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.evaluation import metrics, thresholds

_scores = st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=30)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 6)), min_size=1, max_size=30)
)
def test_best_f1_is_the_best_of_all_thresholds(rows):
  labels, scores = (np.array(column, float) for column in zip(*rows))
  hypothesis.assume((labels == 1).any())
  f1 = lambda threshold: metrics.measure(labels, scores, threshold)['f1']
  found = thresholds.best_f1(labels, scores)
  assert np.isfinite(found)
  assert f1(found) == pytest.approx(max(map(f1, np.arange(-0.5, 7))))


def test_best_f1_lies_halfway_in_the_gap():
  assert thresholds.best_f1([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)
  # one hit without a false alarm is as good as two hits with two
  widest = thresholds.best_f1([0, 1, 0, 0, 1], [0.0, 0.5, 0.7, 0.8, 0.9])
  assert widest == pytest.approx(0.25)
  widest = thresholds.best_f1([0, 1, 0, 0, 1], [0.4, 0.5, 0.7, 0.75, 0.9])
  assert widest == pytest.approx(0.825)
  # unlabelled scores are no neighbours
  assert thresholds.best_f1([0, -1, 1], [0.0, 0.5, 1.0]) == pytest.approx(0.5)


def test_best_f1_weighs_sessions():
  labels, scores = [0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0]
  assert thresholds.best_f1(labels, scores, [1, 9, 1, 1]) == pytest.approx(1.5)
  assert thresholds.best_f1(labels, scores, [1, 1, 9, 9]) == pytest.approx(3.5)


def test_best_f1_between_numbers_without_room():
  low = 1.0
  high = np.nextafter(low, 2)
  found = thresholds.best_f1([0, 1], [low, high])
  assert low <= found < high


def test_best_f1_needs_an_anomaly():
  with pytest.raises(ValueError, match='no anomaly'):
    thresholds.best_f1([0, -1], [1, 2])


@hypothesis.settings(deadline=None)
@hypothesis.given(_scores, st.floats(0, 1))
def test_quantile_is_the_lowest_score_that_keeps_its_promise(scores, share):
  found = thresholds.normal_quantile(scores, share)
  scores = np.array(scores)
  assert found in scores
  assert np.mean(scores > found) <= 1 - share + 1e-9
  lower = scores[scores < found]
  if share > 0 and len(lower):
    assert np.mean(scores > lower.max()) > 1 - share - 1e-9


@hypothesis.settings(deadline=None)
@hypothesis.given(_scores, st.floats(0, 1))
def test_alert_rate_is_not_exceeded(scores, rate):
  found = thresholds.alert_rate(scores, rate)
  assert np.mean(np.array(scores) > found) <= rate + 1e-9


def test_weighted_quantile_is_that_of_repeats():
  scores, times = np.array([3.0, 1, 2]), np.array([1, 5, 4])
  for share in (0.3, 0.5, 0.55, 0.9, 0.95):
    assert thresholds.normal_quantile(scores, share, times) == (
      thresholds.normal_quantile(np.repeat(scores, times), share)
    )


def test_ties_do_not_flood():
  assert thresholds.normal_quantile([0.0] * 99 + [1.0], 0.99) == 0
  assert thresholds.alert_rate([0.5] * 10, 0.1) == 0.5


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: thresholds.normal_quantile([], 0.9), 'no normal'),
    (lambda: thresholds.normal_quantile([1.0], 1.5), 'between 0 and 1'),
    (lambda: thresholds.alert_rate([1.0], 2), '--alert_rate'),
    (lambda: thresholds.alert_rate([], 0.1), '--alert_rate'),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_fixed():
  assert thresholds.fixed() == 0.5
