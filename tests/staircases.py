"""Staircase batches and parameters for tests of the networks, in any precision."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metalog_jax import types

CUTS = (2, 5, 9)
LENGTHS = (9, 8, 5, 5, 3, 2, 1)


def batch(
  seed: int = 0,
  lengths: Sequence[int] = LENGTHS,
  cuts: Sequence[int] = CUTS,
  templates: int = 6,
  dim: int = 5,
  rows: int = 0,
  dtype: Any = np.float64,
) -> types.Batch:
  """Random sessions of these lengths, longest first, cut at these times.

  Events at padding are random as well: nothing may depend on them.

  Args:
    rows: at least so many rows, with rows of length 0 if need be.
  """
  rng = np.random.default_rng(seed)
  lengths = np.array([*lengths, *[0] * (rows - len(lengths))], np.int32)
  reach = lambda start: len(lengths) if start == 0 else int(np.sum(lengths > start))
  starts = [0, *cuts[:-1]]
  return types.Batch(
    vectors=rng.normal(size=(templates, dim)).astype(dtype),
    events=tuple(
      rng.integers(0, templates, (reach(start), end - start)).astype(np.int32)
      for start, end in zip(starts, cuts, strict=True)
      if reach(start)
    ),
    lengths=lengths,
    labels=rng.random(len(lengths)).astype(dtype),
    weights=np.where(lengths > 0, rng.integers(1, 5, len(lengths)), 0).astype(dtype),
  )


def padded(batch: types.Batch, rows: int = 0, steps: int = 0) -> types.Batch:
  """The same sessions as one segment [B, L], with more padding if wanted."""
  total = len(batch.lengths)
  blocks = [np.pad(e, ((0, total - len(e)), (0, 0))) for e in batch.events]
  events = np.concatenate(blocks, axis=1)
  more = max(rows - total, 0), max(steps - events.shape[1], 0)
  pad = lambda x: np.pad(x, (0, more[0]))
  return batch._replace(
    events=(np.pad(events, ((0, more[0]), (0, more[1]))),),
    lengths=pad(batch.lengths),
    labels=pad(batch.labels),
    weights=pad(batch.weights),
  )


def sequences(batch: types.Batch) -> list[np.ndarray]:
  """The events of every row, without padding."""
  events = padded(batch).events[0]
  return [row[:length] for row, length in zip(events, batch.lengths, strict=True)]


def params(network: Any, example: types.Batch, seed: int = 0, dtype=np.float64) -> Any:
  """Random parameters of a network, by numpy, so the same with every jax."""
  shapes = jax.eval_shape(network.init, jax.random.key(0), example)['params']
  rng = np.random.default_rng(seed)
  draw = lambda leaf: rng.uniform(-0.6, 0.6, leaf.shape).astype(dtype)
  return jax.tree.map(draw, shapes)


def difference(a: Any, b: Any) -> float:
  """|a - b| / |b| over all leaves."""
  flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
  return float(np.linalg.norm(flat(a) - flat(b)) / np.linalg.norm(flat(b)))
