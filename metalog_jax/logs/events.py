"""Lines to events: masked lines get codes while they are read, events at the end."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from metalog_jax import types
from metalog_jax.logs import (
  accounts,
  budgets,
  files,
  formats,
  manifests,
  masking,
  masksets,
  parse,
  readers,
  records,
  repeats,
  templates,
)

_SLICE = 1 << 20  # lines looked at together in the second pass


class Part(NamedTuple):
  """What a worker makes of a chunk."""

  first: int  # number of the chunk's first line
  lines: readers.Lines  # without their contents
  texts: list[str]  # distinct masked lines
  counts: np.ndarray  # [len(texts)] int64
  codes: np.ndarray  # [n] index into texts


def read(
  chunk: files.Chunk, format: formats.Format, group: str, maskset: masksets.MaskSet
) -> Part:
  """Parses and masks a chunk; runs in any process."""
  lines = readers.parse(chunk, format, group)
  texts, codes = repeats.encode(masking.mask(lines.content, maskset))
  counts = np.bincount(codes, minlength=len(texts))
  lines = lines._replace(content=lines.content.clear())
  return Part(chunk.number, lines, texts, counts, codes)


class Merged:
  """The parts of any log, through `logs.records`: iterate, then ask for the inputs.

  A record has the number of its first line, lines being counted in reading order.
  """

  def __init__(self, reader: records.Reader, maskset: masksets.MaskSet):
    self._reader, self._maskset = reader, maskset
    self._order: list[int] = []  # of the files, by their first record
    self.interleaved = False  # a file goes on after another began

  def __iter__(self) -> Iterator[Part]:
    number = 1
    for block in self._reader:
      for file in block.file[np.flatnonzero(np.diff(block.file, prepend=-1))].tolist():
        self.interleaved |= file in self._order[:-1]
        self._order += [file] if file not in self._order else []
      part = part_of(block, number, self._maskset)
      yield part
      number += part.lines.tally.lines

  def inputs(self) -> list[files.Input]:
    """The files in reading order; those without a record are last."""
    rest = set(range(len(self._reader.inputs))) - set(self._order)
    items = [self._reader.inputs[i] for i in (*self._order, *sorted(rest))]
    return [
      files.Input(item.path, _hash(item.path), item.bytes, item.lines) for item in items
    ]


def _hash(path: str) -> str:
  return manifests.file_hash(pathlib.Path(path)) if pathlib.Path(path).is_file() else ''


def part_of(block: records.Records, number: int, maskset: masksets.MaskSet) -> Part:
  """What a worker would make of records; `number` is that of their first line."""
  content = pl.Series('content', block.message)
  texts, codes = repeats.encode(masking.mask(content, maskset))
  counts = np.bincount(codes, minlength=len(texts))
  end = np.cumsum(block.lines, dtype=np.int64)
  time = block.time.astype(np.int64) / 1e6
  time[np.isnat(block.time)] = np.nan
  size, total = len(block), int(end[-1])
  tally = accounts.Tally(
    path='',
    lines=total,
    good=size,
    skipped={'continuation': total - size} if total > size else {},
    bad={},
    times=int((~np.isnan(time)).sum()),
  )
  names = pl.Series('name', [], dtype=pl.String)
  label = np.full(size, -1, np.int8)
  start = number + end - block.lines
  owner = np.arange(size)
  lines = readers.Lines(start, content.clear(), owner, names, time, label, tally)
  return Part(number, lines, texts, counts, codes)


class Result(NamedTuple):
  """The events of all lines."""

  templates: templates.Templates
  table: np.ndarray  # event ids by code
  counts: np.ndarray  # [V] int64 lines of each template
  how: np.ndarray  # [4] int64 lines by how their event was found: templates.HOW
  last_line: int  # up to which templates were fitted


class Collector:
  """Gathers the distinct masked lines; templates are mined from them, or given.

  Args:
    maskset: that lines were masked with.
    mining: 'canonical' or 'arrival'.
    fit: 'all', or how many lines, from the first on, are mined: '30%' or '5000'.
    order: of a file for the codes in the order of the lines, made if they matter.
  """

  def __init__(
    self, maskset: masksets.MaskSet, mining: str, fit: str, order: pathlib.Path
  ):
    self._maskset, self._mining, self._fit = maskset, mining, fit
    self._distinct = parse.Distinct()
    self._order = order  # the code of every line, -1 for no event
    self._file = None
    if fit != 'all' or mining == 'arrival':
      self._file = open(order, 'wb')

  def codes(self, part: Part) -> np.ndarray:
    """The lines' codes over all chunks, [n] int32."""
    codes = self._distinct.add(part.texts, part.counts)[part.codes]
    if self._file:
      every = np.full(part.lines.tally.lines, -1, np.int32)
      every[part.lines.number - part.first] = codes
      every.tofile(self._file)
    return codes

  def mine(self, num_lines: int) -> Result:
    """Mines the lines that are to be fitted on, and gives every line its event."""
    last = num_lines if self._fit == 'all' else budgets.resolve(self._fit, num_lines)
    if self._file:
      self._file.close()
    if self._mining == 'arrival':
      miner, texts = parse.Arrival(self._maskset), self._distinct.texts
      for codes in self._slices(last):
        miner.add(texts[code] for code in codes.tolist())
      mined = miner.freeze()
    else:
      mined = parse.mine(self._fitted(last), self._maskset)
    return self._result(mined, *mined.assign(self._distinct.texts), last)

  def look_up(self, frozen: templates.Templates, grow: bool) -> Result:
    """Gives every line its event of templates that were mined before.

    Args:
      grow: mine new templates from the lines that none describes, after those.
    """
    counts = self._distinct.counts
    table, how = frozen.assign(list(counts))
    new = [text for text, h in zip(counts, how.tolist()) if h == templates.NONE]
    if grow and new:
      mined = parse.mine({text: counts[text] for text in new}, self._maskset)
      events, _ = mined.assign(new)
      above = len(frozen.texts) - 1
      known = events != types.UNKNOWN
      table[how == templates.NONE] = np.where(known, events + above, types.UNKNOWN)
      frozen = frozen.extended(mined)
    return self._result(frozen, table, how, 0)

  def _result(
    self, mined: templates.Templates, table: np.ndarray, how: np.ndarray, last: int
  ) -> Result:
    lines = list(self._distinct.counts.values())
    counts = np.bincount(table, lines, len(mined.texts)).astype(np.int64)
    ways = np.bincount(how, lines, len(templates.HOW)).astype(np.int64)
    return Result(mined, table, counts, ways, last)

  def _fitted(self, last: int) -> dict[str, int]:
    """How often each masked line occurs up to line `last`."""
    counts = self._distinct.counts
    if self._fit == 'all':
      return counts
    fitted = np.zeros(len(counts), np.int64)
    for codes in self._slices(last):
      fitted += np.bincount(codes, minlength=len(counts))
    return {text: n for text, n in zip(counts, fitted.tolist()) if n}

  def _slices(self, last: int) -> Iterator[np.ndarray]:
    """The codes of the lines up to `last`, some at a time."""
    with open(self._order, 'rb') as file:
      while last > 0:
        codes = np.fromfile(file, np.int32, min(last, _SLICE))
        if not codes.size:
          return
        last -= codes.size
        yield codes[codes >= 0]
