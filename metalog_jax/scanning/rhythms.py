"""Messages that come at regular times, and for once do not: a job that did not run."""

from collections.abc import Iterator

import numpy as np

from metalog_jax import lazy
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
_MOST = 0.15  # share of the gaps that may be long
_DAY = 86400.0


def missed(counted: Counted, template: int) -> Iterator[Surprise]:
  """The longest time that a regular message did not come.

  Only messages whose times are farther apart than windows are wide are looked at: what
  comes in every window is counted, and its silence found by its rate. A gap is held
  against the others by Student's t (the prediction of one more value of a normal
  sample), and the p-value allows for the number of gaps.
  """
  span = counted.span(template)
  cells = counted.cells[span.start : span.stop]
  if not counted.width.timed or cells['first_time'].null_count():
    return
  first, last = (cells[f'{end}_time'].to_numpy() / 1e6 for end in ('first', 'last'))
  quiet = np.append(np.inf, first[1:] - last[:-1])
  seconds = first[quiet > counted.width.size]
  if len(seconds) < _LEAST:
    return
  end = float(np.nanmax(counted.cells['last_time'].to_numpy())) / 1e6  # it cuts one gap
  gaps = np.diff(seconds, append=end)
  usual = float(np.median(gaps[:-1]))
  near = np.abs(gaps[:-1] - usual) <= _NEAR * usual
  is_regular = near.mean() >= _REGULAR and usual > _APART * counted.width.size
  long = np.flatnonzero(gaps > _LONG * usual)
  if not is_regular or not 0 < len(long) <= max(1, _MOST * len(gaps)):
    return
  place = int(long[gaps[long].argmax()])
  awaited = np.arange(seconds[place] + usual, seconds[place] + gaps[place], usual)
  if place < len(gaps) - 1:  # the last of them is the one that came
    awaited = awaited[: max(1, round(gaps[place] / usual) - 1)]
  number = (awaited // counted.width.size).astype(int) - counted.first_window
  number = np.unique(number[number < counted.size])
  if not counted.totals[number].any() or _is_weekend(awaited, seconds):
    return
  others = gaps[:-1][gaps[:-1] <= _LONG * usual]
  spread = max(float(np.sqrt(np.mean((others - usual) ** 2))), _FEWEST * usual)
  t = (gaps[place] - usual) / (spread * np.sqrt(1 + 1 / len(others)))
  p = special.stdtr(len(others) - 1, -t) * len(gaps)
  surprise = float(-np.log10(np.clip(p, 1e-300, 1.0)))
  detail = (
    f'every {_duration(usual)}, but not at {windows.iso(int(awaited[0]) * 10**6)}'
  )
  if len(awaited) > 1:
    detail += f' and {len(awaited) - 1:,} more time{"s" * (len(awaited) > 2)}'
  yield Surprise(
    'missing', template, surprise, number.tolist(), 0, float(len(awaited)), detail
  )


def _is_weekend(awaited: np.ndarray, seconds: np.ndarray) -> bool:
  """Whether all were awaited at a weekend, when the message has never come."""
  is_free = lambda x: (x // _DAY + 3) % 7 >= 5  # 1970 began on a Thursday
  return bool(is_free(awaited).all() and not is_free(seconds).any())


def _duration(seconds: float) -> str:
  for size, name in ((_DAY, 'd'), (3600, 'h'), (60, 'min')):
    if seconds >= 0.98 * size:
      return f'{seconds / size:.3g} {name}'
  return f'{seconds:.3g} s'
