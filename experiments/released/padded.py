"""Batches as the released MetaLog has them: sessions padded to the longest of a batch.

Its GRU runs over the padding as if that were events with a vector of zeros, so that
states, above all the backward ones, depend on what else is in the batch; attention
skips it. Nothing but that fault wants this: grids are packed everywhere else.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers, metalog, transformer

Array = types.Array


class Network(metalog.Network):
  """MetaLog's network, whose GRU runs over padding."""

  @nn.compact
  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and the attention weight of every place [N']."""
    batch = batch._replace(vectors=layers.cast(batch.vectors, self.dtype))
    wide, padded, places = lay(batch)
    logits, weights = self.judge(grid.places(self.read(wide), padded), padded)
    return logits, weights.at[places].get(mode='fill', fill_value=0)


def lay(batch: types.Batch) -> tuple[types.Batch, types.Batch, Array]:
  """Lays the sessions of a packed grid out, one in each row.

  Args:
    batch: without shared beginnings; L' steps, B sessions.

  Returns:
    The sessions with their padding, on a grid [L', B]: what the GRU reads; the same
    grid where padding belongs to no session: what attention reads; and where on it
    each place of `batch` is [N'], N' = L' B for places without a session.
  """
  num, steps = len(batch.labels), batch.sessions.shape[0]
  sessions, position = batch.sessions.ravel(), transformer.positions(batch)
  places = jnp.where(sessions < num, position * num + sessions, steps * num)
  padding = len(batch.vectors)
  events = jnp.full(steps * num, padding, batch.events.dtype)
  events = events.at[places].set(batch.events.ravel(), mode='drop').reshape(steps, num)
  lengths = jax.ops.segment_sum(jnp.ones_like(position), sessions, num + 1)[:num]
  step, number = jnp.arange(steps)[:, None], jnp.arange(num)
  within = lambda ends: jnp.where(step < ends, number, num)
  longest = jnp.where(lengths > 0, lengths.max(), 0)  # sessions without events are none
  vectors = jnp.concatenate(
    [
      jnp.asarray(batch.vectors),
      jnp.zeros_like(batch.vectors, shape=(1, batch.vectors.shape[1])),
    ]
  )
  wide = batch._replace(vectors=vectors, events=events, sessions=within(longest))
  return wide, wide._replace(sessions=within(lengths)), places
