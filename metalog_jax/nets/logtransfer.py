"""LogTransfer's network: two LSTM layers, the last state, a dense layer, two logits."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers, lstm

Array = types.Array
SHARED = ('dense', 'head')  # what is trained on the source alone


class Network(nn.Module):
  """Logits of a batch of sessions: [B, 2], normal and anomalous.

  Attributes:
    hidden: H, the size of each LSTM layer's state.
    dense: units of the layer before the logits.
    dropout: share of each layer's states that are dropped while training.

  References:
    Chen et al, LogTransfer, ISSRE 2020.
  """

  hidden: int = 128
  dense: int = 150
  dropout: float = 0.5
  train: bool = False

  def __call__(self, batch: types.Batch) -> Array:
    return self._run(batch)[0]

  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and by how much each place raised the verdict [N'].

    That is the growth of p(anomalous) where the session ended there.
    """
    logits, every = self._run(batch, everywhere=True)
    p = jax.nn.softmax(every)[:, 1].reshape(batch.sessions.shape)
    same = batch.sessions[1:] == batch.sessions[:-1]
    before = jnp.concatenate([jnp.zeros_like(p[:1]), jnp.where(same, p[:-1], 0)])
    return logits, jnp.maximum(p - before, 1e-6).ravel() * grid.mask(batch)

  @nn.compact
  def _run(self, batch: types.Batch, everywhere: bool = False):
    drop = nn.Dropout(self.dropout, deterministic=not self.train)
    cells = jnp.arange(batch.events.size, dtype=jnp.int32).reshape(batch.events.shape)
    for name in ('lstm_1', 'lstm_2'):
      states = drop(lstm.Lstm(self.hidden, name=name)(batch))
      batch = batch._replace(vectors=states, events=cells)  # what the next layer reads
    dense = layers.torch_linear(self.dense, self.hidden, 'dense')
    head = layers.torch_linear(2, self.dense, 'head')
    logits = lambda x: head(jax.nn.relu(dense(x)))
    states = grid.places(states, batch)
    out = logits(grid.last(states, batch))
    return out, logits(states) if everywhere else None
