"""All attentions: against their formulas, session by session."""

import jax
import jax.numpy as jnp
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


def test_self_attention_of_a_short_session_alone_is_equation_4():
  """Another order of products, where one row has fewer steps than half the states."""
  w_q, w_k, a = np.random.default_rng(2).normal(size=(3, 16, 16))
  a = a[:8]
  outside = np.arange(8)[:, None] >= 5  # three steps
  one = np.ones(1)
  batch = types.Batch(np.zeros((1, 1)), 0 * outside, outside.astype(int), 0 * one, one)
  context, _ = attention.self_attention(w_q, w_k, a, batch)
  scores = (a[:5] @ w_q.T) @ (a[:5] @ w_k.T).T
  expected = softmax(scores).sum(0) @ a[:5]
  np.testing.assert_allclose(context[0], expected, rtol=0, atol=1e-12)


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


def test_without_attention_it_is_the_mean_of_the_states(batch, states):
  states[np.array(batch.sessions.ravel() == len(batch.labels))] = 1e30  # empty cells
  context, weights = jax.jit(attention.mean)(states, batch)
  weights = grids.split(weights, batch)
  for i, a in enumerate(grids.split(states, batch)):
    expected = a.mean(0) if len(a) else np.zeros(SIZE)
    np.testing.assert_allclose(context[i], expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(weights[i], np.full(len(a), 1 / max(len(a), 1)))


@pytest.mark.parametrize('bias', [0.3, 1e4])
def test_score_attention_is_a_softmax_of_scores(batch, states, bias):
  """However large: without a maximum taken off, exp would overflow."""
  weight = np.random.default_rng(2).normal(size=SIZE)
  context, weights = jax.jit(attention.score_attention)(
    weight, np.array(bias), states, batch
  )
  weights = grids.split(weights, batch)
  for i, a in enumerate(grids.split(states, batch)):
    expected = softmax(a @ weight + bias) if len(a) else np.zeros(0)
    np.testing.assert_allclose(weights[i], expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(context[i], expected @ a, rtol=0, atol=1e-11)


def test_score_attention_has_the_derivatives_of_a_softmax(batch, states):
  """Of first and second order, and what stands in empty cells changes nothing."""
  weight, probe = np.random.default_rng(2).normal(size=(2, SIZE))
  empty = np.array(batch.sessions.ravel() == len(batch.labels))
  states[empty] = 1e5 * weight  # scores that exp cannot take

  def ours(weight, states):
    return attention.score_attention(weight, 0.3, states, batch)[0]

  def plain(weight, states):
    parts = states.reshape(*batch.sessions.shape, SIZE)
    at = [np.nonzero(batch.sessions.T == i)[::-1] for i in range(len(batch.labels))]
    pool = lambda a: jax.nn.softmax(a @ weight + 0.3) @ a
    return jnp.stack([pool(parts[steps, rows]) for steps, rows in at])

  def derivatives(run):
    loss = lambda w, a: ((run(w, a) @ probe) ** 2).sum()
    both = jax.grad(loss, (0, 1))
    slope = lambda w, a: sum((g**2).sum() for g in both(w, a))
    return jax.jit(lambda *x: (both(*x), jax.grad(slope, (0, 1))(*x)))(weight, states)

  assert grids.difference(derivatives(ours), derivatives(plain)) < 1e-12


def test_weights_at_padding_are_zero(batch, states):
  w_q, w_k = np.random.default_rng(2).normal(size=(2, SIZE, SIZE))
  padding = batch.sessions.ravel() == len(batch.labels)
  assert padding.any()
  for weights in (
    jax.jit(attention.self_attention)(w_q, w_k, states, batch)[1],
    jax.jit(attention.guide_attention)(w_q[0], w_k[:2].ravel(), 0.3, states, batch)[1],
    jax.jit(attention.score_attention)(w_q[0], 0.3, states, batch)[1],
    jax.jit(attention.mean)(states, batch)[1],
  ):
    assert weights.shape == (batch.sessions.size,)
    np.testing.assert_array_equal(weights[padding], 0)
