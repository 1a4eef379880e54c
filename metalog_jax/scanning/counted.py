"""Logs as counts of templates and of their values: what findings are made from."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax.scanning import windows
from metalog_jax.scanning.sides import Side

_VALUES = 64  # of one template, above which none is counted by itself
_MOST_WINDOWS = 200_000  # from the first to the last; of longer gaps less is counted
_SEPARATOR = '\x1f'  # between the level and values of a code
WHOLE = -1  # in place of a template: all records
_LEVEL = re.compile(
  r'\b(?:DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|CRITICAL|FATAL|PANIC|FAILURE)\b'
)
_WARNING = re.compile(r'(?i)\W*warn(?:ing)?\b')
_THROWN = re.compile(r'[a-z](?:Error|Exception)\b')
_SERVER_FAULT = re.compile(r'\b5\d\d\b')  # a status of HTTP


@dataclasses.dataclass
class Counted:
  """Counts of records by window and template, and by the values of a template.

  Templates are numbered from 0 as in `texts`; values have the numbers above.
  """

  cells: pl.DataFrame  # of `windows.Windows`, sorted by template or value, and window
  texts: Sequence[str]  # of templates
  files: Sequence[str]
  width: windows.Width
  first_window: int
  size: int  # windows, those in which nothing was written too
  values: Mapping[int, tuple[int, str]]  # number -> its template, the value
  sides: Mapping[int, Side] = dataclasses.field(
    default_factory=dict
  )  # of numbers above
  times: Mapping[int, np.ndarray] = dataclasses.field(
    default_factory=dict
  )  # of templates that are not too frequent, microseconds
  unread: Mapping[int, np.ndarray] = dataclasses.field(
    default_factory=dict
  )  # of their records without a time: of the record before
  resting: frozenset[int] = (
    frozenset()
  )  # templates whose rhythm a saved baseline breaks

  def __post_init__(self):
    """Notes where each template's cells are."""
    row = self.cells['window'] - self.first_window
    self.cells = self.cells.hstack([row.alias('row')])
    template = self.cells['template'].to_numpy()
    self.rows, self.counts = row.to_numpy(), self.cells['count'].to_numpy()
    ids, starts = np.unique(template, return_index=True)
    ends = [*starts[1:].tolist(), len(template)]
    self._spans = dict(zip(ids.tolist(), zip(starts.tolist(), ends)))
    self.ids = ids[ids < len(self.texts)]
    whole = template < len(self.texts)
    totals = np.bincount(self.rows[whole], self.counts[whole], self.size)
    self.totals = totals.astype(np.int64)
    self.records = int(self.totals.sum())
    severity = self.cells['severity'].to_numpy()
    levels = bool((severity > 0).any())
    self.by_words: set[int] = set()  # templates whose severity is that of their words
    self.severity = {i: self._severity(i, severity, levels) for i in self._spans}

  def span(self, template: int) -> slice:
    """Its cells."""
    return slice(*self._spans[template])

  def number(self, template: int) -> int:
    """Its records."""
    return int(self.counts[self.span(template)].sum()) if template in self._spans else 0

  def series(self, template: int) -> np.ndarray:
    """Its records in each window, [size]."""
    x = np.zeros(self.size, np.int64)
    if template in self._spans:
      x[self.rows[self.span(template)]] = self.counts[self.span(template)]
    return x

  def text(self, template: int) -> str:
    """Its text; of a value, the template with the value."""
    if template == WHOLE:
      return '(all records)'
    if template in self.values:
      parent, value = self.values[template]
      return f'{self.texts[parent]} [{value}]'
    if template in self.sides:
      side = self.sides[template]
      return f'{self.text(side.template)} [{side.name}]'
    return self.texts[template]

  def window_name(self, row: int) -> str:
    """The id of a window in windows.jsonl."""
    return f'w{row}'

  def _severity(self, template: int, severity: np.ndarray, levels: bool) -> int:
    """Of its level; by its words, where its level says nothing."""
    if template in self.sides:
      return 0
    span = self.span(template)
    highest = int(np.bincount(severity[span], self.counts[span]).argmax())  # of most
    if template in self.values:
      value = self.values[template][1]
      return max(highest, int(bool(_SERVER_FAULT.search(value))))
    written = None if levels else _LEVEL.search(self.texts[template])
    if written:
      return windows.SEVERITY.get(written[0], 0)
    if _WARNING.match(self.texts[template]):
      return max(highest, 1)
    sample = self.cells['text'][span.start]
    if highest < 2 and '\n' in sample and _THROWN.search(self.texts[template]):
      return 2  # a trace, whatever the level of the line above it
    if highest < 2 and windows.ALARMING.search(self.texts[template]):
      self.by_words.add(template)
      return max(highest, 1) if levels else 2
    return highest


def table(seen: windows.Windows, templates: Any) -> pl.DataFrame:
  """The cells of a state by window, template and value, as a baseline keeps them.

  A value is the level and the small values of a message, such as a status.
  """
  cells, group = seen.cells, templates.group()
  values = [
    f'{level}{_SEPARATOR}{value}'
    for level, value in zip(templates.code_levels(), templates.code_values())
  ]
  codes = cells['template'].to_numpy()
  return windows.join(
    cells.with_columns(
      template=pl.Series(group[codes], dtype=pl.Int64),
      value=pl.Series(values, dtype=pl.String).gather(codes),
    ),
    ('window', 'template', 'value'),
  )


def without_words(cells: pl.DataFrame, templates: Sequence[int]) -> pl.DataFrame:
  """Cells of `table` where words of these templates are no values; fields are."""
  level = pl.col('value').str.split(_SEPARATOR).list.first() + _SEPARATOR
  field = pl.col('value').str.contains('=', literal=True)
  words = pl.col('template').is_in(templates) & ~field
  return cells.with_columns(value=pl.when(words).then(level).otherwise('value'))


def number_values(
  texts: Sequence[str], *tables: pl.DataFrame
) -> dict[tuple[int, str], tuple[int, str]]:
  """(template, value) -> number, name: values that are counted by themselves.

  Those of templates that have several, and not too many, in any of the tables.
  """
  pairs = pl.concat([item[['template', 'value']] for item in tables]).unique()
  by_template: dict[int, list[str]] = {}
  for template, value in sorted(pairs.iter_rows()):
    by_template.setdefault(template, []).append(value)
  numbers: dict[tuple[int, str], tuple[int, str]] = {}
  for template, values in by_template.items():
    if not 2 <= len(values) <= _VALUES:
      continue
    parts = [[*value.split(_SEPARATOR), ''][:2] for value in values]
    one = len({level for level, _ in parts}) == 1
    for value, (level, small) in zip(values, parts):
      name = small if one else f'{level} {small}'
      numbers[template, value] = len(texts) + len(numbers), name.strip()
  return numbers


def count(
  cells: pl.DataFrame,
  values: Mapping[tuple[int, str], tuple[int, str]],
  texts: Sequence[str],
  files: Sequence[str],
  width: windows.Width,
  sides: Mapping[int, Side] | None = None,
  beside: pl.DataFrame | None = None,
) -> Counted:
  """Counts of the cells of `table` by template, and by value where it has a number.

  Args:
    values: of `number_values`.
    sides, beside: series that records are of besides, and their cells, by number.
  """
  first, last = windows.ends(cells)
  joined = _joined(cells, values, beside)
  if last - first >= _MOST_WINDOWS:
    joined, last = _closer(joined)
  named = {
    number: (template, name or 'none')
    for (template, _), (number, name) in values.items()
  }
  size = last - first + 1
  return Counted(joined, texts, files, width, first, size, named, sides or {})


def _joined(
  cells: pl.DataFrame,
  values: Mapping[tuple[int, str], tuple[int, str]],
  beside: pl.DataFrame | None,
) -> pl.DataFrame:
  """Cells by template and window, of values and of `beside` by their numbers.

  As `windows.join` would, in arrays: who follows a log counts at every window, and
  the columns are short.
  """
  template = cells['template'].to_numpy()
  own = np.flatnonzero(np.isin(template, [*{template for template, _ in values}]))
  pairs = zip(template[own].tolist(), cells['value'].gather(own).to_list())
  number = np.array([values.get(pair, (-1, ''))[0] for pair in pairs], np.int64)
  own, number = own[number >= 0], number[number >= 0]
  row, series = np.r_[np.arange(len(cells)), own], np.r_[template, number]
  names = [name for name in cells.columns if name != 'value']
  if beside is not None:
    row = np.r_[row, len(cells) + np.arange(len(beside))]
    series = np.r_[series, beside['template'].to_numpy()]
    cells = pl.concat([cells[names], beside[names]], rechunk=True)
  window = cells['window'].to_numpy()[row]
  order = np.lexsort((window, series))  # rows of one cell stay in order
  row, window, series = row[order], window[order], series[order]
  new = (np.diff(series, prepend=-1) != 0) | (np.diff(window, prepend=0) != 0)
  begin = np.flatnonzero(new | (np.arange(len(row)) == 0))
  ends = {'first': row[begin], 'last': row[np.append(begin[1:], len(row)) - 1]}
  columns = {'window': window[begin], 'template': series[begin]}
  for name, add in (('count', np.add), ('severity', np.maximum)):
    columns[name] = add.reduceat(cells[name].to_numpy()[row], begin)
  for name in names[len(columns) :]:
    columns[name] = cells[name].gather(ends['last' if name[:4] == 'last' else 'first'])
  return pl.DataFrame(columns)


def _closer(cells: pl.DataFrame) -> tuple[pl.DataFrame, int]:
  """Cells whose windows are numbered anew where long gaps are between, and the last.

  One line with a time of another century would otherwise make millions of windows.
  """
  numbers = cells['window'].unique().sort().to_numpy()
  gaps = np.diff(numbers)
  longest = 1 + _MOST_WINDOWS // len(numbers)
  closer = numbers[0] + np.r_[0, np.cumsum(np.minimum(gaps, longest))]
  window = pl.Series(closer[np.searchsorted(numbers, cells['window'].to_numpy())])
  return cells.with_columns(window=window), int(closer[-1])
