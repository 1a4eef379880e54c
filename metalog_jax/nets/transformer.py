"""A transformer encoder over the sessions of a packed grid, and NeuralLog's network."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers

Array = types.Array
_EPSILON = 1e-6


def sinusoids(position: Array, size: int, dtype: Any) -> Array:
  """[N', size]: sines in even columns, cosines in odd ones (Vaswani et al, 2017)."""
  column = jnp.arange(size)
  rate = jnp.exp(-math.log(10000.0) * (column - column % 2).astype(dtype) / size)
  angle = position[:, None].astype(dtype) * rate
  return jnp.where(column % 2 == 0, jnp.sin(angle), jnp.cos(angle))


def attention(q: Array, k: Array, v: Array, batch: types.Batch) -> Array:
  """softmax(q kᵀ / sqrt(size)) v within every session.

  Args:
    q, k, v: [N', heads, size].

  Returns:
    [N', heads * size].
  """
  q, k, v, sessions = (grid.rows(x, batch) for x in (q, k, v, batch.sessions.ravel()))
  inside = (sessions[:, :, None] == sessions[:, None, :])[:, None]  # [R', 1, L', L']
  scores = jnp.einsum('rlhd,rmhd->rhlm', q, k) / math.sqrt(q.shape[-1])
  scores = jnp.where(inside, scores, jnp.finfo(q.dtype).min / 2)
  out = jnp.einsum('rhlm,rmhd->rlhd', jax.nn.softmax(scores), v)
  return out.swapaxes(0, 1).reshape(batch.sessions.size, -1)


class Norm(nn.Module):
  """Layer normalization, in PyTorch's names."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    weight = self.param('weight', nn.initializers.ones, x.shape[-1:])
    bias = self.param('bias', nn.initializers.zeros, x.shape[-1:])
    centred = x - x.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
    return centred * scale * weight + bias


class Encoder(nn.Module):
  """One encoder block, normalized after each part: [N', D] -> [N', D].

  Attributes:
    heads: attention heads, each of `size` units.
    hidden: units of the feed-forward part.
    dropout: share of each part's output that is dropped while training.
  """

  heads: int
  size: int
  hidden: int
  dropout: float = 0.0
  train: bool = False

  @nn.compact
  def __call__(self, x: Array, batch: types.Batch) -> Array:
    dense = lambda size, name, x: layers.torch_linear(size, x.shape[-1], name)(x)
    drop = nn.Dropout(self.dropout, deterministic=not self.train)
    split = lambda y: y.reshape(y.shape[0], self.heads, self.size)
    q, k, v = (split(dense(self.heads * self.size, name, x)) for name in 'qkv')
    attended = dense(x.shape[-1], 'out', attention(q, k, v, batch))
    x = Norm(name='norm_1')(x + drop(attended))
    y = dense(x.shape[-1], 'ffn_2', jax.nn.relu(dense(self.hidden, 'ffn_1', x)))
    return Norm(name='norm_2')(x + drop(y))


class Network(nn.Module):
  """NeuralLog's logits of a batch of sessions: [B, 2], normal and anomalous.

  Attributes:
    heads: attention heads.
    size: units of each head; 0: as many as a vector has, as in NeuralLog.
    hidden: units of the feed-forward part; dense: of the layer before the logits.
    dropout: share dropped while training.

  References:
    Le and Zhang, NeuralLog, ASE 2021.
  """

  heads: int = 12
  size: int = 0
  hidden: int = 2048
  dense: int = 32
  dropout: float = 0.1
  train: bool = False

  def __call__(self, batch: types.Batch) -> Array:
    return self._run(batch)[0]

  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and p(anomalous) of each place alone [N']."""
    logits, every = self._run(batch, everywhere=True)
    return logits, jax.nn.softmax(every)[:, 1] * grid.mask(batch) + 1e-30

  @nn.compact
  def _run(self, batch: types.Batch, everywhere: bool = False):
    vectors = jnp.asarray(batch.vectors)
    dim = vectors.shape[-1]
    x = grid.places(vectors[batch.events.ravel()], batch)
    x += sinusoids(positions(batch), dim, x.dtype)
    size, how = self.size or dim, (self.hidden, self.dropout, self.train)
    x = Encoder(self.heads, size, *how, name='encoder')(x, batch)
    drop = nn.Dropout(self.dropout, deterministic=not self.train)
    dense = layers.torch_linear(self.dense, dim, 'dense')
    head = layers.torch_linear(2, self.dense, 'head')
    logits = lambda y: head(drop(jax.nn.relu(dense(drop(y)))))
    return logits(grid.means(x, batch)), logits(x) if everywhere else None


def positions(batch: types.Batch) -> Array:
  """[N'] the number of each place in its session, from 0."""
  steps, rows = batch.sessions.shape
  step = jnp.repeat(jnp.arange(steps), rows)
  sessions = batch.sessions.ravel()
  first = jax.ops.segment_min(step, sessions, batch.labels.shape[0] + 1)
  return step - first[sessions]
