"""Numbers in records that may become larger: durations, shares, lengths of queues.

A number is one by its unit (`41 ms`), by the name before it (`elapsed=41`, `queue depth
12`) or by the name of its field; of a message the first is taken. Durations are given
in milliseconds where their unit is known.
"""

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

_UNITS = {
  'ns|nanos|nanoseconds': 1e-6,
  'us|µs|μs|micros|microseconds': 1e-3,
  'ms|msecs?|millis|milliseconds?': 1.0,
  's|secs?|seconds?': 1e3,
  'min|mins|minutes?': 6e4,
}  # milliseconds
_UNIT = '(?i:' + '|'.join(_UNITS) + ')'
_NUMBER = r'[0-9]+(?:\.[0-9]+)?'
_DURATION = (
  r'(?i:duration|dur|elapsed|latency|took|time[_-]?taken|lag|delay|cost|rt|urt|uht|uct'
  r'|(?:response|resp|request|upstream|query|exec|execution|process|processing|total'
  r'|service|wait|run)[_ -]?time)'
)
_GAUGE = (
  r'(?i:(?:queue|backlog|buffer|pool|heap|memory|mem|rss|cpu|disk|load|pending|usage'
  r'|in[_-]?flight|connections|conns|threads|fds|depth)'
  r'(?:[ _-](?:size|depth|length|len|used|usage|count|open|active|full|is|at)){0,2})'
)
_TO = r'["\']?(?: ?[=:] ?| )["\']?'
_PATTERNS = (  # groups: unit, number, unit or percent
  rf'(?:^|[^A-Za-z0-9_.:/-])()({_NUMBER}) ?({_UNIT})\b',
  rf'(?:^|[^A-Za-z]){_DURATION}(?:_(?:in_)?({_UNIT}))?{_TO}({_NUMBER})()(?:[^A-Za-z0-9_.:/%]|\.?$)',
  rf'(?:^|[^A-Za-z]){_GAUGE}(){_TO}({_NUMBER}) ?(%?)',
)
_FIELD = re.compile(
  rf'(?:.*[._-])?(?:{_DURATION}|{_GAUGE})(?:[_-]?(?:in_)?({_UNIT}))?(?:_?(?:pct|percent))?'
)
_GRID = np.array([float(f'{m}e{e}') for e in range(-3, 12) for m in (1, 2, 5)])
_PERCENT = np.arange(5.0, 105.0, 5.0)
KINDS = ('ms', '', '%')


def pattern_of(messages: pl.Series) -> np.ndarray:
  """Which pattern each message fits [n] int64, the first of several; -1 for none."""
  result = np.full(len(messages), -1, np.int64)
  for number, pattern in reversed([*enumerate(_PATTERNS)]):
    result[messages.str.contains(pattern).to_numpy()] = number
  return result


def of_messages(messages: pl.Series, pattern: int) -> tuple[np.ndarray, np.ndarray]:
  """The numbers of messages that fit a pattern.

  Returns:
    Numbers [n], nan for none, and their kinds [n], places in `KINDS`.
  """
  parts = messages.str.extract_groups(_PATTERNS[pattern]).struct.unnest()
  before, number, unit = parts.get_columns()
  values = number.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().copy()
  unit = unit if pattern == 0 else before if pattern == 1 else unit
  kinds = np.full(len(values), 1)
  for name in unit.unique().drop_nulls():
    rows = (unit == name).fill_null(False).to_numpy()
    if name == '%':
      kinds[rows] = 2
    elif name:
      values[rows] *= _factor(name)
      kinds[rows] = 0
  return values, kinds


def of_fields(
  fields: Mapping[str, pl.Series],
) -> tuple[np.ndarray, np.ndarray, str] | None:
  """As `of_messages`, of the first field that has a name of a number; its name."""
  for name, column in fields.items():
    match = _FIELD.fullmatch(name)
    if not match:
      continue
    parts = column.str.extract_groups(rf'^()({_NUMBER}) ?({_UNIT}|%)?$').struct.unnest()
    _, number, unit = parts.get_columns()
    if not number.is_not_null().any():
      continue
    values = number.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().copy()
    named = match[1] or ('%' if re.search('pct|percent', name) else '')
    kinds = np.full(len(values), 1)
    for said in unit.fill_null(named).unique():
      rows = (unit.fill_null(named) == said).to_numpy()
      kinds[rows] = 2 if said == '%' else 0 if said else 1
      values[rows] *= _factor(said) if said and said != '%' else 1.0
    return values, kinds, name
  return None


def place(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
  """The place of each number on the grid of its kind, [n] int64."""
  coarse = np.searchsorted(_GRID, values * (1 + 1e-9), side='right')
  share = np.searchsorted(_PERCENT, values, side='right')
  return np.where(kinds == 2, share, coarse)


def said(kind: str, place: int) -> str:
  """A threshold in words: numbers at this place of the grid, and above."""
  if kind == '%':
    return f'{_PERCENT[place - 1]:g} % or more'
  least = _GRID[place - 1]
  if kind == 'ms' and least >= 1000:
    return f'{least / 1000:,g} s or more'
  return f'{least:,.10g}{" ms" * (kind == "ms")} or more'


def _factor(unit: str) -> float:
  for names, factor in _UNITS.items():
    if re.fullmatch(f'(?i:{names})', unit):
      return factor
  return 1.0
