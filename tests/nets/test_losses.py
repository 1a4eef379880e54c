"""The loss: weights are repetitions, and the released loss is the same."""

import numpy as np
import pytest

from metalog_jax.nets import losses

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(5, 2)) * 3, RNG.random(5)


def test_a_weight_is_so_many_rows():
  weights = np.array([1, 3, 0, 2, 1])
  repeated = losses.cross_entropy(
    np.repeat(LOGITS, weights, 0), np.repeat(LABELS, weights), np.ones(weights.sum())
  )
  ours = losses.cross_entropy(LOGITS, LABELS, weights.astype(float))
  assert float(ours) == pytest.approx(float(repeated), rel=1e-14)


def test_equals_the_released_binary_cross_entropy():
  p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
  y = np.stack([1 - LABELS, LABELS], axis=1)
  released = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
  ours = losses.cross_entropy(LOGITS, LABELS, np.ones(5))
  assert float(ours) == pytest.approx(released, rel=1e-14)


def test_a_batch_of_padding_costs_nothing():
  assert losses.cross_entropy(LOGITS, LABELS, np.zeros(5)) == 0
