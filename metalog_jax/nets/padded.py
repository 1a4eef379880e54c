"""Batches as the released MetaLog has them: sessions padded to the longest of a batch.

Its GRU runs over the padding as if that were events with a vector of zeros, so that
states, above all the backward ones, depend on what else is in the batch; attention
skips it. Nothing but that fault wants this: grids are packed everywhere else.
"""

import jax
import jax.numpy as jnp

from metalog_jax import types

Array = types.Array


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
  sessions, position = batch.sessions.ravel(), positions(batch)
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


def positions(batch: types.Batch) -> Array:
  """[N'] the number of each place in its session, from 0."""
  steps, rows = batch.sessions.shape
  step = jnp.repeat(jnp.arange(steps), rows)
  sessions = batch.sessions.ravel()
  first = jax.ops.segment_min(step, sessions, len(batch.labels) + 1)
  return step - first[sessions]
