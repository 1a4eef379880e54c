"""Texts of all lengths into rows of few widths, with hardly a cell empty.

Encoders would otherwise spend their time on padding, or be compiled for every
length. Several texts share a row (`encoder` keeps them apart), so there is one program
for each width:

  ids        [CLS] disk failure [SEP] [CLS] packet [SEP] [PAD]
  segments     1    1      1      1     2      2     2     0
"""

import bisect
import collections
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

NARROWEST = 64  # as one text costs hardly less in a row of its own length


class Rows(NamedTuple):
  """A batch: some texts, and their tokens in rows."""

  texts: list[int]  # which texts: the first is segment 1
  ids: np.ndarray  # [B, L] int32
  segments: np.ndarray  # [B, L] int32, 0 at padding


def batches(tokens: Sequence[np.ndarray], cells: int, padding: int) -> Iterator[Rows]:
  """Yields batches of `cells` cells (one row at least); shapes depend on width alone.

  Args:
    tokens: the ids of each text.
    cells: B * L of a batch.
    padding: what empty cells hold.
  """
  by_width: dict[int, list[list[int]]] = collections.defaultdict(list)
  for wide, row in place([len(text) for text in tokens]):
    by_width[wide].append(row)
  for wide, rows in by_width.items():
    height = max(cells // wide, 1)
    for i in range(0, len(rows), height):
      yield _fill(tokens, rows[i : i + height], (height, wide), padding)


def place(lengths: Sequence[int]) -> list[tuple[int, list[int]]]:
  """(width, texts) of each row; see `width` for the widths that there are.

  The longest text comes first, each goes into the fullest row that has room (best fit
  decreasing), and a new row is as narrow as it can be.
  """
  rows: list[tuple[int, list[int]]] = []
  free: list[tuple[int, int]] = []  # (room, row), ascending
  for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
    length = lengths[text]
    fullest = bisect.bisect_left(free, (length, 0))
    if fullest < len(free):
      room, row = free.pop(fullest)
    else:
      room, row = max(NARROWEST, width(length)), len(rows)
      rows.append((room, []))
    rows[row][1].append(text)
    bisect.insort(free, (room - length, row))
  return rows


def width(length: int) -> int:
  """The narrowest row for `length`: eight widths an octave (64, 72, 80, ..., 128, 144).

  A text of just over half a power of two would waste the other half, and raw lines
  are all about as long.
  """
  octave = 1 << max(length - 1, 0).bit_length() >> 1
  step = max(octave // 8, 1)
  return -(-length // step) * step


def _fill(
  tokens: Sequence[np.ndarray],
  rows: list[list[int]],
  shape: tuple[int, int],
  padding: int,
) -> Rows:
  ids, segments = np.full(shape, padding, np.int32), np.zeros(shape, np.int32)
  texts: list[int] = []
  for i, row in enumerate(rows):
    start = 0
    for text in row:
      texts.append(text)
      part = slice(start, start := start + len(tokens[text]))
      ids[i, part], segments[i, part] = tokens[text], len(texts)
  return Rows(texts, ids, segments)
