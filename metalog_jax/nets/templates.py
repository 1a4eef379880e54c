"""Event vectors by the upper layers of an encoder, whose weights are parameters."""

from typing import Any

import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.embeddings import encoder, pretrained, states

Array = types.Array


def vectors(
  params: Any,
  rows: Array,
  form: pretrained.Form,
  top_layers: int,
  pooling: pretrained.Pooling = 'mean',
) -> Array:
  """Event vectors [V, D]: the upper layers, then pooling over the tokens.

  Args:
    params: of `encoder.apply_top`.
    rows: [V, L, D + 1], see `states.States`.
    form: the encoder up to its last layer.
    top_layers: how many of its layers are computed here.
    pooling: see `encoder.pool`.
  """
  rows = jnp.asarray(rows)
  hidden, marks = rows[..., :-1], rows[..., -1]
  segments = encoder.segments_of(marks == states.TOKEN)
  last = encoder.apply_top(params, hidden, segments, form, top_layers)
  pooled = encoder.pool(last, segments, len(rows), pooling)
  return jnp.where(marks[:, :1] == states.READY, hidden[:, 0], pooled)
