"""Messages that come at regular times: a job that did not run, or that ran twice."""

from collections.abc import Iterator

import numpy as np

from metalog_jax import clean, lazy
from metalog_jax.logs import times
from metalog_jax.scanning import windows
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.statistics import Surprise

special = lazy.module('scipy.special')

_LEAST = 6  # times that a message comes
_REGULAR = 0.8  # share of the gaps that differ by this share at most from the usual one
_NEAR = 0.1
_APART = 1.25  # windows from one time to the next
_LONG = 1.5  # of the usual gap, from which on a time was missed
_FEWEST = 0.02  # spread of the gaps, as a share of the usual one, that is assumed
_NAMED = 3  # times of silence that a sentence names
_MOST = 0.15  # share of the gaps that may be long
_UNLIKELY = 0.01  # p-value of a gap that is told beside longer ones
_DAY = 86400.0
_DAYS = 2  # from which on an hour of rest is a habit
_TICKS, _ALL = 4096, 1_000_000  # records of a message, and of all, that are noted
_SELDOM = 300.0  # seconds between the times of a message whose records are looked at
_TOGETHER = (0.5, 60.0, 240.0)  # seconds between records of one run


class Ticks:
  """The times of messages that are not frequent, in bounded memory."""

  def __init__(self) -> None:
    self._counts = np.zeros(0, np.int64)  # records of each code
    self._parts = [np.zeros((3, 0), np.int64)]  # codes, times, and whether unread
    self._most, self._size, self._time = _TICKS, 0, times.NAT

  def add(self, codes: np.ndarray, time: np.ndarray) -> None:
    """Notes records: codes [n], datetime64[us] [n]."""
    if not len(codes):
      return
    new = max(0, int(codes.max()) + 1 - len(self._counts))
    self._counts = np.pad(self._counts, (0, new))
    self._counts += np.bincount(codes, minlength=len(self._counts))
    micro = time.astype('datetime64[us]').astype(np.int64)
    read = micro != times.NAT
    before = np.maximum.accumulate(np.where(read, np.arange(len(micro)), -1))
    micro = np.where(before >= 0, micro[before], self._time)  # an unread one's
    self._time = int(micro[-1])
    rows = np.flatnonzero((self._counts[codes] <= self._most) & (micro != times.NAT))
    self._parts.append(np.stack([codes, micro, ~read])[:, rows])
    self._size += len(rows)
    while self._size > _ALL:
      table = np.concatenate(self._parts, axis=1)
      table = table[:, self._counts[table[0]] <= self._most]
      self._parts, self._size = [table], table.shape[1]
      self._most //= 2  # and none of them comes in again

  def put(self, counted: Counted, group: np.ndarray) -> None:
    """Gives counts the times of their templates; `group` is as in `of`."""
    counted.times, counted.unread = self.of(group), self.of(group, unread=True)

  def of(self, group: np.ndarray, unread: bool = False) -> dict[int, np.ndarray]:
    """Ascending times of each template.

    Args:
      group: the template of each code.
      unread: of the records without a time: the time of the record before.
    """
    table = np.concatenate(self._parts, axis=1)
    codes, time, _ = table[:, table[2] == unread]
    frequent = np.unique(group[: len(self._counts)][self._counts > self._most])
    order = np.lexsort((time, group[codes]))
    template, time = group[codes][order], time[order]
    ids, starts = np.unique(template, return_index=True)
    parts = np.split(time, starts[1:])
    return {i: x for i, x in zip(ids.tolist(), parts) if i not in frequent}


def missed(counted: Counted, template: int) -> Iterator[Surprise]:
  """The times that a regular message did not come; and when it came twice.

  Messages whose times are farther apart than windows are wide are looked at, and
  others, by the times of their records, if they come every five minutes or more
  seldom: what comes in every window is counted, and its silence found by its rate. A
  gap is held against the others by Student's t (the prediction of one more value of a
  normal sample), and the p-value allows for the number of gaps. One in which the
  message came at a time that was not read, or is not believed, is none.
  """
  span = counted.span(template)
  cells = counted.cells[span.start : span.stop]
  if not counted.width.timed:
    return
  size = counted.width.size
  every, unread = (
    times.get(template, np.zeros(0)) / 1e6 for times in (counted.times, counted.unread)
  )
  for together in _TOGETHER if len(every) >= _LEAST else ():
    seconds = every[np.diff(every, prepend=-np.inf) > together]
    if len(seconds) >= _LEAST and _usual(seconds) >= _SELDOM:
      found = [*_unlike(counted, template, seconds, unread, _SELDOM)]
      yield from found
      if found or _is_regular(np.diff(seconds)):
        return
  first, last = (cells[f'{end}_time'].to_numpy() / 1e6 for end in ('first', 'last'))
  is_unread = np.isnan(first) | np.isnan(last)
  unread = (cells['window'].to_numpy()[is_unread] + 0.5) * size
  first, last = first[~is_unread], last[~is_unread]
  if len(first) < _LEAST:
    return
  quiet = np.append(np.inf, first[1:] - last[:-1])
  seconds = first[quiet > size]
  if len(seconds) >= _LEAST:
    yield from _unlike(counted, template, seconds, unread, _APART * size)


def _usual(seconds: np.ndarray) -> float:
  return float(np.median(np.diff(seconds)))


def _is_regular(gaps: np.ndarray) -> bool:
  usual = np.median(gaps)
  return bool((np.abs(gaps - usual) <= _NEAR * usual).mean() >= _REGULAR)


def _unlike(
  counted: Counted,
  template: int,
  seconds: np.ndarray,
  unread: np.ndarray,
  least: float,
) -> Iterator[Surprise]:
  """Times that lack, or are too many, among times in seconds.

  Args:
    unread: times since which the message came, it is not known when.
    least: seconds that the usual gap is at least.
  """
  end = float(np.nanmax(counted.cells['last_time'].to_numpy())) / 1e6  # it cuts one gap
  gaps = np.diff(seconds, append=end)
  usual = _usual(seconds)
  if not _is_regular(gaps[:-1]) or usual < least:
    return
  yield from _twice(counted, template, seconds, usual)
  unclear = np.searchsorted(seconds, unread, 'right') - 1
  long = np.setdiff1d(np.flatnonzero(gaps > _LONG * usual), unclear)
  if not 0 < len(long) <= max(1, _MOST * len(gaps)):
    return
  others = gaps[:-1][gaps[:-1] <= _LONG * usual]
  spread = max(float(np.sqrt(np.mean((others - usual) ** 2))), _FEWEST * usual)
  missed: list[tuple[float, np.ndarray, list[int]]] = []
  for place in long.tolist():
    awaited = np.arange(seconds[place] + usual, seconds[place] + gaps[place], usual)
    if place < len(gaps) - 1:  # the last of them is the one that came
      awaited = awaited[: max(1, round(gaps[place] / usual) - 1)]
    awaited = awaited[_is_usual(awaited, seconds, usual, end)]
    number = (awaited // counted.width.size).astype(int) - counted.first_window
    number = np.unique(number[number < counted.size])
    without = counted.series(template)[number] == 0
    number = number[without] if without.any() else number
    gap = min(gaps[place], usual * (len(awaited) + 1))
    t = (gap - usual) / (spread * np.sqrt(1 + 1 / len(others)))
    p = float(np.clip(special.stdtr(len(others) - 1, -t) * len(gaps), 1e-300, 1.0))
    if counted.totals[number].any():
      missed.append((p, awaited, number.tolist()))
  if not missed:
    return
  lowest = min(p for p, *_ in missed)
  missed = [item for item in missed if item[0] <= max(lowest, _UNLIKELY)]
  spans = [_span(awaited) for _, awaited, _ in missed]
  rest = sum(len(awaited) for _, awaited, _ in missed[_NAMED:])
  spans[_NAMED:] = [clean.counted(rest, 'more time')] if rest else []
  detail = f'every {_duration(usual)}, but not {", nor ".join(spans)}'
  rows = sorted({row for *_, number in missed for row in number})
  expected = float(sum(len(awaited) for _, awaited, _ in missed))
  surprise = float(-np.log10(lowest))
  yield Surprise('missing', template, surprise, rows, 0, expected, detail)


def _span(awaited: np.ndarray) -> str:
  """When a message was awaited, in words."""
  begin = f'at {windows.iso(int(awaited[0]) * 10**6)}'
  if len(awaited) == 1:
    return begin
  return f'{begin} and {clean.counted(len(awaited) - 1, "more time")}'


def _twice(
  counted: Counted, template: int, seconds: np.ndarray, usual: float
) -> Iterator[Surprise]:
  """A run between two that are as far apart as usual."""
  gaps = np.diff(seconds)
  both = gaps[:-1] + gaps[1:]
  extra = np.flatnonzero(np.abs(both - usual) <= _NEAR * usual) + 1
  if not 0 < len(extra) <= max(1, _MOST * len(gaps)):
    return
  others = gaps[np.abs(gaps - usual) <= _NEAR * usual]
  spread = max(float(np.std(others)), _FEWEST * usual)
  nearest = np.minimum(gaps[extra - 1], gaps[extra]).min()
  t = (usual - nearest) / (spread * np.sqrt(1 + 1 / len(others)))
  p = special.stdtr(len(others) - 1, -t) * len(gaps)
  number = (seconds[extra] // counted.width.size).astype(int) - counted.first_window
  again = windows.iso(int(seconds[extra[0]]) * 10**6)
  detail = f'every {_duration(usual)}, but once more at {again}'
  if len(extra) > 1:
    detail += f' and {clean.counted(len(extra) - 1, "more time")}'
  surprise = float(-np.log10(np.clip(p, 1e-300, 1.0)))
  count, rows = len(extra), np.unique(number[number < counted.size]).tolist()
  yield Surprise('burst', template, surprise, rows, count, 0.0, detail)


def _is_usual(
  awaited: np.ndarray, seconds: np.ndarray, usual: float, end: float
) -> np.ndarray:
  """Which times a run is awaited at that are no habit of rest, [n] bool.

  A message that never came at a weekend rests there, and at a time of day at which no
  run is near, on whatever day, if the log has that time on `_DAYS` more days.

  Args:
    awaited, seconds: times [n] without a run, and those of runs, ascending.
    usual: seconds between runs.
    end: of the log.
  """
  is_free = lambda x: (x // _DAY + 3) % 7 >= 5  # 1970 began on a Thursday
  rests = is_free(awaited) & (not is_free(seconds).any())
  clock = np.sort(seconds % _DAY)
  clock = np.concatenate([clock[-1:] - _DAY, clock, clock[:1] + _DAY])
  place = np.searchsorted(clock, awaited % _DAY)
  before, after = clock[np.maximum(place - 1, 0)], clock[place]
  nearest = np.minimum(awaited % _DAY - before, after - awaited % _DAY)
  days = (awaited - seconds[0]) // _DAY + (end - awaited) // _DAY
  return ~rests & ((nearest <= usual / 2) | (days < _DAYS))


def _duration(seconds: float) -> str:
  for size, name in ((_DAY, 'd'), (3600, 'h'), (60, 'min')):
    if seconds >= 0.98 * size:
      return f'{seconds / size:.3g} {name}'
  return f'{seconds:.3g} s'
