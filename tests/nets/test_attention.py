"""Both attentions: against their formulas, session by session."""

import jax
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.nets import attention
from tests import grids

SIZE = 4


@pytest.fixture(name='batch')
def fixture_batch() -> types.Batch:
  return grids.batch(rows=9)


@pytest.fixture(name='states')
def fixture_states(batch) -> np.ndarray:
  return np.random.default_rng(1).normal(size=(batch.sessions.size, SIZE))


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize('pooling', ['sum', 'mean', 'log_sum'])
@pytest.mark.parametrize('scale', [False, True])
def test_self_attention_is_equation_4(batch, states, pooling, scale):
  w_q, w_k = np.random.default_rng(2).normal(size=(2, SIZE, SIZE))
  context, weights = jax.jit(attention.self_attention, static_argnums=(4, 5))(
    w_q, w_k, states, batch, pooling, scale
  )
  weights = grids.split(weights, batch)
  for i, a in enumerate(grids.split(states, batch)):
    if not len(a):
      np.testing.assert_array_equal(context[i], 0)
      continue
    scores = (a @ w_q.T) @ (a @ w_k.T).T / (np.sqrt(SIZE) if scale else 1)
    attended = softmax(scores) @ a
    expected = attended.mean(0) if pooling == 'mean' else attended.sum(0)
    if pooling == 'log_sum':
      expected = np.arcsinh(expected)
    np.testing.assert_allclose(context[i], expected, rtol=0, atol=1e-12)
    total = 1 if pooling == 'mean' else len(a)
    np.testing.assert_allclose(weights[i].sum(), total, rtol=1e-12)


def test_guide_attention_is_the_released_one(batch, states):
  rng = np.random.default_rng(2)
  guide, weight, bias = rng.normal(size=SIZE), rng.normal(size=2 * SIZE), 0.3
  context, weights = jax.jit(attention.guide_attention)(
    guide, weight, np.array(bias), states, batch
  )
  weights = grids.split(weights, batch)
  for i, a in enumerate(grids.split(states, batch)):
    joint = np.concatenate([np.tile(guide, (len(a), 1)), a], axis=1)
    expected = softmax(np.tanh(joint @ weight + bias)) if len(a) else np.zeros(0)
    np.testing.assert_allclose(weights[i], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(context[i], expected @ a, rtol=0, atol=1e-12)


def test_weights_at_padding_are_zero(batch, states):
  w_q, w_k = np.random.default_rng(2).normal(size=(2, SIZE, SIZE))
  weights = jax.jit(attention.self_attention)(w_q, w_k, states, batch)[1]
  assert weights.shape == (batch.sessions.size,)
  padding = batch.sessions.ravel() == len(batch.labels)
  assert padding.any()
  np.testing.assert_array_equal(weights[padding], 0)
