"""Records, block by block, to counts of every template in every window.

A window is a number of records or a span of time. The state is one cell for each
window and template that meet: a count, the first and last place, and one sample. Its
size is bounded: where there are more than `MOST` windows, neighbours are joined.
"""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import clean, errors
from metalog_jax.logs import repeats

MOST = 1024  # windows kept before neighbours are joined
_AIM = 128  # windows of a first block
_LEAST = 10  # records a window has on average at least, where it is chosen
_SECOND = 1_000_000  # microseconds
_FIRST, _LAST = 0, 253_402_300_800 * _SECOND  # of the years 1970 to 9999
# Seconds; each divides another one, so that windows can be joined.
_LADDER = (
  *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
  *(3600, 7200, 21600, 43200, 86400, 604800),
)
_UNITS = {'s': 1, 'sec': 1, 'm': 60, 'min': 60, 'h': 3600, 'd': 86400}
_TEXT = 4000  # characters of a sample that are kept
_COMPACT = 100_000  # cells that wait before they are joined
SEVERITY = {
  'WARN': 1, 'WARNING': 1, 'W': 1,
  'ERROR': 2, 'ERR': 2, 'E': 2, 'SEVERE': 2, 'FAILURE': 2,
  'CRITICAL': 3, 'CRIT': 3, 'FATAL': 3, 'F': 3, 'ALERT': 3, 'EMERG': 3, 'EMERGENCY': 3,
  'PANIC': 3, 'C': 3,
}  # fmt: skip
ALARMING = re.compile(
  r'(?i)\b(?:err(?:or)?s?\b|exception|fail(?:ed|ure|s)?\b|fatal|panic|critical|refused'
  r'|denied|time[d ]?-?out|no space|out of memory|oom|killed|corrupt|unreachable|abort'
  r'|segfault|traceback|crash|deadlock|unavailable|rejected|lost|cannot|unable)'
  r'|[a-z](?:Exception|Error)\b'
)


class Place(NamedTuple):
  """Where a record stands."""

  file: str
  line: int
  time: str | None  # ISO 8601, UTC


class Beside(NamedTuple):
  """Series that n records are of besides their templates."""

  template: np.ndarray  # [n] int64, -1 for the series of all templates
  name: np.ndarray  # [n] int64, which of the names; -1 for none
  names: Sequence[str]


class Width(NamedTuple):
  """How wide a window is: so many records, or seconds where `timed`."""

  size: int
  timed: bool

  def __str__(self) -> str:
    if not self.timed:
      return clean.counted(self.size, 'record')
    for seconds, name in ((86400, 'd'), (3600, 'h'), (60, 'min'), (1, 's')):
      if self.size % seconds == 0:
        return f'{self.size // seconds} {name}'
    return f'{self.size} s'


def parse_width(text: str) -> Width | None:
  """`auto` (None), a number of records, or a duration such as 30s, 5m, 1h, 2d.

  Raises UserError for anything else.
  """
  if text == 'auto':
    return None
  match = re.fullmatch(r'(\d+)\s*([a-z]*)', text.strip().lower())
  if not match or int(match[1]) < 1 or match[2] not in ('', *_UNITS):
    raise errors.UserError(
      f'--window={text}: give auto, a number of records, or a duration (30s, 5m, 1h)'
    )
  timed = bool(match[2])
  return Width(int(match[1]) * _UNITS.get(match[2], 1), timed)


def iso(time: int | None) -> str | None:
  """Microseconds since 1970 as ISO 8601 in UTC; None stays None."""
  if time is None:
    return None
  try:
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=time)
  except OverflowError:
    return None
  digits = 'milliseconds' if time % 1_000_000 else 'seconds'
  return moment.isoformat(timespec=digits) + 'Z'


def place(row: dict[str, Any], end: str, files: Sequence[str]) -> Place:
  """The `first` or `last` place of a row of cells, or of `Sessions.places`."""
  file, line, time = (row[f'{end}_{name}'] for name in ('file', 'line', 'time'))
  return Place(files[file], line, iso(time))


def iso_all(times: pl.Series) -> list[str | None]:
  """`iso` of many."""
  micro = times.fill_null(0).to_numpy()
  text = np.datetime_as_string(micro.astype('datetime64[us]'), 'ms')
  return [
    iso(time)
    if time is None or not _FIRST <= time < _LAST
    else said + 'Z'
    if time % _SECOND
    else said[:-4] + 'Z'
    for time, said in zip(times.to_list(), text.tolist())
  ]


class Windows:
  """Counts templates per window; `add` blocks in order, `cells` at any time."""

  def __init__(self, width: Width | None = None, joins: bool | None = None):
    """No width: chosen at the first block.

    Args:
      joins: whether windows may be joined where they are many; None: if no width.
    """
    self.width = width
    self.joins = width is None if joins is None else joins
    self.records = 0
    self.timed = 0  # records whose time was read
    self._waiting: list[pl.DataFrame] = []
    self._sides = [pl.DataFrame(schema=SIDES)]
    self._size = 0
    self._time: int | None = None  # of the last record that has one
    self._least: int | None = None  # numbers of the first and last window
    self._most: int | None = None

  def add(
    self,
    templates: np.ndarray,
    time: np.ndarray,
    file: np.ndarray,
    line: np.ndarray,
    level: pl.Series,
    text: pl.Series,
    sides: Iterable[Beside] = (),
  ) -> np.ndarray:
    """Counts one block of records, all of length n; the number of each one's window.

    Args:
      templates: int32 [n].
      time: datetime64[us] [n], NaT where it was not read.
      level: upper case; '' where there is none.
      text: the records as they stand.
      sides: series that they are of besides.
    """
    if not len(templates):
      return np.zeros(0, np.int64)
    time, read = self._filled(np.asarray(time, 'datetime64[us]'))
    self.timed += int(read.sum())
    if self.width is None:
      self.width = _choose(time, read)
    if self.width.timed:
      window = time // (self.width.size * _SECOND)
    else:
      window = (self.records + np.arange(len(time))) // self.width.size
    self.records += len(time)
    severity = severities(level)
    block = _Block(window, severity, file, line, time, read, text)
    self._sides += [block.cells(*side).cast(SIDES) for side in sides]
    if sum(map(len, self._sides[1:])) > _COMPACT:
      _ = self.sides
    self._keep(block.cells(np.asarray(templates, np.int64)).cast(_SCHEMA))
    return window

  @property
  def cells(self) -> pl.DataFrame:
    """window, template, count, severity, first_*, last_*, text; one row a pair."""
    if not self._waiting:
      return pl.DataFrame(schema=_SCHEMA)
    if len(self._waiting) > 1:
      self._waiting = [join(pl.concat(self._waiting))]
      self._size = len(self._waiting[0])
    return self._waiting[0]

  @property
  def sides(self) -> pl.DataFrame:
    """The same by `name` too, of series that records are of besides."""
    if len(self._sides) > 1:
      joined = join(pl.concat(self._sides), ('window', 'template', 'name'))
      self._sides = [joined.select(list(SIDES))]
    return self._sides[0]

  @property
  def numbers(self) -> range:
    """The windows from the first to the last; in time there may be empty ones."""
    if self._least is None or self._most is None:
      return range(0)
    return range(self._least, self._most + 1)

  def _keep(self, cells: pl.DataFrame) -> None:
    least, most = ends(cells)
    self._least = least if self._least is None else min(self._least, least)
    self._most = most if self._most is None else max(self._most, most)
    self._waiting.append(cells)
    self._size += len(cells)
    while self.joins and len(self.numbers) > MOST and self._widen():
      pass
    if self._size > _COMPACT:
      _ = self.cells

  def _widen(self) -> bool:
    """Joins neighbouring windows; False where they are as wide as they can be."""
    wider = _wider(self.width) if self.width else None
    if wider is None or self.width is None:
      return False
    factor, self.width = wider.size // self.width.size, wider
    cells = pl.concat(self._waiting).with_columns(pl.col('window') // factor)
    self._waiting = [join(cells)]
    self._size = len(self._waiting[0])
    self._least, self._most = ends(self._waiting[0])
    sides = self.sides.with_columns(pl.col('window') // factor)
    self._sides = [sides.clear(), sides]  # which `sides` joins
    return True

  def _filled(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds, those that lack taken from the record before; which were read."""
    read = ~np.isnat(time)
    rows = np.maximum.accumulate(np.where(read, np.arange(len(time)), -1))
    value = time.astype(np.int64)
    before = self._time
    if before is None:
      before = int(value[read][0]) if read.any() else 0
    filled = np.where(rows >= 0, value[np.maximum(rows, 0)], before)
    if read.any():
      self._time = int(filled[-1])
    return filled, read


_SCHEMA: Any = {
  'window': pl.Int64, 'template': pl.Int64, 'count': pl.Int64, 'severity': pl.Int64,
  'first_file': pl.Int64, 'first_line': pl.Int64, 'first_time': pl.Int64,
  'last_file': pl.Int64, 'last_line': pl.Int64, 'last_time': pl.Int64,
  'text': pl.String,
}  # fmt: skip
SIDES: Any = _SCHEMA | {'name': pl.String}
CELLS: Any = {**_SCHEMA, 'value': pl.String}  # of `counted.table`
_FARTHEST = 1 << 62


class _Block(NamedTuple):
  """n records; all but `read` as they are in cells."""

  window: np.ndarray
  severity: np.ndarray
  file: np.ndarray
  line: np.ndarray
  time: np.ndarray
  read: np.ndarray  # [n] bool: they have a time of their own
  text: pl.Series

  def cells(
    self,
    template: np.ndarray,
    name: np.ndarray | None = None,
    names: Sequence[str] = ('',),
  ) -> pl.DataFrame:
    """A row for each window, template and name that meet, in order of appearance.

    Args:
      template, name, names: as in `Beside`; without names there is no such column.
    """
    _, key = repeats.numbers(self.window - self.window.min())
    key = key * (int(template.max()) + 2) + template + 1
    rows = np.arange(len(key))
    if name is not None:
      rows = np.flatnonzero(name >= 0)
      key = key[rows] * len(names) + name[rows]
    keys, cell = repeats.numbers(key)
    first, last = np.zeros((2, len(keys)), np.int64)
    first[cell[::-1]] = rows[::-1]  # of rows of one cell, the one written last stays
    last[cell] = rows
    severity = np.zeros(len(keys), np.int64)
    for level in range(1, 4):
      severity[cell[self.severity[rows] == level]] = level
    order = np.argsort(first)
    first, last = first[order], last[order]
    columns: dict[str, Any] = {
      'window': self.window[first],
      'template': template[first],
      'count': np.bincount(cell, minlength=len(keys))[order],
      'severity': severity[order],
    }
    for end, at in (('first', first), ('last', last)):
      columns[f'{end}_file'] = self.file[at]
      columns[f'{end}_line'] = self.line[at]
      unread = np.flatnonzero(~self.read[at])
      columns[f'{end}_time'] = pl.Series(self.time[at]).scatter(unread, None)
    columns['text'] = quoted(self.text, first, _TEXT)
    if name is not None:
      columns['name'] = pl.Series(names, dtype=pl.String).gather(name[first])
    return pl.DataFrame(columns)


def quoted(text: pl.Series, rows: np.ndarray, length: int) -> pl.Series:
  """Copies of some texts, so long at most; a view would keep all of the block's."""
  said = text.gather(rows).str.slice(0, length).to_list()
  return pl.Series('text', said, dtype=pl.String)


def severities(levels: pl.Series) -> np.ndarray:
  """Levels as int64: 0 nothing special, 1 warning, 2 error, 3 worse."""
  known = levels.replace_strict(SEVERITY, default=0, return_dtype=pl.Int64)
  return known.to_numpy()


def join(
  cells: pl.DataFrame, key: Sequence[str] = ('window', 'template')
) -> pl.DataFrame:
  """Cells with equal keys become one."""
  of = lambda name: getattr(pl.col(name), 'last' if name[:4] == 'last' else 'first')()
  rest = [of(name) for name in _SCHEMA if name[:4] in ('last', 'firs', 'text')]
  return cells.group_by(*key, maintain_order=True).agg(
    pl.col('count').sum(), pl.col('severity').max(), *rest
  )


def ends(cells: pl.DataFrame) -> tuple[int, int]:
  """The numbers of the first and the last window of cells, of which there are some."""
  numbers = cells['window'].to_numpy()
  return int(numbers.min()), int(numbers.max())


def checked(table: pl.DataFrame, schema: Any, below: Mapping[str, int]) -> pl.DataFrame:
  """A table that a file holds, with these columns alone.

  Args:
    schema: types of columns by name.
    below: what the numbers of a column are below; all but times and windows are 0 or
      above.

  Raises:
    ValueError, PolarsError: a column lacks, or has a value that cannot be.
  """
  table = table.select(list(schema)).cast(schema)
  for name, kind in schema.items():
    column = table[name]
    if not name.endswith('_time') and column.null_count():
      raise ValueError(f'{name} lacks a value')
    if kind.is_integer() and len(column.drop_nulls()):
      numbers = column.drop_nulls().to_numpy()
      least = -_FARTHEST if name.endswith('_time') or name == 'window' else 0
      if numbers.min() < least or numbers.max() >= below.get(name, _FARTHEST):
        raise ValueError(f'{name} is {numbers.min()} to {numbers.max()}')
  return table


def widened(cells: pl.DataFrame, width: Width) -> tuple[pl.DataFrame, Width]:
  """Cells of a baseline with windows joined until there are no more than `MOST`."""
  while len(cells) and np.diff(ends(cells))[0] >= MOST:
    wider = _wider(width)
    if wider is None:
      break
    cells = cells.with_columns(pl.col('window') // (wider.size // width.size))
    cells, width = join(cells, ('window', 'template', 'value')), wider
  return cells, width


def _choose(time: np.ndarray, read: np.ndarray) -> Width:
  """Time where nine records in ten have one and it passes, else records."""
  count = max(1, min(_AIM, len(time) // _LEAST))
  span = int(time.max() - time.min()) / _SECOND
  if read.mean() < 0.9 or span < 2:
    size = _LEAST
    while size * count < len(time):
      size *= 2
    return Width(size, timed=False)
  fitting = (size for size in _LADDER if size * count >= span)
  return Width(next(fitting, _LADDER[-1]), timed=True)


def _wider(width: Width) -> Width | None:
  if not width.timed:
    return Width(width.size * 2, timed=False)
  fitting = (x for x in _LADDER if x > width.size and x % width.size == 0)
  size = next(fitting, None)
  return None if size is None else Width(size, timed=True)
