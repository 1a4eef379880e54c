"""Labels as ranges of time, or of lines of a file.

Lines `start,end[,what]` (times, UTC where no offset is written) and
`file:line-line[,what]`; `what` is a label, or a note on an anomaly.
"""

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from metalog_jax.logs import repeats

_LINES = re.compile(r'(.+?):(\d{1,15})\s*-\s*(\d{1,15})\s*(?:[,;\t]\s*(.*))?')
_EARLIEST, _LATEST = (
  datetime.datetime(*day, tzinfo=datetime.UTC).timestamp()
  for day in ((1, 1, 2), (9999, 12, 31))
)
_EPOCH = re.compile(r'1\d{9}(?:\.\d+)?')  # seconds


class Range(NamedTuple):
  """A stretch of time or of lines, both ends in it, and its label."""

  number: int  # of its line in the file of labels
  file: str  # '' for a range of time
  start: float  # line, or seconds since 1970
  end: float
  label: int
  what: str


class Ranges:
  """Ranges, and how often each of them has matched something."""

  def __init__(self, ranges: Sequence[Range]):
    """Ranges of one file of labels."""
    self.ranges = list(ranges)
    self.matches = np.zeros(len(ranges), np.int64)

  @property
  def unmatched(self) -> list[str]:
    """Those that nothing was in, as they are written."""
    return [
      f'{item.file}:{item.start:.0f}-{item.end:.0f}'
      if item.file
      else f'{seconds_to_text(item.start)},{seconds_to_text(item.end)}'
      for item, count in zip(self.ranges, self.matches)
      if not count
    ]

  def label(self, table: pl.DataFrame) -> np.ndarray:
    """The label of each row, [n] int8; -1 where there is none.

    A row in no range is normal where all ranges are anomalies, as in a list of
    incidents; a row in several has the highest label.

    Args:
      table: start and end (float seconds, null for none), file, first and last (line).
    """
    start, end = (_floats(table[name]) for name in ('start', 'end'))
    first, last = (_floats(table[name]) for name in ('first', 'last'))
    anomalies_alone = all(item.label for item in self.ranges)
    labels = np.full(len(table), 0 if anomalies_alone and self.ranges else -1, np.int8)
    names, name = repeats.encode(table['file'])
    for number, item in enumerate(self.ranges):
      if item.file:
        same = np.array([is_same_file(path, item.file) for path in names], bool)
        inside = same[name] & (first <= item.end) & (last >= item.start)
      else:
        inside = (start <= item.end) & (end >= item.start)
      self.matches[number] += int(inside.sum())
      labels[inside] = np.maximum(labels[inside], item.label)
    return labels


def parse(number: int, text: str, words: Mapping[str, int]) -> Range | None:
  """One line of a file of labels as a range; None where it is none.

  Args:
    words: label of a word such as `normal`; any other `what` notes an anomaly.
  """
  text = text.strip().strip('"')
  label = lambda what: words.get(what.strip().strip('"\'').lower(), 1)
  if match := _LINES.fullmatch(text):
    file, first, last, what = match.groups()
    first, last = sorted((int(first), int(last)))
    return Range(number, file, first, last, label(what or ''), what or '')
  parts = [part.strip().strip('"') for part in re.split('[,;\t]', text, maxsplit=2)]
  if len(parts) < 2:
    return None
  start, end = seconds(parts[0]), seconds(parts[1])
  if start is None or end is None:
    return None
  start, end = sorted((start, end))
  what = parts[2] if len(parts) > 2 else ''
  return Range(number, '', start, end, label(what), what)


def seconds(text: str | None) -> float | None:
  """A time as seconds since 1970, in UTC where it has no offset; None for no time."""
  if text is None:
    return None
  if _EPOCH.fullmatch(text):
    return float(text)
  if len(text) < 10:  # a bare number or clock is no time
    return None
  try:
    moment = datetime.datetime.fromisoformat(text)
  except ValueError:
    return None
  if moment.tzinfo is None:
    moment = moment.replace(tzinfo=datetime.UTC)
  value = moment.timestamp()
  return value if _EARLIEST <= value < _LATEST else None  # of years 1 to 9999 in UTC


def seconds_to_text(value: float) -> str:
  """Seconds since 1970 as ISO 8601 in UTC."""
  moment = datetime.datetime.fromtimestamp(value, datetime.UTC)
  return moment.replace(tzinfo=None).isoformat() + 'Z'


def is_same_file(path: str, name: str) -> bool:
  """Whether a path ends in the parts of `name`."""
  parts = os.path.normpath(name).split(os.sep)
  return os.path.normpath(path).split(os.sep)[-len(parts) :] == parts


def _floats(column: pl.Series) -> np.ndarray:
  return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
