"""Lines to events: masked lines get codes while they are read, events at the end."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.logs import (
  budgets,
  files,
  formats,
  masking,
  parse,
  readers,
  templates,
)

_SLICE = 1 << 22  # lines looked at together in the second pass


class Part(NamedTuple):
  """What a worker makes of a chunk."""

  first: int  # number of the chunk's first line
  lines: readers.Lines  # but for the contents
  texts: list[str]  # distinct masked lines
  counts: np.ndarray  # [len(texts)] int64
  codes: np.ndarray  # [n] int32 index into texts


def read(
  chunk: files.Chunk, format: formats.Format, group: str, maskset: masking.MaskSet
) -> Part:
  """Parses and masks a chunk; runs in any process."""
  lines = readers.parse(chunk, format, group)
  texts, codes = templates.encode(masking.mask(lines.content, maskset))
  counts = np.bincount(codes, minlength=len(texts))
  return Part(chunk.number, lines._replace(content=None), texts, counts, codes)


class Result(NamedTuple):
  """The events of all lines."""

  templates: templates.Templates
  table: np.ndarray | None  # event ids by code; None: codes are event ids
  counts: np.ndarray  # [V] int64 lines of each template
  how: np.ndarray  # [4] int64 lines by how their event was found: templates.HOW
  last_line: int  # up to which templates were fitted


class Frozen:
  """Lines are given the events of templates that were mined before.

  Args:
    frozen: those templates.
    grow: mine new templates from the lines that none of them describes, after them.
  """

  def __init__(self, frozen: templates.Templates, grow: bool = False):
    self._templates, self._grow = frozen, grow
    self._counts = np.zeros(len(frozen.texts), np.int64)
    self._how = np.zeros(len(templates.HOW), np.int64)
    self._new = parse.Distinct()  # masked lines without a template

  def codes(self, part: Part) -> np.ndarray:
    """The lines' event ids, [n] int32; past the templates, numbers of new texts."""
    texts, lines = part.texts, part.counts
    events, how = self._templates.assign(texts)
    np.add.at(self._counts, events, lines)
    np.add.at(self._how, how, lines)
    if self._grow and (new := np.flatnonzero(how == templates.NONE)).size:
      codes = self._new.add([texts[i] for i in new.tolist()], lines[new])
      events[new] = len(self._counts) + codes
    return events[part.codes]

  def finish(self, num_lines: int) -> Result:
    del num_lines
    lines = self._new.counts
    if not lines:
      return Result(self._templates, None, self._counts, self._how, 0)
    mined = parse.mine(lines, self._templates.maskset)
    found, _ = mined.assign(self._new.texts)
    own = len(self._counts)
    new = np.where(found == types.UNKNOWN, found, found + own - 1).astype(np.int32)
    counts = np.concatenate([self._counts, np.zeros(len(mined.texts) - 1, np.int64)])
    counts[types.UNKNOWN] = 0
    np.add.at(counts, new, np.fromiter(lines.values(), np.int64, len(lines)))
    table = np.concatenate([np.arange(own, dtype=np.int32), new])
    return Result(self._templates.extended(mined), table, counts, self._how, 0)


class Mining:
  """Templates are mined from the lines themselves, or from the first of them.

  Args:
    maskset: the settings.
    mining: 'canonical' or 'arrival'.
    fit: 'all', or how many lines, from the first on, are mined: '30%' or '5000'.
    path: of a file for the order of the lines, made if it matters.
  """

  def __init__(
    self, maskset: masking.MaskSet, mining: str, fit: str, path: pathlib.Path
  ):
    self._maskset, self._mining, self._fit = maskset, mining, fit
    self._distinct = parse.Distinct()
    self._path = path  # the code of every line, -1 for no event
    self._file = None
    if fit != 'all' or mining == 'arrival':
      self._file = open(self._path, 'wb')

  def codes(self, part: Part) -> np.ndarray:
    """The lines' codes over all chunks, [n] int32."""
    codes = self._distinct.add(part.texts, part.counts)[part.codes]
    if self._file:
      every = np.full(part.lines.tally.lines, -1, np.int32)
      every[part.lines.number - part.first] = codes
      every.tofile(self._file)
    return codes

  def finish(self, num_lines: int) -> Result:
    """Mines the lines that are to be fitted on, and gives every line its event."""
    last = num_lines if self._fit == 'all' else budgets.at_least(self._fit, num_lines)
    if self._file:
      self._file.close()
    texts, counts = self._distinct.texts, self._distinct.counts
    if self._mining == 'arrival':
      slices = self._slices(last)
      ordered = (texts[code] for codes in slices for code in codes.tolist())
      mined = parse.mine_arrival(ordered, self._maskset)
    else:
      mined = parse.mine(self._fitted(counts, last), self._maskset)
    table, how = mined.assign(texts)
    lines = np.fromiter(counts.values(), np.int64, len(counts))
    per_event = np.zeros(len(mined.texts), np.int64)
    per_how = np.zeros(len(templates.HOW), np.int64)
    np.add.at(per_event, table, lines)
    np.add.at(per_how, how, lines)
    return Result(mined, table, per_event, per_how, last)

  def _fitted(self, counts: dict[str, int], last: int) -> dict[str, int]:
    """How often each masked line occurs up to line `last`."""
    if self._fit == 'all':
      return counts
    fitted = np.zeros(len(counts), np.int64)
    for codes in self._slices(last):
      fitted += np.bincount(codes, minlength=len(counts))
    return {text: n for text, n in zip(counts, fitted.tolist()) if n}

  def _slices(self, last: int) -> Iterator[np.ndarray]:
    """The codes of the lines up to `last`, some at a time."""
    with open(self._path, 'rb') as file:
      while last > 0:
        codes = np.fromfile(file, np.int32, min(last, _SLICE))
        if not codes.size:
          return
        last -= codes.size
        yield codes[codes >= 0]
