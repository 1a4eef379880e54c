"""Labelled sessions that training batches are drawn from, by (seed, step) alone.

Nothing here remembers what was drawn before: a run that resumes at step n draws
what the uninterrupted run would have drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import packing, sequences

PROFILE = 64  # draws that the static layout of batches is fitted to


# What is laid out as one batch: event vectors, all sequences, which of them.
Laid = tuple[np.ndarray, sequences.Sequences, sequences.Draw]


class Pool(NamedTuple):
  """The labelled sessions of one system, or of one part of it."""

  vectors: np.ndarray  # [V, D]
  seqs: sequences.Sequences  # of the whole system
  normals: np.ndarray  # indices of sessions
  anomalies: np.ndarray  # indices of sessions
  number: int  # pools of different number have different random streams
  targets: np.ndarray | None = None  # [S] soft labels in [0, 1], in place of 0 and 1

  @property
  def size(self) -> int:
    return len(self.normals) + len(self.anomalies)


def whole(data: types.Dataset, seqs: sequences.Sequences, number: int = 0) -> Pool:
  """All labelled sessions of a system."""
  normals, anomalies = (np.flatnonzero(data.sessions.labels == c) for c in (0, 1))
  return Pool(data.vectors, seqs, normals, anomalies, number)


def parts(
  data: types.Dataset, seqs: sequences.Sequences, num: int, seed: int
) -> list[Pool]:
  """A system's labelled sessions in `num` uniform random parts (Algorithm 1)."""
  labels = data.sessions.labels
  order = np.random.default_rng([seed, 0]).permutation(np.flatnonzero(labels >= 0))
  return [
    Pool(data.vectors, seqs, part[labels[part] == 0], part[labels[part] == 1], i + 1)
    for i, part in enumerate(np.array_split(order, num))
  ]


class Sampler(NamedTuple):
  """How batches are drawn."""

  batch: int  # sessions in a batch
  anomaly_share: float  # share of anomalies in it; 0: as they come
  seed: int
  merge: bool = True  # equal sessions are computed once, with their number as weight
  devices: int = 1  # that the sessions of a batch are dealt to
  full: bool = False  # rows are filled and dealt whole, and sizes are not rounded

  def draw(self, pool: Pool, step: int) -> sequences.Draw:
    """The sessions of batch `step`."""
    count = round(self.batch * self.anomaly_share)
    if count == 0 or not len(pool.anomalies) or not len(pool.normals):
      members = np.concatenate([pool.normals, pool.anomalies])
      chosen = _cycle(members, self.batch, step, [self.seed, 2, pool.number])
    else:
      chosen = np.concatenate(
        [
          _cycle(pool.normals, self.batch - count, step, [self.seed, 3, pool.number]),
          _cycle(pool.anomalies, count, step, [self.seed, 4, pool.number]),
        ]
      )
    if pool.targets is None:
      labels = np.isin(chosen, pool.anomalies).astype(np.float64)
    else:
      labels = pool.targets[chosen]
    return sequences.drawn(pool.seqs.inverse[chosen], labels, self.merge)

  def rooms(self, pools: list[Pool]) -> list[packing.Room]:
    """Rooms from one that nearly all batches fit to one that all do."""
    profile = [(pools[step % len(pools)], step) for step in range(PROFILE)]
    drawn = [(pool.seqs, self.draw(pool, step)) for pool, step in profile]
    longest = max(int(pool.seqs.lengths.max(initial=1)) for pool in pools)
    if self.full:
      room = sequences.fit_full_room(drawn, self.batch, longest, self.devices)
      wide = sequences.wider(room, self.batch)
      return [room, wide, sequences.roomy(room, self.batch)]
    deal = lambda seqs, draw: sequences.deal(seqs, draw, self.devices)
    draws = [(seqs, part) for seqs, draw in drawn for part in deal(seqs, draw)]
    room = sequences.fit_room(draws, self.batch, longest)
    return [room, sequences.roomy(room, self.batch)]

  def batches(
    self, pools: list[Pool], step: int, rooms: list[packing.Room]
  ) -> types.Batch:
    """Batch `step` of each pool, all of one shape: leaves [D, number of pools, ...]."""
    vectors = same_height([pool.vectors for pool in pools])
    dealt = [self._deal(pool, step, rooms[0]) for pool in pools]
    return fitting(
      [
        [
          (table, pool.seqs, draws[device])
          for table, pool, draws in zip(vectors, pools, dealt)
        ]
        for device in range(self.devices)
      ],
      rooms,
    )

  def batch_of(self, pool: Pool, step: int, rooms: list[packing.Room]) -> types.Batch:
    """Batch `step` of one pool: leaves [D, ...]."""
    return map_arrays(lambda x: x[:, 0], self.batches([pool], step, rooms))

  def _deal(self, pool: Pool, step: int, room: packing.Room) -> list[sequences.Draw]:
    draw = self.draw(pool, step)
    if self.full and not room.cells:
      return sequences.deal_rows(pool.seqs, draw, self.devices, room.steps)
    return sequences.deal(pool.seqs, draw, self.devices)


def fitting(
  rows: Sequence[Sequence[Laid]], rooms: Sequence[packing.Room]
) -> types.Batch:
  """Batches in the first room that all of them fit, stacked: leaves [n, m, ...].

  Args:
    rows: n rows of m that are to be laid out.
    rooms: the last one fits any.
  """
  for room in rooms:
    laid = [[sequences.assemble(*one, room) for one in row] for row in rows]
    if not any(batch is None for row in laid for batch in row):
      return stack([stack(row) for row in laid])
  raise AssertionError('the last room fits any batch')


def same_height(tables: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Event tables [V, D], all with as many rows as the highest: zeros below."""
  height = max(map(len, tables))
  pad = lambda x: np.pad(x, ((0, height - len(x)), (0, 0)))
  return [x if len(x) == height else pad(x) for x in tables]


def map_arrays(function: Callable, *trees: Any) -> Any:
  """`jax.tree.map` for tuples of arrays, named or not, without jax; None stays."""
  first = trees[0]
  if first is None:
    return None
  if not isinstance(first, tuple):
    return function(*trees)
  parts = [map_arrays(function, *part) for part in zip(*trees, strict=True)]
  return type(first)(*parts) if hasattr(first, '_fields') else tuple(parts)


def stack(trees: Sequence[Any]) -> Any:
  """Stacks equal trees on a new leading axis; see `map_arrays`."""
  return map_arrays(lambda *arrays: np.stack(arrays), *trees)


def _cycle(members: np.ndarray, num: int, step: int, key: list[int]) -> np.ndarray:
  """Draws [num] number `step` of an endless stream of shuffled passes."""
  place = np.arange(step * num, (step + 1) * num)
  passes, place = np.divmod(place, len(members))
  orders = {
    p: np.random.default_rng([*key, p]).permutation(len(members))
    for p in np.unique(passes)
  }
  return members[[orders[p][i] for p, i in zip(passes, place)]]
