"""Numbers in records that may become larger: durations, shares, lengths of queues.

A number is one by its unit (`41 ms`), by the name before it (`elapsed=41`, `queue depth
12`) or by the name of its field; of a message the first `MOST` are taken. Durations are
given in milliseconds where their unit is known, sizes in megabytes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

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
_SURE = '(?i:ns|nanos|us|micros|ms|msecs?|millis|secs?|seconds)'  # of any name
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
_BYTES = {'k': 1e-3, 'm': 1.0, 'g': 1e3, 't': 1e6}  # of MB and its like, in megabytes
_TO = r'["\']?(?: ?[=:] ?| )["\']?'
_SHAPES = (  # what stands before a number, its name, and groups: unit, number, unit
  ('(?:^|[^A-Za-z0-9_.:/-])', '', rf'()({_NUMBER}) ?({_UNIT})\b'),
  (
    '(?:^|[^A-Za-z])',
    _DURATION,
    rf'(?:_(?:in_)?({_UNIT}))?{_TO}({_NUMBER})()(?:[^A-Za-z0-9_.:/%]|\.?$)',
  ),
  (
    '(?:^|[^A-Za-z_])',
    '[A-Za-z]{1,20}(?:_[A-Za-z]{1,20}){0,3}',
    rf'_({_SURE}){_TO}({_NUMBER})()(?:[^A-Za-z0-9_.:/%]|\.?$)',
  ),
  (
    '(?:^|[^A-Za-z])',
    _GAUGE,
    rf'(){_TO}({_NUMBER}) ?(%|(?:[KMGTkmgt]i?[Bb]|[KMGT])\b|)',
  ),
)
_ANY = '|'.join(''.join(shape) for shape in _SHAPES)
_CALLED = f'?P<number>{_NUMBER}'
_PLACES = tuple(
  re.compile(f'{before}(?P<name>{name}){after.replace(_NUMBER, _CALLED, 1)}')
  for before, name, after in _SHAPES
)
_NO_WORD = re.compile('[^A-Za-z_.-]')
_FIELD = re.compile(
  rf'(?:.*[._-])?(?:{_DURATION}|{_GAUGE})(?:[_-]?(?:in_)?({_UNIT}))?(?:_?(?:pct|percent))?'
  rf'|.*[a-z][._-](?:in_)?({_SURE})|.*[a-z](Ms|Millis|Secs|Seconds|Micros)'
)
_GRID = np.array([float(f'{m}e{e}') for e in range(-3, 12) for m in (1, 2, 5)])
_PERCENT = np.arange(5.0, 105.0, 5.0)
KINDS = ('ms', '', '%', 'MB')
MOST = 4  # numbers of a message that are followed, and fields


class Slot(NamedTuple):
  """Where one of the numbers of a message is."""

  pattern: str  # groups: unit, number, unit or percent
  name: str  # the word before it; '' for none


def has_any(messages: pl.Series) -> np.ndarray:
  """Which messages hold a number that may become larger, [n] bool."""
  return messages.str.contains(_ANY).to_numpy()


def slots(message: str) -> list[Slot]:
  """The numbers of a message and of all that differ in variables alone; `MOST`."""
  found: dict[int, Slot] = {}
  for place, (before, _, after) in zip(_PLACES, _SHAPES):
    begin = 0
    for _ in range(MOST):
      if not (match := place.search(message, begin)):
        break
      start, begin = match.span('number')
      word = match['name'] or _last_word(message[max(0, start - 40) : start])
      pattern = _pattern_at(message, start, f'{before}{match["name"]}{after}')
      if pattern:
        found.setdefault(start, Slot(pattern, word))
  return [found[start] for start in sorted(found)[:MOST]]


def _pattern_at(message: str, start: int, pattern: str) -> str:
  """The pattern behind as many earlier matches as lie before a place; '' for too many.

  Several numbers of a message may have one name, or none.
  """
  name, number, unit = pattern.partition(f'({_NUMBER})')
  unit = unit if unit.endswith(r'\b') else ''  # else it may begin the next number's
  earlier = re.sub(r'\((?!\?)', '(?:', name + number + unit) + '.*?'
  for _ in range(MOST):
    match = re.search(pattern, message, re.DOTALL)
    if match is None or match.start(2) >= start:
      return f'(?s){pattern}' if match and match.start(2) == start else ''
    pattern = earlier + pattern
  return ''


def _last_word(text: str) -> str:
  return _NO_WORD.split(text.rstrip(' \t\n:=("\''))[-1].lstrip('_.-')


def of_messages(messages: pl.Series, pattern: str) -> tuple[np.ndarray, np.ndarray]:
  """The numbers that a slot's pattern finds in messages.

  Returns:
    Numbers [n], nan for none, and their kinds [n], places in `KINDS`.
  """
  parts = messages.str.extract_groups(pattern).struct.unnest().get_columns()
  before, number, after = (part.fill_null('') for part in parts)
  return _read(number, pl.select(pl.when(before != '').then(before).otherwise(after)))


def of_fields(
  fields: Mapping[str, pl.Series],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
  """Name, numbers and kinds, as of `of_messages`, of fields named like a number."""
  for name, column in fields.items():
    match = _FIELD.fullmatch(name)
    if not match:
      continue
    parts = column.str.extract_groups(rf'^()({_NUMBER}) ?({_UNIT}|%)?$').struct.unnest()
    _, number, unit = parts.get_columns()
    if number.is_not_null().any():
      percent = '%' if re.search('pct|percent', name) else ''
      named = next(filter(None, match.groups()), percent)
      yield name, *_read(number, unit.fill_null(named).to_frame())


def _read(number: pl.Series, unit: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
  """Numbers and kinds of texts [n] and of their units, a column [n]."""
  values = number.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().copy()
  kinds = np.full(len(values), KINDS.index(''))
  units = unit.to_series()
  for said in units.unique().to_list():
    kind, factor = _kind(said)
    rows = (units == said).to_numpy()
    values[rows] *= factor
    kinds[rows] = KINDS.index(kind)
  return values, kinds


def _kind(unit: str) -> tuple[str, float]:
  """The kind of a unit, and its size."""
  if unit in ('', '%'):
    return unit, 1.0
  for names, factor in _UNITS.items():
    if re.fullmatch(f'(?i:{names})', unit):
      return 'ms', factor
  return 'MB', _BYTES[unit[0].lower()]


def place(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
  """The place of each number on the grid of its kind, [n] int64."""
  coarse = np.searchsorted(_GRID, values * (1 + 1e-9), side='right')
  share = np.searchsorted(_PERCENT, values, side='right')
  return np.where(kinds == KINDS.index('%'), share, coarse)


def said(kind: str, place: int) -> str:
  """A threshold in words: numbers at this place of the grid, and above."""
  if kind == '%':
    return f'{_PERCENT[place - 1]:g} % or more'
  least = _GRID[place - 1]
  if kind == 'ms' and least >= 1000:
    return f'{least / 1000:,g} s or more'
  return f'{least:,.10g} {kind} or more'.replace('  ', ' ')
