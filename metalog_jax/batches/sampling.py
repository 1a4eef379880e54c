"""Labelled sessions that training batches are drawn from, by (seed, step) alone.

Nothing here remembers what was drawn before: a run that resumes at step n draws
what the uninterrupted run would have drawn.
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import packing
from metalog_jax.batches import sequences as batches

PROFILE = 64  # draws that the static layout of batches is fitted to


class Pool(NamedTuple):
  """The labelled sessions of one system, or of one part of it."""

  vectors: np.ndarray  # [V, D]
  seqs: batches.Sequences  # of the whole system
  normals: np.ndarray  # indices of sessions
  anomalies: np.ndarray  # indices of sessions
  number: int  # tells its random stream from other pools'
  targets: np.ndarray | None = (
    None  # [S] what stands for labels, where it is not 0 or 1
  )

  @property
  def size(self) -> int:
    return len(self.normals) + len(self.anomalies)


def whole(data: types.Dataset, seqs: batches.Sequences) -> Pool:
  """All labelled sessions of a system."""
  labels = data.sessions.labels
  return Pool(
    data.vectors, seqs, np.flatnonzero(labels == 0), np.flatnonzero(labels == 1), 0
  )


def parts(
  data: types.Dataset, seqs: batches.Sequences, num: int, seed: int
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

  def draw(self, pool: Pool, step: int) -> batches.Draw:
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
    return batches.drawn(pool.seqs.inverse[chosen], labels, self.merge)

  def rooms(self, pools: list[Pool]) -> list[packing.Room]:
    """A room that nearly all batches fit, then one that all do."""
    drawn = [pools[step % len(pools)] for step in range(PROFILE)]
    draws = [
      (pool.seqs, part) for i, pool in enumerate(drawn) for part in self._deal(pool, i)
    ]
    longest = max(int(pool.seqs.lengths.max(initial=1)) for pool in pools)
    room = batches.fit_room(draws, self.batch, longest)
    return [room, batches.roomy(room, self.batch)]

  def _deal(self, pool: Pool, step: int) -> list[batches.Draw]:
    return batches.deal(pool.seqs, self.draw(pool, step), self.devices)

  def batches(
    self, pools: list[Pool], step: int, rooms: list[packing.Room]
  ) -> types.Batch:
    """Batch `step` of each pool, all of one shape: leaves [D, number of pools, ...]."""
    width = max(len(pool.vectors) for pool in pools)
    vectors = [pad_rows(pool.vectors, width) for pool in pools]
    dealt = [self._deal(pool, step) for pool in pools]

    def build(room: packing.Room) -> types.Batch | None:
      made = [
        [
          batches.assemble(table, pool.seqs, draws[device], room)
          for table, pool, draws in zip(vectors, pools, dealt)
        ]
        for device in range(self.devices)
      ]
      if any(batch is None for row in made for batch in row):
        return None
      return stack([stack(row) for row in made])

    return next(filter(None, map(build, rooms)))


def stack(trees: list[Any]) -> Any:
  """Stacks equal pytrees on a new leading axis."""
  import jax

  return jax.tree.map(lambda *x: np.stack(x), *trees)


def _cycle(members: np.ndarray, num: int, step: int, key: list[int]) -> np.ndarray:
  """Draws [num] number `step` of an endless stream of shuffled passes."""
  place = np.arange(step * num, (step + 1) * num)
  passes, place = np.divmod(place, len(members))
  orders = {
    p: np.random.default_rng([*key, p]).permutation(len(members))
    for p in np.unique(passes)
  }
  return members[[orders[p][i] for p, i in zip(passes, place)]]


def pad_rows(x: np.ndarray, rows: int) -> np.ndarray:
  """An event table [V, D] with rows of zeros up to `rows`."""
  if len(x) == rows:
    return x
  return np.pad(x, ((0, rows - len(x)), (0, 0)))
