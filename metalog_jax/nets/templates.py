"""Event vectors by the upper layers of an encoder, whose weights are parameters."""

from typing import Any

import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.embeddings import encoder, pretrained

Array = types.Array


def vectors(
  params: Any,
  rows: Array,
  form: pretrained.Form,
  top_layers: int,
  pooling: pretrained.Pooling = 'mean',
) -> Array:
  """Event vectors [R L / 2 + 1, D]: the upper layers, then pooling over the tokens.

  More than there are texts, as none but the unknown event has fewer than two tokens;
  those of no text are zero.

  Args:
    params: of `encoder.apply_top`.
    rows: [R, L, D + 1], see `states.States`.
    form: the encoder up to its last layer.
    top_layers: how many of its layers are computed here.
    pooling: see `encoder.pool`.
  """
  rows = jnp.asarray(rows)
  hidden, marks = rows[..., :-1], rows[..., -1].astype(jnp.int32)
  segments, ready = jnp.maximum(marks, 0), jnp.maximum(-marks, 0)
  num = marks.size // 2 + 1
  last = encoder.apply_top(params, hidden, segments, form, top_layers)
  made = encoder.pool(last, segments, num, pooling)
  return made + encoder.pool(hidden, ready, num)
