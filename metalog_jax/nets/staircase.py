"""The geometry of a staircase batch (`types.Batch`): masks, bands and back.

A segment is a span of time over the rows that reach it; a band is a span of
rows that reach equally many segments. Recurrences run over segments, whatever
looks at a whole session at once runs over bands; both keep padding small.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp

from metalog_jax import types

Array = types.Array


def masks(batch: types.Batch) -> tuple[Array, ...]:
  """Tells events from padding: one bool [R_k, L_k] per segment."""
  out, start = [], 0
  for events in batch.events:
    rows, steps = events.shape
    out.append(start + jnp.arange(steps) < batch.lengths[:rows, None])
    start += steps
  return tuple(out)


def to_bands(segments: Sequence[Array]) -> list[Array]:
  """Segments [R_k, L_k, ...] to bands [n_j, L_0 + ... + L_j, ...], longest first."""
  rows = [segment.shape[0] for segment in segments] + [0]
  return [
    jnp.concatenate([s[rows[j + 1] : rows[j]] for s in segments[: j + 1]], axis=1)
    for j in reversed(range(len(segments)))
    if rows[j + 1] < rows[j]
  ]


def to_segments(bands: Sequence[Array], batch: types.Batch) -> tuple[Array, ...]:
  """The inverse of `to_bands`, for a batch of the same layout."""
  ends = list(itertools.accumulate(events.shape[1] for events in batch.events))
  return tuple(
    jnp.concatenate([b[:, start:end] for b in bands if b.shape[1] >= end])
    for start, end in zip([0, *ends], ends, strict=False)
  )
