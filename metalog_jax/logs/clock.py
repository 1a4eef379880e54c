"""Which times of a log are believed.

One line with a time of another century must not end all windows and sessions, or make
windows of years. While lines come, a time that is more than a day ahead of the log's
clock is believed when `CONFIRM` such times have come in a row; in a block of lines, a
time is not believed that is further from those around it than the block is long.
"""

import dataclasses

import numpy as np

from metalog_jax import lazy
from metalog_jax.logs import times
from metalog_jax.logs.times import DAY

ndimage = lazy.module('scipy.ndimage')

CONFIRM = 5  # times in a row
_STEP = 64  # times that are looked at together, twice as many after each such step


@dataclasses.dataclass
class Clock:
  """The latest time that was believed, in microseconds; `NAT` before the first."""

  now: int = times.NAT
  ahead: list[int] = dataclasses.field(default_factory=list)  # that wait, in a row

  def start(self, time: np.ndarray) -> None:
    """Begins with the first times [n]: at the earliest within a day of their median."""
    median = np.sort(time)[(len(time) - 1) // 2]
    self.now = int(time[np.abs(time - median) <= DAY].min(initial=median))

  def read(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Goes on by times [n]: the clock at each of them, and bool: which are believed."""
    clock, believed = np.empty(len(time), np.int64), np.ones(len(time), bool)
    begin, step = 0, _STEP
    while begin < len(time):
      part = time[begin : begin + step]  # a far time ends it: no more is read again
      before = np.maximum.accumulate(np.concatenate([[self.now], part]))
      far = (part > before[:-1] + DAY) & (before[:-1] != times.NAT)
      place = len(far) if not far.any() else int(np.argmax(far))
      step = _STEP if far.any() else 2 * step
      place = 0 if self.ahead else place
      clock[begin : begin + place] = before[1 : place + 1]
      self.now, begin = int(before[place]), begin + place
      while begin < len(time):
        believed[begin] = self.believes(int(time[begin]))
        clock[begin] = self.now
        begin += 1
        if not self.ahead:
          break
    return clock, believed

  def believes(self, time: int) -> bool:
    """Goes on by one time; whether it is believed."""
    if time == times.NAT:
      return True
    if self.now == times.NAT or time <= self.now + DAY:
      self.ahead.clear()
      self.now = max(self.now, time)
      return True
    self.ahead.append(time)
    if len(self.ahead) < CONFIRM:
      return False
    self.now = min(self.ahead)
    self.ahead.clear()
    return self.believes(time)


def without_strays(time: np.ndarray) -> np.ndarray:
  """Times [n] datetime64 with NaT for those far from all around them.

  Further than a day from the median of nine in a row, and outside what these medians
  span by more than their span.
  """
  read = np.flatnonzero(~np.isnat(time))
  value = time[read].astype('datetime64[us]').astype(np.int64)
  if len(value) < CONFIRM or value.max() - value.min() <= DAY:
    return time
  median = ndimage.median_filter(value, 2 * CONFIRM - 1, mode='mirror')
  least, most = int(median.min()), int(median.max())
  room = max(DAY, most - least)
  stray = (value < least - room) | (value > most + room)
  if not stray.any():
    return time
  time = time.copy()
  time[read[stray]] = np.datetime64('NaT')
  return time
