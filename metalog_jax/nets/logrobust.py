"""LogRobust's network: bidirectional LSTM, attention, two logits."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, init, linear, lstm

Array = types.Array


def tanh_attention(
  weight: Array, bias: Array, states: Array, batch: types.Batch
) -> tuple[Array, Array]:
  """s_t = tanh(w·h_t + b), weights = softmax(s) over the events of a session.

  Args:
    weight: [H].
    bias: [].
    states: [N', H].
    batch: the batch that the states are of.

  Returns:
    The context [B, H], and the weight of every place [N'].
  """
  # |s| <= 1, so none needs to be taken off before exp.
  parts = jnp.exp(jnp.tanh(states @ weight + bias)) * grid.mask(batch)
  total = grid.sums(parts, batch)
  weights = parts / jnp.append(total, 1)[batch.sessions.ravel()]
  return grid.sums(weights[:, None] * states, batch), weights


class Network(nn.Module):
  """Logits of a batch of sessions: [B, 2], normal and anomalous.

  Attributes:
    hidden: H, the size of the state of one direction.
    dropout: share of the states' units that are dropped while training.
    train: whether this is training, with dropout.
    dtype: what to compute in; by default the type of the parameters. Logits come
      back as float32 at least.

  References:
    Zhang et al, LogRobust, ESEC/FSE 2019.
  """

  hidden: int = 128
  dropout: float = 0.0
  train: bool = False
  dtype: Any = None

  def __call__(self, batch: types.Batch) -> Array:
    return self.attend(batch)[0]

  @nn.compact
  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and the attention weight of every place [N']."""
    batch = batch._replace(vectors=init.cast(batch.vectors, self.dtype))
    reader = lstm.Lstm(self.hidden, bidirectional=True, dtype=self.dtype, name='lstm')
    states = grid.places(reader(batch), batch)
    states = nn.Dropout(self.dropout, deterministic=not self.train)(states)
    size = states.shape[-1]
    weight = self.param('attention_weight', init.uniform(size), (size,))
    bias = self.param('attention_bias', init.uniform(size), ())
    weight, bias = init.cast((weight, bias), self.dtype)
    context, weights = tanh_attention(weight, bias, states, batch)
    start = init.uniform(size)
    logits = linear.Linear(2, dtype=self.dtype, bias_init=start, name='head')(context)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), weights
