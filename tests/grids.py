"""Batches on grids and parameters for tests of the networks, in any precision."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metalog_jax import types
from metalog_jax.batches import packing
from metalog_jax.batches import sequences as batches

LENGTHS = (9, 8, 5, 5, 3, 2, 1)


def batch(
  seed: int = 0,
  lengths: Sequence[int] = LENGTHS,
  templates: int = 6,
  dim: int = 5,
  rows: int = 0,
  share: bool = False,
  dtype: Any = np.float64,
) -> types.Batch:
  """Random sessions of these lengths; about every second event is the first one.

  Args:
    rows: at least so many sessions, the last without events if need be.
    share: compute what sessions begin with in common once.
  """
  rng = np.random.default_rng(seed)
  lengths = [*lengths, *[0] * (rows - len(lengths))]
  events = [rng.integers(0, templates, n) * rng.integers(0, 2, n) for n in lengths]
  vectors = rng.normal(size=(templates, dim)).astype(dtype)
  labels = rng.random(len(lengths))
  weights = np.where(np.array(lengths) > 0, rng.integers(1, 5, len(lengths)), 0)
  return lay(events, vectors, labels, weights, share=share)


def lay(events, vectors, labels, weights, more: int = 0, share=False) -> types.Batch:
  """Sessions on the smallest grid, or on one with `more` steps, rows and sessions."""
  offsets = np.cumsum([0, *map(len, events)])
  flat = np.concatenate([*events, np.zeros(0)]).astype(np.int32)
  trie = packing.trie(flat, offsets) if share else None
  seqs = batches.Sequences(flat, offsets, *[np.arange(len(events))] * 2, trie)
  steps = max(map(len, events)) + more
  used = packing.first_fit(seqs.lengths, steps)[0].max() + 1 + more
  cells = 0
  if share:
    paths = np.split(trie.nodes, offsets[1:-1])
    cells = packing.fewest_rows(paths, trie.parents, steps) + more
  draw = batches.Draw(np.arange(len(events)), labels, weights)
  room = packing.Room(steps, int(used), len(events) + more, cells)
  laid = batches.assemble(vectors, seqs, draw, room)
  real = lambda x: x.astype(vectors.dtype)
  return laid._replace(labels=real(laid.labels), weights=real(laid.weights))


def relaid(batch: types.Batch, order=None, more: int = 0, share=None) -> types.Batch:
  """The same sessions elsewhere on another grid, in another `order` if given."""
  order = np.arange(len(batch.labels)) if order is None else order
  events = sequences(batch)
  if share is None:
    share = batch.parents is not None
  pick = lambda x: np.asarray(x)[order]
  return lay(
    [events[i] for i in order],
    batch.vectors,
    pick(batch.labels),
    pick(batch.weights),
    more,
    share,
  )


def split(x: Any, batch: types.Batch) -> list[np.ndarray]:
  """What belongs to each session of an array by places [N', ...]."""
  sessions = np.asarray(batch.sessions)
  x = np.asarray(x).reshape(*sessions.shape, *np.shape(x)[1:])
  at = [np.nonzero(sessions.T == i) for i in range(len(batch.labels))]
  return [x[steps, rows] for rows, steps in at]


def sequences(batch: types.Batch) -> list[np.ndarray]:
  """The events of every session."""
  events = np.asarray(batch.events).ravel()
  return split(events if batch.places is None else events[batch.places.ravel()], batch)


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
