"""The geometry of a staircase batch (`types.Batch`).

Inside the networks everything that is done to each event alone is done on flat
arrays [N, ...], one row for every position the batch stores: segment after
segment, in each one time step after another, in each the rows. What looks along
time splits them:

* a segment is a span of time over the rows that reach it; recurrences run over
  segments;
* a band is a span of rows that reach equally many segments; what looks at whole
  sessions runs over bands.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp

from metalog_jax import types

Array = types.Array
Layout = tuple[tuple[int, int], ...]  # (R_k, L_k) of every segment


def layout(batch: types.Batch) -> Layout:
  """The shapes of the segments."""
  return tuple(events.shape for events in batch.events)


def ends(layout: Layout) -> list[int]:
  """Where flat segments begin and end: 0 first, N last."""
  return list(itertools.accumulate((r * steps for r, steps in layout), initial=0))


def flat(segments: Sequence[Array]) -> Array:
  """Segments [R_k, L_k, ...] to [N, ...]."""
  return jnp.concatenate([s.swapaxes(0, 1).reshape(-1, *s.shape[2:]) for s in segments])


def split(x: Array, layout: Layout) -> list[Array]:
  """[N, ...] to segments [R_k, L_k, ...]."""
  return [
    x[start:end].reshape(steps, rows, *x.shape[1:]).swapaxes(0, 1)
    for (start, end), (rows, steps) in zip(itertools.pairwise(ends(layout)), layout)
  ]


def shift(x: Array, layout: Layout, reverse: bool = False) -> Array:
  """What stands one step before (or after, in reverse) in the same row: [N, ...].

  Zero where nothing does. As rows are sorted, what a segment hands on to itself
  and to the next one lies side by side.
  """
  rows = [r for r, _ in layout] + [0]
  zeros = lambda n: jnp.zeros((n, *x.shape[1:]), x.dtype)
  parts = [] if reverse else [zeros(rows[0])]
  for k, (start, end) in enumerate(itertools.pairwise(ends(layout))):
    if reverse:
      parts += [x[start + rows[k] : end + rows[k + 1]], zeros(rows[k] - rows[k + 1])]
    else:
      parts.append(x[start : end - rows[k] + rows[k + 1]])
  return jnp.concatenate(parts)


def mask(batch: types.Batch) -> Array:
  """Whether a position holds an event: [N]."""
  masks, start = [], 0
  for rows, steps in layout(batch):
    times = jnp.arange(start, start + steps)
    masks.append(times < batch.lengths[:rows, None])
    start += steps
  return flat(masks)


def bands(x: Array, layout: Layout) -> list[Array]:
  """[N, ...] to bands [n, L_0 + ... + L_k, ...], the longest rows first."""
  rows = [r for r, _ in layout] + [0]
  segments = split(x, layout)
  return [
    jnp.concatenate([s[rows[k + 1] : rows[k]] for s in segments[: k + 1]], axis=1)
    for k in reversed(range(len(segments)))
    if rows[k + 1] < rows[k]
  ]


def segments(bands: Sequence[Array], layout: Layout) -> tuple[Array, ...]:
  """Bands to segments [R_k, L_k, ...]."""
  ends = itertools.accumulate((steps for _, steps in layout), initial=0)
  return tuple(
    jnp.concatenate([b[:, start:end] for b in bands if b.shape[1] >= end])
    for start, end in itertools.pairwise(ends)
  )
