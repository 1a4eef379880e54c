"""Times as people write them, read column by column and moved to UTC.

A shape is a regular expression whose groups name the parts of a time. A column is read
by the shape of its first text: all texts of that length with the same separators are
cut at the same places, as arrays of bytes; what is left is read likewise, and the last
few one by one. A time without an offset is taken as UTC.
"""

import datetime
import functools
import re
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax.logs.time_shapes import MONTHS, SHAPES, SIGNS, WEEKDAYS, ZONES

NAT = np.iinfo(np.int64).min  # an unread time, as numpy's NaT
DAY = 86_400_000_000  # microseconds
_ROUNDS = 12  # shapes of one column that are read as arrays
_SPECIAL = ('klog', 'stamp', 'uptime', 'epoch')  # where a layout says that one is there
_compiled = functools.cache(re.compile)  # shapes, at their first use


def ascii_only(regex: str) -> str:
  """The regex with classes of ASCII alone, which polars compiles far smaller."""
  inside, parts = False, []
  for part in re.findall(r'\\.|.', regex, re.DOTALL):
    inside = part == '[' or inside and part != ']'
    part = _CLASSES.get(part, part) if inside else _OUTSIDE.get(part, part)
    parts.append(part)
  return ''.join(parts)


_CLASSES = {r'\d': '0-9', r'\w': '0-9A-Za-z_', r'\s': r' \t'}
_OUTSIDE = {name: f'[{inside}]' for name, inside in _CLASSES.items()}
_OUTSIDE |= {r'\S': r'[^ \t]', r'\b': r'(?-u:\b)'}


def pattern(*names: str) -> str:
  """Any of the shapes (without names: of those that stand anywhere), without groups."""
  chosen = names or [name for name in SHAPES if name not in _SPECIAL]
  shapes = '|'.join(SHAPES[name] for name in chosen)
  return '(?:' + re.sub(r'\?P<\w+>', '?:', shapes) + ')'


@functools.cache
def _anywhere(names: tuple[str, ...]) -> re.Pattern:
  return re.compile(pattern(*names))


_EPOCH = re.compile(rf'(?:\[\s*\w{{1,8}}\s*\]\s*)?[\[(]?({pattern("epoch")})')


class Place(NamedTuple):
  """Where a text has a time."""

  shape: str
  start: int
  end: int


def find(text: str, within: int = 60) -> Place | None:
  """The first time that begins within that many characters."""
  if match := _EPOCH.match(text):
    return Place('epoch', *match.span(1))
  start = 0
  while match := _anywhere(()).search(text, start, within + 50):
    if match.start() > within:
      break
    before, start = text[match.start() - 1 : match.start()], match.end()
    if before.isalnum() or before in ('.', ':', '-') and before:  # inside of a name
      clock = _compiled(SHAPES['clock']).search(text, match.start() + 1, match.end())
      start = clock.start() if before == '.' and clock else start  # after an address
      continue
    for name, shape in SHAPES.items():
      whole = _compiled(shape).match(text, match.start())
      if whole and whole.end() == match.end():
        return Place(name, *whole.span())
  return None


class Reader:
  """Reads the times of one file, in order.

  Args:
    anchor: microseconds since the epoch, when the file was last written: times that
      lack a year or a day are placed at the latest one that begins before it.
    order: of three numbers that might be a date, such as 'DMY'; '' decides by them.
  """

  def __init__(self, anchor: int, order: str = ''):
    self._anchor, self.order = anchor, order
    self.num_undated = 0  # times of day, whose days are guessed
    self.notes: list[str] = []  # what was decided without proof
    self._before: tuple[str, int, int] | None = None  # cycle, its number, place in it

  def read(self, texts: pl.Series) -> np.ndarray:
    """Microseconds since the epoch [n] int64; NAT where no time is read."""
    if texts.str.contains('[^ -~]').any():
      for sign, written in SIGNS:
        texts = texts.str.replace_all(sign, written)
    parts = _parts(texts)
    if (rows := np.flatnonzero(parts['A'] >= 0)).size:
      self._place(parts, rows, texts)
    year, month, day = parts['Y'], parts['M'], parts['D']
    year = np.where((year >= 0) & (year < 100), year + 2000 - 100 * (year > 69), year)
    hour = parts['h']
    half = parts['p']  # 0 in the morning, 1 afternoon
    hour = np.where(half >= 0, hour % 12 + 12 * (half == 1), hour)
    clock = ((hour * 60 + parts['m']) * 60 + parts['s']) * 1_000_000
    clock += np.maximum(parts['f'], 0)
    good = (hour >= 0) & (hour < 24) & (parts['m'] < 60) & (parts['s'] < 61)
    dated = good & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    result = np.full(len(texts), NAT)
    self._fill_years(year, month, day, dated & (year < 0))
    dated &= (year > 0) & (day <= _month_days(year, month))
    result[dated] = _days(year[dated], month[dated], day[dated]) * DAY + clock[dated]
    alone = good & (month < 0) & (day < 0) & (year < 0)
    self.num_undated += int(alone.sum())
    result[alone] = self._fill_days(clock[alone]) * DAY + clock[alone]
    east = parts['z']
    result[dated] -= east[dated] * 60_000_000
    epoch = parts['e'] != NAT
    result[epoch] = parts['e'][epoch]
    return result

  def _place(self, parts, rows, texts: pl.Series) -> None:
    """Decides which of three numbers are day, month and year, once for the file.

    The order in which the most are dates; of several, that in which they span the
    fewest days; and then the commonest for how they are written.
    """
    a, b, c = (parts[name][rows] for name in 'ABC')
    example = texts[int(rows[0])]
    if not self.order:
      orders = ['MDY', 'DMY'] if c.max() > 99 else ['YMD', 'MDY', 'DMY']
      if re.match(r'\d+\.', example):
        orders = ['DMY', 'YMD', 'MDY']
      elif re.search('[AP]M', example.upper()):
        orders = ['MDY', 'DMY', 'YMD']
      costs = [_cost(dict(zip(order, (a, b, c)))) for order in orders]
      self.order = orders[costs.index(min(costs))]
      doubt = sum(cost[0] == min(costs)[0] for cost in costs) > 1
      if doubt and '.' not in example[:3] and (a != b).any():
        self.notes.append(
          f'dates such as {re.split("[ ,T]", example)[0]} were read as '
          f'{" ".join(_NAMES[part] for part in self.order)}: another order fits too'
        )
    for name, numbers in zip(self.order, (a, b, c)):
      parts[name][rows] = numbers
    swap = rows[(parts['M'][rows] > 12) & (parts['D'][rows] <= 12)]
    parts['M'][swap], parts['D'][swap] = parts['D'][swap], parts['M'][swap]
    if len(swap) and len(self.notes) == 1:
      self.notes.append(
        f'but {re.split("[ ,T]", texts[int(swap[0])])[0]} does not fit that order'
      )

  def _fill_years(self, year, month, day, which) -> None:
    rows = np.flatnonzero(which)
    if len(rows):
      first = lambda: self._year(int(month[rows[0]]), int(day[rows[0]]))
      place = month[rows] * 31 + day[rows]
      year[rows] = self._cycle('year', place, 372, 186, first)

  def _year(self, month: int, day: int) -> int:
    """The latest year in which the day is not after the anchor and a day of grace."""
    limit = np.datetime64(self._anchor + DAY, 'us').astype(datetime.datetime)
    return limit.year - ((month, day) > (limit.month, limit.day))

  def _fill_days(self, clock: np.ndarray) -> np.ndarray:
    if not len(clock):
      return clock
    first = lambda: int((self._anchor - clock[0]) // DAY)
    return self._cycle('day', clock, DAY, DAY // 12, first)

  def _cycle(self, name, place, length, back, first) -> np.ndarray:
    """The number of the year or day of each place in it.

    A step of more than `back` backwards begins the next one; one of nearly the whole
    length forwards is a late record of the one before.
    """
    if self._before is None or self._before[0] != name:
      self._before = (name, first(), int(place[0]))
    _, number, last = self._before
    steps = np.diff(place, prepend=last)
    late = steps > 0.9 * length
    numbers = number + np.cumsum((steps < -back).astype(np.int64) - late)
    self._before = (name, int(numbers[-1]), int(place[-1]))
    return numbers


_NAMES = dict(Y='year', M='month', D='day')


def _cost(date: dict[str, np.ndarray]) -> tuple[int, int]:
  """How many are no dates, and how many days the others span."""
  year, month, day = date['Y'], date['M'], date['D']
  good = (1 <= month) & (month <= 12) & (1 <= day) & (day <= 31)
  good &= (year < 100) | (year > 1900)
  place = (year * 372 + month * 31 + day)[good]
  return int((~good).sum()), int(np.ptp(place)) if len(place) else 0


def _parts(texts: pl.Series) -> dict[str, np.ndarray]:
  """Every part of every time [n], -1 where absent (an epoch in us: NAT; offset: 0)."""
  size = len(texts)
  parts = {name: np.full(size, -1, np.int64) for name in 'YMDhmsfpABC'}
  parts['z'] = np.zeros(size, np.int64)
  parts['e'] = np.full(size, NAT)
  column = texts.fill_null('').to_arrow(compat_level=pl.CompatLevel.oldest())
  if size == 0:
    return parts
  _, offsets, data = column.buffers()
  offsets = np.frombuffer(offsets, np.int64)[column.offset :][: size + 1]
  data = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
  length = np.diff(offsets)
  left = np.flatnonzero(length)
  for _ in range(_ROUNDS):
    if not len(left):
      return parts
    text = texts[int(left[0])]
    read = _read_text(text)
    if read is None or len(text.encode()) != len(text):
      left = left[1:]
      continue
    same = left[length[left] == len(text)]
    rows = data[offsets[same][:, None] + np.arange(len(text))]
    fits = _read_rows(rows, same, read, parts)
    done = same if fits.all() else same[fits]
    if len(done) == len(left):
      return parts
    left = np.setdiff1d(left, done, assume_unique=True)
  cache: dict[str, re.Match | None] = {}
  for row in left:
    text = texts[int(row)]
    read = cache.setdefault(text, _read_text(text))
    if read is not None:
      for name, group in read.groupdict().items():
        if group is not None:
          parts['M' if name == 'b' else name][row] = _value(name, group)
  return parts


def _read_text(text: str) -> re.Match | None:
  for shape in SHAPES.values():
    if match := _compiled(shape).fullmatch(text):
      return match
  return None


def _read_rows(rows, numbers, match: re.Match, parts) -> np.ndarray:
  """Cuts rows of bytes [n, L] where `match` was cut; which of them it fits."""
  spans = {name: match.span(name) for name, group in match.groupdict().items() if group}
  free: set[int] = set()  # letters that may differ between rows
  if 'b' in spans:
    start = spans['b'][0]
    free |= set(range(start, start + len(_WORD.findall(match.string, start)[0])))
  for day in _WEEK.finditer(match.string):
    free |= set(range(*day.span()))
  columns = np.ascontiguousarray(rows.T)
  fits = np.ones(len(rows), bool)
  for place, character in enumerate(match.string):
    if character.isdigit():
      columns[place] -= 48
      fits &= columns[place] < 10
    elif place not in free:
      fits &= columns[place] == ord(character)
  if not fits.all():
    columns, numbers = columns[:, fits], numbers[fits]
  value: Any
  for name, (start, end) in spans.items():
    text = match[name]
    if name == 'b':
      code = columns[start:end].astype(np.int64) | 32
      code = (code[0] << 16) | (code[1] << 8) | code[2]
      place = np.searchsorted(_MONTH_CODES, code).clip(0, 11)
      value = np.where(_MONTH_CODES[place] == code, _MONTH_NUMBERS[place], -1)
    elif name == 'z' and re.search(r'\d', text):
      digits = [i for i in range(start, end) if match.string[i].isdigit()]
      east = _EAST[len(digits) % 2 :]
      value = sum(columns[i].astype(np.int64) * w for i, w in zip(digits, east))
      value = -value if '-' in text else value
    elif name in 'pz':
      value = _value(name, text)
    elif name == 'e':
      value = _epoch(columns[start:end], text)
    elif name == 'f':
      value = _number(columns[start : min(end, start + 6)])
      value = value * 10 ** max(0, 6 - (end - start))
    else:
      value = _number(columns[start:end])
    parts['M' if name == 'b' else name][numbers] = value
  return fits


_ORDERED = sorted((sum(ord(c) << s for c, s in zip(name, (16, 8, 0))), i + 1)
                  for i, name in enumerate(MONTHS))  # fmt: skip
_MONTH_CODES = np.array([code for code, _ in _ORDERED])
_MONTH_NUMBERS = np.array([number for _, number in _ORDERED])


_WORD, _WEEK = re.compile('[A-Za-z]+'), re.compile(WEEKDAYS)
_EAST = (600, 60, 10, 1)  # minutes of the digits of an offset


def _number(columns: np.ndarray) -> np.ndarray:
  """The number [n] of rows of digits, given by column [length, n]."""
  number = columns[0].astype(np.int64)
  for column in columns[1:]:
    number *= 10
    number += column
  return number


def _epoch(columns: np.ndarray, text: str) -> np.ndarray:
  """Microseconds; 10 digits are seconds, 13 milli-, 16 micro- and 19 nanoseconds."""
  whole, _, fraction = text.partition('.')
  if fraction:
    after = columns[len(whole) + 1 : len(whole) + 7]
    micro = _number(after) * 10 ** max(0, 6 - len(fraction))
    return _number(columns[: len(whole)]) * 1_000_000 + micro
  return _number(columns[:16]) * 10 ** max(0, 16 - len(whole))


def _value(name: str, text: str) -> int:
  """One part of one time."""
  if name == 'b':
    return MONTHS.index(text.lower()) + 1
  if name == 'p':
    return int(text[0] in 'Pp')
  if name == 'f':
    return int(text[:6].ljust(6, '0'))
  if name == 'e':
    return int(_epoch(np.array([[ord(c) - 48] for c in text]), text)[0])
  if name == 'z':
    text = text.strip(' ()')
    if text in ZONES:
      return ZONES[text]
    digits = re.sub(r'\D', '', text)
    east = sum(int(c) * w for c, w in zip(digits, _EAST[len(digits) % 2 :]))
    return -east if '-' in text else east
  return int(text)


def _month_days(year: np.ndarray, month: np.ndarray) -> np.ndarray:
  lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
  leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
  return lengths[(month - 1).clip(0, 11)] + (leap & (month == 2))


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
  """Days since 1970-01-01 in the Gregorian calendar."""
  months = (year - 1970) * 12 + month - 1
  return (
    months.astype('datetime64[M]').astype('datetime64[D]').astype(np.int64) + day - 1
  )
