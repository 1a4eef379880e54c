"""Lines to events: masked lines get codes while they are read, events at the end."""

import pathlib
from typing import NamedTuple

import numpy as np

from metalog_jax.logs import files, formats, masking, parse, readers, templates

_SLICE = 1 << 22  # lines looked at together in the second pass


class Part(NamedTuple):
  """What a worker makes of a chunk."""

  path: str
  first: int  # number of the chunk's first line
  lines: readers.Lines  # but for the contents
  distinct: parse.Distinct
  codes: np.ndarray  # [n] int32 index into distinct.texts


def read(
  chunk: files.Chunk, format: formats.Format, group: str, maskset: masking.MaskSet
) -> Part:
  """Parses and masks a chunk; runs in any process."""
  lines = readers.parse(chunk, format, group)
  distinct = parse.Distinct()
  codes = distinct.add(masking.mask(lines.content, maskset))
  return Part(chunk.path, chunk.number, lines._replace(content=None), distinct, codes)


class Result(NamedTuple):
  """The events of all lines."""

  templates: templates.Templates
  table: np.ndarray | None  # event ids by code; None: codes are event ids
  counts: np.ndarray  # [V] int64 lines of each template
  how: np.ndarray  # [4] int64 lines by how their event was found: templates.HOW


class Frozen:
  """Lines are given the events of templates that were mined before."""

  def __init__(self, frozen: templates.Templates):
    self._templates = frozen
    self._counts = np.zeros(len(frozen.texts), np.int64)
    self._how = np.zeros(len(templates.HOW), np.int64)

  def codes(self, part: Part) -> np.ndarray:
    """The lines' event ids, [n] int32."""
    events, how = self._templates.assign(part.distinct.texts)
    lines = np.bincount(part.codes, minlength=len(events))
    np.add.at(self._counts, events, lines)
    np.add.at(self._how, how, lines)
    return events[part.codes]

  def finish(self, last_line: int) -> Result:
    del last_line
    return Result(self._templates, None, self._counts, self._how)


class Mining:
  """Templates are mined from the lines themselves, or from the first of them.

  Args:
    maskset: the settings.
    mining: 'canonical' or 'arrival'.
    partly: whether only the lines up to some line are mined.
    folder: where the order of the lines is kept, if it matters.
  """

  def __init__(
    self, maskset: masking.MaskSet, mining: str, partly: bool, folder: pathlib.Path
  ):
    self._maskset, self._mining, self._partly = maskset, mining, partly
    self._distinct = parse.Distinct()
    self._order = folder / 'order.i32'  # the code of every line, -1 for no event
    self._file = open(self._order, 'wb') if partly or mining == 'arrival' else None

  def codes(self, part: Part) -> np.ndarray:
    """The lines' codes over all chunks, [n] int32."""
    codes = self._distinct.merge(part.distinct)[part.codes]
    if self._file:
      every = np.full(part.lines.num_lines, -1, np.int32)
      every[part.lines.number - part.first] = codes
      every.tofile(self._file)
    return codes

  def finish(self, last_line: int) -> Result:
    """Mines the lines up to `last_line`, and gives every line its event."""
    if self._file:
      self._file.close()
    texts, counts = self._distinct.texts, self._distinct.counts
    if self._mining == 'arrival':
      ordered = (texts[code] for code in self._codes_until(last_line))
      mined = parse.mine_arrival(ordered, self._maskset)
    else:
      if self._partly:
        fitted = np.zeros(len(texts), np.int64)
        for codes in self._slices(last_line):
          fitted += np.bincount(codes, minlength=len(texts))
        counts = {text: n for text, n in zip(texts, fitted.tolist()) if n}
      mined = parse.mine(counts, self._maskset)
    table, how = mined.assign(texts)
    lines = np.array(list(self._distinct.counts.values()), np.int64)
    result = Result(
      mined, table, np.zeros(len(mined.texts), np.int64), np.zeros(4, np.int64)
    )
    np.add.at(result.counts, table, lines)
    np.add.at(result.how, how, lines)
    return result

  def _slices(self, last_line: int):
    """The codes of the lines up to `last_line`, some at a time."""
    with open(self._order, 'rb') as file:
      while last_line > 0:
        codes = np.fromfile(file, np.int32, min(last_line, _SLICE))
        if not codes.size:
          return
        last_line -= codes.size
        yield codes[codes >= 0]

  def _codes_until(self, last_line: int):
    for codes in self._slices(last_line):
      yield from codes.tolist()
