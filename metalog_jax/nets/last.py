"""The state that a session ends with."""

import jax
import jax.numpy as jnp

from metalog_jax import types

Array = types.Array


def last(states: Array, batch: types.Batch) -> Array:
  """What stands at the last place of every session: [N', H] -> [B, H].

  Zero for sessions without events. Further steps have higher flat numbers, so the
  last place of a session is its highest.
  """
  num = len(batch.labels)
  places = jnp.arange(batch.sessions.size)
  found = jax.ops.segment_max(places, batch.sessions.ravel(), num + 1)[:num]
  return states.at[jnp.where(found < 0, len(states), found)].get(
    mode='fill', fill_value=0
  )
