"""Logs as counts of templates and of their values: what findings are made from."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax.scanning import windows

_SEPARATOR = '\x1f'  # between the level and values of a code
WHOLE = -1  # in place of a template: all records
_LEVEL = re.compile(
  r'\b(?:DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|CRITICAL|FATAL|PANIC|FAILURE)\b'
)
_WARNING = re.compile(r'(?i)\W*warn(?:ing)?\b')
_SERVER_FAULT = re.compile(r'5\d\d')  # a status of HTTP


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
    return self.texts[template]

  def window_name(self, row: int) -> str:
    """The id of a window in windows.jsonl."""
    return f'w{row}'

  def _severity(self, template: int, severity: np.ndarray, levels: bool) -> int:
    """Of its level; by its words, where its level says nothing."""
    highest = int(severity[self.span(template)].max())
    if template in self.values:
      value = self.values[template][1].split()[-1]
      return max(highest, int(bool(_SERVER_FAULT.fullmatch(value))))
    written = None if levels else _LEVEL.search(self.texts[template])
    if written:
      return windows.SEVERITY.get(written[0], 0)
    if _WARNING.match(self.texts[template]):
      return max(highest, 1)
    if highest < 2 and windows.ALARMING.search(self.texts[template]):
      return max(highest, 1) if levels else 2
    return highest


def count(
  seen: windows.Windows, templates: Any, files: Sequence[str]
) -> Counted | None:
  """The counts of a state whose cells are by `templates`' codes; None without records.

  Codes become templates; where the codes of one template have different values, each
  value is counted by itself as well.
  """
  numbers, width = seen.numbers, seen.width
  if width is None or not len(numbers):
    return None
  group = templates.group()
  texts = list(templates.texts)
  extras = templates.extras()
  by_template: dict[int, dict[str, list[int]]] = {}
  for code, template in enumerate(group.tolist()):
    by_template.setdefault(template, {}).setdefault(extras[code], []).append(code)
  value_of = np.full(len(group), -1, np.int64)
  values: dict[int, tuple[int, str]] = {}
  for template, by_value in sorted(by_template.items()):
    if len(by_value) < 2:
      continue
    parts = [extra.split(_SEPARATOR) for extra in by_value]
    same_level = len({part[0] for part in parts}) == 1
    for part, codes in zip(parts, by_value.values()):
      name = ' '.join(filter(None, part[same_level:])) or 'none'
      number = len(texts) + len(values)
      values[number] = (template, name)
      value_of[codes] = number
  cells = seen.cells
  codes = cells['template'].to_numpy()
  parts = [cells.with_columns(template=pl.Series(group[codes].astype(np.int64)))]
  apart = value_of[codes] >= 0
  if apart.any():
    split = cells.with_columns(template=pl.Series(value_of[codes]))
    parts.append(split.filter(pl.Series(apart)))
  joined = windows.join(pl.concat(parts))
  return Counted(joined, texts, files, width, numbers.start, len(numbers), values)
