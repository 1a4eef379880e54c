"""All sequences in batches of few shapes, to be scored.

Long and short ones go on grids of their own width, so that little is padding, and a
grid has about as many cells as stay near the processor.
"""

from collections.abc import Iterator

import numpy as np

from metalog_jax import types
from metalog_jax.batches import packing, sequences

CELLS = 8192  # cells of a scoring batch, about: what stays near the processor
FEW = 512  # events to score below which steps are what takes time, not cells


def every(
  vectors: np.ndarray, seqs: sequences.Sequences, devices: int = 1
) -> Iterator[tuple[np.ndarray, types.Batch]]:
  """Every sequence once, in batches of CELLS cells at most, or of one row.

  For several devices there are as many of each shape as serve all of them alike.

  Yields (sequence numbers [n], batch); session i of the batch is sequence number i.
  Shapes are rounded up to few values, so that few programs are compiled.
  """
  if len(seqs.lengths) == 1:  # as a log that grows gives them
    yield np.zeros(1, np.int64), _alone(vectors, seqs.events)
  else:
    yield from _several(vectors, seqs, devices)


def _alone(vectors: np.ndarray, events: np.ndarray) -> types.Batch:
  """The batch that `_several` makes of one sequence [n], in a twentieth of the time."""
  width = max(packing.rounded(len(events), 2), 8)
  column, sessions = np.zeros((width, 1), np.int32), np.ones((width, 1), np.int32)
  column[: len(events), 0], sessions[: len(events)] = events, 0
  one = np.ones(1, np.float32)
  return types.Batch(vectors, column, sessions, np.zeros_like(one), one)


def _several(
  vectors: np.ndarray, seqs: sequences.Sequences, devices: int
) -> Iterator[tuple[np.ndarray, types.Batch]]:
  steps = _widths(seqs.lengths)
  for width in np.unique(steps):
    members = np.flatnonzero(steps == width)
    members = members[np.argsort(-seqs.lengths[members], kind='stable')]
    parts, rows = _parts(seqs.lengths, members, int(width), devices)
    room = packing.Room(int(width), rows, packing.rounded(max(map(len, parts))))
    for part in parts:
      draw = sequences.Draw(part, np.zeros(len(part)), np.ones(len(part)))
      roomier = room._replace(rows=2 * rows)  # hardly ever needed
      fit = (sequences.assemble(vectors, seqs, draw, r) for r in (room, roomier))
      yield part, next(filter(None, fit))


def _parts(
  lengths: np.ndarray, members: np.ndarray, width: int, devices: int
) -> tuple[list[np.ndarray], int]:
  """Members, longest first, in parts that each fit so many rows: (parts, rows)."""
  most = max(CELLS // width, 1)
  num, needed = -(-int(lengths[members].sum()) // (most * width)), most + 1
  while needed > most:
    num = min(-(-max(num, 1) // devices) * devices, len(members))
    parts = [members[i::num] for i in range(num)]  # long and short in each
    rows, _ = packing.first_fit(lengths[parts[0]], width)  # it has the longest
    needed = int(rows.max()) + 1
    num = max(num + 1, num * needed // most)
  return parts, min(packing.rounded(needed), most)


def _widths(lengths: np.ndarray) -> np.ndarray:
  """The steps of the grid that each sequence goes on; short ones go on one."""
  different, which = np.unique(lengths, return_inverse=True)
  widths = np.array([packing.rounded(n, 2) for n in different.tolist()], np.int64)[
    which
  ]
  short = widths <= 64
  few = lengths[short].sum() <= FEW
  widths[short] = max(widths[short].max(initial=0), 8) if few else 64
  return widths
