"""MetaLog's network: GRU, attention, two logits."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import attention, grid, gru, layers

Array = types.Array
Pooling = attention.Pooling


class Network(nn.Module):
  """Logits of a batch of sessions: [B, 2], normal and anomalous.

  The defaults are the paper's form; `RELEASED` is the released code's.

  Attributes:
    hidden: H, the size of the state of one direction.
    layers: layers of the GRU.
    bidirectional: whether each layer also reads from the end.
    attention: 'self' (the paper's eq. 4), 'guide' (the released code) or 'mean' (an
      ablation: the states weigh alike).
    pooling: of self-attention, see `attention.self_attention`.
    scale: whether self-attention divides its scores by sqrt(H).
    peaks: adds the largest value that every unit had, see `peaks`.
    head: 'tanh_logit' bounds the logits to (-1, 1) as the paper does; 'linear'
      starts with orthonormal rows and has a bias, as in the released code.
    dtype: what to compute in; by default the type of the parameters. Logits come
      back as float32 at least.
  """

  hidden: int = 100
  layers: int = 2
  bidirectional: bool = False
  attention: Literal['self', 'guide', 'mean'] = 'self'
  pooling: Pooling = 'sum'
  scale: bool = False
  peaks: bool = False
  head: Literal['tanh_logit', 'linear'] = 'tanh_logit'
  dtype: Any = None

  def __call__(self, batch: types.Batch) -> Array:
    return self.attend(batch)[0]

  @nn.compact
  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and the attention weight of every place [N']."""
    batch = batch._replace(vectors=layers.cast(batch.vectors, self.dtype))
    return self.judge(grid.places(self.read(batch), batch), batch)

  def read(self, batch: types.Batch) -> Array:
    """The GRU's states, by cells [N, H]."""
    return gru.Gru(
      self.hidden, self.layers, self.bidirectional, self.dtype, name='gru'
    )(batch)

  def judge(self, states: Array, batch: types.Batch) -> tuple[Array, Array]:
    """Logits and weights from the states by places [N', H]; see `attend`."""
    attend: Any = attention.mean
    if self.attention == 'self':
      attend = attention.SelfAttention(
        self.pooling, self.scale, self.dtype, name='attention'
      )
    elif self.attention == 'guide':
      attend = attention.GuideAttention(self.dtype, name='attention')
    context, weights = attend(states, batch)
    if self.peaks:
      context = jnp.concatenate([context, peaks(states, batch)], -1)
    if self.head == 'linear':
      start = layers.orthonormal_rows
      logits = layers.Linear(2, start, self.dtype, name='head')(context)
    else:
      logits = layers.Linear(2, bias=False, dtype=self.dtype, name='head')(context)
      logits = jnp.tanh(logits)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), weights


RELEASED = Network(bidirectional=True, attention='guide', head='linear')


def peaks(states: Array, batch: types.Batch) -> Array:
  """The largest value that every unit of the state had in a session: [N', H] -> [B, H].

  One event can decide, however long the session is. States are in (-1, 1); sessions
  without events have -1.
  """
  return grid.maxima(states, batch, floor=-1)
