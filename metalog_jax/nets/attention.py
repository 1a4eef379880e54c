"""Attention pooling: from the states of a session to one vector.

All kinds reduce to ONE weight per event: context = sum_j weight_j h_j. That is
cheaper than forming the attended sequence, and it is what a report can show. Every
function takes the states at the places of a batch [N', H] (see `grid`), and gives the
contexts [B, H] and the weight of every place [N'].
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers

Array = types.Array
Pooling = Literal['sum', 'mean', 'log_sum']


def self_attention(
  w_q: Array,
  w_k: Array,
  states: Array,
  batch: types.Batch,
  pooling: Pooling = 'sum',
  scale: bool = False,
) -> tuple[Array, Array]:
  """MetaLog's attention over a session's states A: Sum_t(softmax(Q Kᵀ) A)_t.

  Q = A W_qᵀ and K = A W_kᵀ, so that Q Kᵀ = A (W_qᵀ W_k) Aᵀ: one product with the
  states in place of two, but for a session alone that is short. The sum over positions
  is taken first, on the attention matrix: an event's weight is its column sum, and the
  [L, L] x [L, H] product is never formed.

  Args:
    w_q, w_k: [H, H].
    pooling: 'sum' as published; 'mean' divides by the number of events, so that
      long sessions do not drown the head; 'log_sum' is asinh(sum), which grows
      with the logarithm of the number of events.
    scale: divide the scores by sqrt(H). The paper does not.

  References:
    Zhang et al, MetaLog, ICSE 2024, eq. 4 (which also defines V and leaves it
    unused).
  """
  size = w_q.shape[0]
  a, sessions = (grid.rows(x, batch) for x in (states, batch.sessions.ravel()))
  inside = sessions[:, :, None] == sessions[:, None, :]  # [R', L', L']
  if a.shape[0] == 1 and 2 * a.shape[1] <= size:  # of an export, rows are open
    left = (a @ w_q.T) @ w_k / (math.sqrt(size) if scale else 1)
  else:
    left = a @ (w_q.T @ w_k / (math.sqrt(size) if scale else 1))
  scores = jnp.where(inside, left @ a.swapaxes(1, 2), jnp.finfo(a.dtype).min / 2)
  matrix = jax.nn.softmax(scores, axis=-1)
  weights = matrix.sum(1)
  if pooling == 'mean':
    weights /= inside.sum(1)
  weights = weights.T.ravel() * grid.mask(batch)
  context = grid.sums(weights[:, None] * states, batch)
  return jnp.arcsinh(context) if pooling == 'log_sum' else context, weights


def guide_attention(
  guide: Array, weight: Array, bias: Array, states: Array, batch: types.Batch
) -> tuple[Array, Array]:
  """The released MetaLog's attention: additive, asked by one learned guide g.

  s_t = tanh(w₁·g + w₂·h_t + b), weights = softmax(s). As |s| <= 1, no event
  weighs more than e² times another.

  Args:
    guide: [H]; weight: [2H], w₁ and w₂; bias: [].
  """
  w_guide, w_state = jnp.split(weight, 2)
  scores = jnp.tanh(w_guide @ guide + states @ w_state + bias)
  # No score is far from another, so none needs to be taken off before exp.
  return _in_proportion(jnp.exp(scores) * grid.mask(batch), states, batch)


def score_attention(
  weight: Array, bias: Array, states: Array, batch: types.Batch
) -> tuple[Array, Array]:
  """LogMeta's attention: s_t = w·h_t + b, weights = softmax(s).

  The bias moves all scores of a session alike, so nothing depends on it. weight: [H],
  bias: [].

  References:
    Sun et al, LogRoBERTa, Automated Software Engineering 2025 (which attends to
    padding as well).
  """
  scores = states @ weight + bias
  # Scores have no bound. What is taken off cancels, so it is as good as a constant.
  fixed = jax.lax.stop_gradient(scores)
  largest = grid.maxima(fixed, batch, floor=jnp.finfo(fixed.dtype).min)
  below = scores - jnp.append(largest, 0)[batch.sessions.ravel()]
  # Before exp: what stands in empty cells could overflow, and inf * 0 is nan.
  parts = jnp.exp(jnp.where(grid.mask(batch), below, -jnp.inf))
  return _in_proportion(parts, states, batch)


def tanh_attention(
  weight: Array, bias: Array, states: Array, batch: types.Batch
) -> tuple[Array, Array]:
  """LogRobust's: s_t = tanh(w·h_t + b), weights = softmax(s); weight: [H], bias: []."""
  # |s| <= 1, so none needs to be taken off before exp.
  parts = jnp.exp(jnp.tanh(states @ weight + bias)) * grid.mask(batch)
  return _in_proportion(parts, states, batch)


def mean(states: Array, batch: types.Batch) -> tuple[Array, Array]:
  """No attention: the mean over a session's states, as in MetaLog's ablation."""
  return _in_proportion(grid.mask(batch).astype(states.dtype), states, batch)


def _in_proportion(
  parts: Array, states: Array, batch: types.Batch
) -> tuple[Array, Array]:
  """Contexts [B, H] and weights [N'] that are as parts [N'] >= 0, of sum one."""
  total = grid.sums(parts, batch)
  weights = parts / jnp.append(total, 1)[batch.sessions.ravel()]
  return grid.sums(weights[:, None] * states, batch), weights


class SelfAttention(nn.Module):
  """Declares the parameters of `self_attention`."""

  pooling: Pooling = 'sum'
  scale: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(self, states: Array, batch: types.Batch):
    size = states.shape[-1]
    w_q = self.param('w_q', layers.uniform(size), (size, size))
    w_k = self.param('w_k', layers.uniform(size), (size, size))
    w_q, w_k = layers.cast((w_q, w_k), self.dtype)
    return self_attention(w_q, w_k, states, batch, self.pooling, self.scale)


class GuideAttention(nn.Module):
  """Declares the parameters of `guide_attention`."""

  dtype: Any = None

  @nn.compact
  def __call__(self, states: Array, batch: types.Batch):
    size = states.shape[-1]
    guide = self.param('guide', nn.initializers.normal(1.0), (size,))
    # Xavier's bound for a [1, 2H] matrix.
    weight = self.param(
      'weight', layers.uniform(2 * size + 1, math.sqrt(6)), (2 * size,)
    )
    bias = self.param('bias', nn.initializers.zeros, ())
    guide, weight, bias = layers.cast((guide, weight, bias), self.dtype)
    return guide_attention(guide, weight, bias, states, batch)


class ScoreAttention(nn.Module):
  """Declares the parameters of `score_attention`, which start as PyTorch's `Linear`."""

  @nn.compact
  def __call__(self, states: Array, batch: types.Batch):
    size = states.shape[-1]
    weight = self.param('weight', layers.uniform(size), (size,))
    bias = self.param('bias', layers.uniform(size), ())
    return score_attention(weight, bias, states, batch)
