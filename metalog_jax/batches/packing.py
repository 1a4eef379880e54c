"""Where on a grid of L steps and R rows every event of some sessions goes.

Chains: a row holds sessions one after another. A tree: what sessions begin with in
common is there once, and every event stands at a later step than the one before it.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Room(NamedTuple):
  """The static shapes of a batch (`types.Batch`)."""

  steps: int  # L
  rows: int  # R' of the places
  sessions: int  # B
  cells: int = 0  # R of the shared cells; 0: nothing is shared, cells are places


def widest(rooms: Sequence[Room]) -> Room:
  """A room as large as each of these along every side, shared only if all are."""
  largest = Room(*(max(sizes) for sizes in zip(*rooms)))
  return largest if all(room.cells for room in rooms) else largest._replace(cells=0)


class Trie(NamedTuple):
  """All sequences of a system as one tree: a node for each different beginning."""

  nodes: np.ndarray  # [N] node of every event of the sequences
  parents: np.ndarray  # [M] node of the event before, -1 for none
  events: np.ndarray  # [M] int32


def trie(events: np.ndarray, offsets: np.ndarray) -> Trie:
  """Builds the tree of the sequences events[offsets[i]:offsets[i+1]]."""
  number: dict[tuple[int, int], int] = {}
  nodes = np.empty(len(events), np.int64)
  for start, end in zip(offsets[:-1], offsets[1:]):
    node = -1
    for i, event in enumerate(events[start:end].tolist(), start):
      nodes[i] = node = number.setdefault((node, event), len(number))
  keys = np.array(list(number), np.int64).reshape(-1, 2)
  return Trie(nodes, keys[:, 0], keys[:, 1].astype(np.int32))


def first_fit(lengths: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
  """The row [n] and the first step [n] of every session.

  The longest goes first, each into the first row that still has room; those of equal
  length at once: every row takes as many as it has space for, the first rows first.
  """
  rows, starts = np.zeros((2, len(lengths)), np.int64)
  used, every = np.zeros(len(lengths) + 1, np.int64), np.arange(len(lengths) + 1)
  order = np.argsort(-lengths, kind='stable')
  for equal in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
    length, num = lengths[equal[:1]].sum(), len(equal)
    space = (steps - used) // length if length else np.full(len(used), num)
    upto = np.minimum(space.cumsum(), num)
    before = np.concatenate([[0], upto[:-1]])  # taken by the rows before each row
    taken = upto - before
    row = every[: len(used)].repeat(taken)
    nth = every[:num] - before.repeat(taken)
    rows[equal], starts[equal] = row, used[row] + nth * length
    used += taken * length
  return rows, starts


def schedule(
  paths: Sequence[np.ndarray], parents: np.ndarray, steps: int, rows: int
) -> tuple[np.ndarray, np.ndarray] | None:
  """The nodes on `paths`, and the cell of each: steps * rows at most.

  Step by step, of the nodes whose parent is placed (`ready`), those with the longest
  path below them (`height`) come first, which needs the fewest steps that there can
  be (Hu, Parallel sequencing and assembly line problems, 1961). A node becomes ready
  in the step after its parent's, so a network that goes down the steps always has the
  state that a cell starts from. See `sequences.assemble` for a drawing.

  Args:
    paths: the nodes of each session, in order.
    parents: of the whole tree.

  Returns:
    Node numbers in ascending order and the flat cell of each, or None if the grid is
    too small.
  """
  nodes, place = np.unique(_joined(paths), return_inverse=True)
  height = np.zeros(len(nodes), np.int64)
  ahead = _joined([np.arange(len(p), 0, -1) for p in paths])
  np.maximum.at(height, place, ahead)
  children: dict[int, list[tuple[int, int]]] = {}
  for i, parent in enumerate(parents[nodes].tolist()):
    children.setdefault(parent, []).append((-int(height[i]), i))
  ready, cells = children.pop(-1, []), np.empty(len(nodes), np.int64)
  heapq.heapify(ready)
  for step in range(steps):
    # Taken before their children are pushed, which are for the next step.
    chosen = [heapq.heappop(ready) for _ in range(min(rows, len(ready)))]
    for row, (_, i) in enumerate(chosen):
      cells[i] = step * rows + row
      for child in children.pop(int(nodes[i]), ()):
        heapq.heappush(ready, child)
  return None if ready else (nodes, cells)


def fewest_rows(paths: Sequence[np.ndarray], parents: np.ndarray, steps: int) -> int:
  """The rows that `schedule` needs."""
  rows = max(1, -(-len(np.unique(_joined(paths))) // steps))
  while schedule(paths, parents, steps, rows) is None:
    rows += 1
  return rows


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
  return np.concatenate([np.zeros(0, np.int64), *arrays])


def rounded(size: int, values: int = 4) -> int:
  """The next round number, of which there are so many `values` to an octave.

  Of four: 1, 2, ... 7, 8, 10, 12, 14, 16, 20, 24, ...; of two: 8, 12, 16, 24, 32, ...
  """
  unit = max((1 << max(size - 1, 0).bit_length()) // (2 * values), 1)
  return max(-(-size // unit) * unit, 1)
