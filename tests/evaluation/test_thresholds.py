"""Thresholds: what each promises, on any scores."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.evaluation import thresholds

_scores = st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=30)


@hypothesis.settings(deadline=None)
@hypothesis.given(_scores, st.floats(0, 1))
def test_quantile_is_the_lowest_score_that_keeps_its_promise(scores, share):
  found = thresholds.alert_rate(scores, 1 - share)
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


def test_ties_do_not_flood():
  assert thresholds.alert_rate([0.0] * 99 + [1.0], 0.01) == 0
  assert thresholds.alert_rate([0.5] * 10, 0.1) == 0.5


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: thresholds.alert_rate([1.0], 2), '--alert_rate'),
    (lambda: thresholds.alert_rate([], 0.1), '--alert_rate'),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(ValueError, match=message):
    call()
