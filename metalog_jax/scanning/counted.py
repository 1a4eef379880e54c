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

  cells: pl.DataFrame  # of `windows.Windows`, by template and value
  texts: Sequence[str]  # of templates
  files: Sequence[str]
  width: windows.Width
  first_window: int
  size: int  # windows, those in which nothing was written too
  values: Mapping[int, tuple[int, str]]  # number -> its template, the value
  sides: Mapping[int, Side] = dataclasses.field(
    default_factory=dict
  )  # of numbers above

  def __post_init__(self):
    """Sorts the cells and notes where each template's are."""
    cells = self.cells.with_columns(row=pl.col('window') - self.first_window)
    self.cells = cells.sort('template', 'row')
    template = self.cells['template'].to_numpy()
    self.rows, self.counts = (
      self.cells['row'].to_numpy(),
      self.cells['count'].to_numpy(),
    )
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


def number_values(texts: Sequence[str], *tables: pl.DataFrame) -> pl.DataFrame:
  """template, value, number, name: values that are counted by themselves.

  Those of templates that have several, and not too many, in any of the tables.
  """
  pairs = pl.concat([item.select('template', 'value') for item in tables]).unique()
  several = pl.len().over('template').is_between(2, _VALUES)
  pairs = pairs.filter(several).sort('template', 'value')
  level, value = (
    pl.col('value').str.split(_SEPARATOR).list.get(i, null_on_oob=True) for i in (0, 1)
  )
  pairs = pairs.with_columns(level=level, small=value.fill_null(''))
  one = pl.col('level').n_unique().over('template') == 1
  name = (
    pl.when(one).then('small').otherwise(pl.concat_str('level', 'small', separator=' '))
  )
  return pairs.with_columns(
    number=pl.int_range(pl.len(), dtype=pl.Int64) + len(texts),
    name=name.str.strip_chars(),
  ).select('template', 'value', 'number', 'name')


def count(
  cells: pl.DataFrame,
  values: pl.DataFrame,
  texts: Sequence[str],
  files: Sequence[str],
  width: windows.Width,
  sides: Mapping[int, Side] | None = None,
  beside: pl.DataFrame | None = None,
) -> Counted:
  """Counts of the cells of `table` by template, and by value where it has a number.

  Args:
    sides, beside: series that records are of besides, and their cells, by number.
  """
  apart = cells.join(values, on=('template', 'value')).with_columns(template='number')
  columns = [name for name in cells.columns if name != 'value']
  parts = [cells.select(columns), apart.select(columns)]
  if beside is not None:
    parts.append(beside.select(columns))
  joined = windows.join(pl.concat(parts))
  first, last = windows.ends(cells)
  if last - first >= _MOST_WINDOWS:
    joined, last = _closer(joined)
  named = {
    number: (template, name or 'none')
    for template, _, number, name in values.iter_rows()
  }
  size = last - first + 1
  return Counted(joined, texts, files, width, first, size, named, sides or {})


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
