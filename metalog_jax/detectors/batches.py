"""Sessions -> static-shaped batches of distinct sequences, on the host.

Real logs repeat: 11,501 HDFS sessions are 1,532 sequences. Equal sequences in a
batch are computed once, with their number as weight, which is exact for any loss
that is a weighted mean over sessions.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from metalog_jax import types

Layout = tuple[tuple[int, int], ...]  # (rows R_k, steps L_k) of each segment
MAX_SEGMENTS = 2  # of a training batch: each is loops of its own to compile
ROWS, CELLS = 256, 32768  # of a scoring batch, at most


class Sequences(NamedTuple):
  """The distinct event sequences of some sessions, and who has which."""

  events: np.ndarray  # [N] int32
  offsets: np.ndarray  # [U + 1] int64
  inverse: np.ndarray  # [S] int64: session -> sequence

  @property
  def lengths(self) -> np.ndarray:  # [U]
    return np.diff(self.offsets)


def kept(events: np.ndarray, collapse: int, max_events: int) -> np.ndarray:
  """Positions [n] that a detector reads of one session of `events` [L].

  Runs of more than `collapse` equal events are cut to that many (0: not at
  all), then the first `max_events` positions stay.
  """
  positions = np.arange(len(events))
  if collapse and len(events) > collapse:
    starts = np.flatnonzero(np.r_[True, events[1:] != events[:-1]])
    run_start = np.repeat(starts, np.diff(np.r_[starts, len(events)]))
    positions = positions[positions - run_start < collapse]
  return positions[:max_events]


def sequences(sessions: types.Sessions, collapse: int, max_events: int) -> Sequences:
  """Collapses, cuts and de-duplicates sessions, in order of first appearance."""
  number: dict[bytes, int] = {}
  inverse = np.empty(sessions.num, np.int64)
  for i in range(sessions.num):
    events = sessions.events[sessions.offsets[i] : sessions.offsets[i + 1]]
    events = events[kept(events, collapse, max_events)].astype(np.int32)
    inverse[i] = number.setdefault(events.tobytes(), len(number))
  rows = [np.frombuffer(row, np.int32) for row in number]
  offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
  return Sequences(np.concatenate([*rows, np.zeros(0, np.int32)]), offsets, inverse)


def roomy(rows: int, steps: int) -> Layout:
  """The padded layout: whatever has at most so many rows and events fits."""
  return ((rows, steps),)


def fit_layout(samples: list[np.ndarray], rows: int, steps: int) -> Layout:
  """The staircase of at most MAX_SEGMENTS segments with the fewest cells.

  Args:
    samples: lengths of the rows of some batches; each of them will fit.
    rows: the most rows that a batch may have; steps: the most events.
  """
  steps = -(-steps // 8) * 8
  edges = [edge for edge in (8, 16, 24, 32, 64, 128) if edge < steps] + [steps]
  longest = np.zeros(steps + 1, np.int64)  # rows longer than t, over all samples
  for lengths in samples:
    longer = np.array([np.sum(lengths > t) for t in range(steps + 1)])
    longest = np.maximum(longest, longer)
  longest[0] = max(longest[0], max((len(lengths) for lengths in samples), default=1))
  # Round numbers, so that runs on like data share compiled programs.
  room = np.minimum(-(-np.ceil(longest * 1.1).astype(int) // 8) * 8, rows)

  def layout(cuts: tuple[int, ...]) -> Layout:
    starts, ends = (0, *cuts), (*cuts, steps)
    return tuple(
      (max(int(room[s]), 1), e - s)
      for s, e in zip(starts, ends, strict=True)
      if room[s] or s == 0
    )

  choices = itertools.chain.from_iterable(
    itertools.combinations(edges[:-1], n) for n in range(MAX_SEGMENTS)
  )
  return min(
    map(layout, choices), key=lambda x: sum((r + 8) * t for r, t in x) + 64 * len(x)
  )


def fits(lengths: np.ndarray, layout: Layout) -> bool:
  """Whether rows of these lengths fit the staircase."""
  if len(lengths) > layout[0][0]:
    return False
  start = 0
  for rows, steps in layout:
    if np.sum(lengths > start) > rows:
      return False
    start += steps
  return not np.any(lengths > start)


def assemble(
  vectors: np.ndarray,
  seqs: Sequences,
  index: np.ndarray,
  labels: np.ndarray,
  layout: Layout,
) -> types.Batch | None:
  """Merges equal draws and lays them out, longest first; None if they do not fit.

  Args:
    index: [n] sequence of each draw; labels: [n] 0 or 1.
  """
  pairs, weights = np.unique(np.stack([index, labels]), axis=1, return_counts=True)
  rows = pairs[0].astype(np.int64)
  order = np.lexsort((pairs[1], rows, -seqs.lengths[rows]))
  rows = rows[order]
  if not fits(seqs.lengths[rows], layout):
    return None
  total = layout[0][0]

  def pad(x: np.ndarray, dtype) -> np.ndarray:
    return np.concatenate([x, np.zeros(total - len(x))]).astype(dtype)

  padded = pad_events(seqs, rows, total, sum(steps for _, steps in layout))
  return types.Batch(
    vectors,
    split_segments(padded, layout),
    pad(seqs.lengths[rows], np.int32),
    pad(pairs[1][order], np.float32),
    pad(weights[order], np.float32),
  )


def pad_events(seqs: Sequences, rows: np.ndarray, num: int, steps: int) -> np.ndarray:
  """The chosen sequences as [num, steps] int32, zeros behind and below."""
  padded = np.zeros((num, steps), np.int32)
  for i, row in enumerate(rows):
    events = seqs.events[seqs.offsets[row] : seqs.offsets[row + 1]]
    padded[i, : len(events)] = events
  return padded


def split_segments(padded: np.ndarray, layout: Layout) -> tuple[np.ndarray, ...]:
  """[B, L] -> the segments of a staircase, [R_k, L_k] each."""
  starts = np.cumsum([0, *(steps for _, steps in layout)])
  return tuple(
    np.ascontiguousarray(padded[:rows, start : start + steps])
    for (rows, steps), start in zip(layout, starts)
  )


def scoring_batches(
  vectors: np.ndarray, seqs: Sequences
) -> Iterator[tuple[np.ndarray, types.Batch]]:
  """Every distinct sequence once, in batches of similar length.

  Yields (sequence numbers [n], batch); row i of the batch is sequence number i.
  Lengths are rounded up to few values, so that few programs are compiled.
  """
  order = np.argsort(-seqs.lengths, kind='stable')
  start = 0
  while start < len(order):
    longest = max(int(seqs.lengths[order[start]]), 1)
    steps = next(
      (s for s in (8, 16, 32, 64, 128) if s >= longest), -(-longest // 128) * 128
    )
    rows = max(1, min(ROWS, CELLS // steps))
    part = order[start : start + rows]
    lengths = np.zeros(rows, np.int32)
    lengths[: len(part)] = seqs.lengths[part]
    yield (
      part,
      types.Batch(
        vectors,
        (pad_events(seqs, part, rows, steps),),
        lengths,
        np.zeros(rows, np.float32),
        (np.arange(rows) < len(part)).astype(np.float32),
      ),
    )
    start += rows
