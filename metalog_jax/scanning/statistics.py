"""How surprising a count is beside the same template's other windows.

Counts are overdispersed, so tails are those of negative binomials whose mean and size
are estimated from the windows themselves without the highest ones; a count must stand
out in absolute numbers and beside the window's other records as well, and above the
template's other peaks. All surprises are log10 of 1/p, after allowing for the number of
windows that were looked at.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy

special = lazy.module('scipy.special')

_TRIMMED = 0.05  # share of windows that may hold what is looked for
_PEAKS = 3  # times that a cause may return and still be seen
_SHARP = 2  # windows in which an outage begins or ends
_LOUDER = 1.5  # a peak over the template's other ones
_UNLIKELY = 0.01  # p-value of what is told beside something less likely
_TINY = 1e-300
WHOLE_LOG = 'whole'  # the detail of a rate that is another one in all of the log
KNOWN = 'known'  # the detail of what is listed although it is no surprise


class Rate(NamedTuple):
  """What is expected of a template in a window."""

  mean: float  # records a window
  size: float  # of the negative binomial; infinite: Poisson
  odds: float  # beside the window's other records
  odds_size: float
  peak: float  # the highest count that is ordinary


class Surprise(NamedTuple):
  """One thing about one template that is not as expected."""

  kind: str
  template: int  # -1: the whole log
  surprise: float  # log10 of 1/p
  windows: list[int]
  records: int  # in these windows
  expected: float
  detail: str = ''


def fit_rate(x: np.ndarray, totals: np.ndarray, clean: bool = False) -> Rate:
  """The rate of counts [T] beside all records [T]; `clean`: there is nothing to trim.

  Windows without any record say nothing of a template, and are left out.
  """
  filled = totals > 0
  x, totals = x[filled].astype(float), totals[filled].astype(float)
  if not len(x):
    return Rate(0.0, np.inf, 0.0, np.inf, 0.0)
  trimmed = 0 if clean else min(max(1, round(_TRIMMED * len(x))), len(x) - 1)
  level = np.partition(x, -1 - trimmed)[-1 - trimmed]
  peak = x.max() if clean else np.sort(x)[max(-1 - _PEAKS, -len(x))]
  other = totals - x
  x = np.minimum(x, level)
  mean = (x.sum() + 0.5) / (len(x) + 1)
  odds = (x.sum() + 0.5) / (other.sum() + 1)
  expected = odds * other
  return Rate(
    mean, _size(x, np.full(len(x), mean)), odds, _size(x, expected), float(peak)
  )


def surprises(
  template: int, x: np.ndarray, totals: np.ndarray, rate: Rate, severe: bool = False
) -> Iterator[Surprise]:
  """Bursts and silences of one frequent template, counts [T] beside totals [T]."""
  other = np.maximum(totals - x, 0)
  expected = np.maximum(rate.mean, rate.odds * other)
  high = (x >= 3) & (x >= 2 * expected) & (x > _LOUDER * rate.peak)
  rows = np.flatnonzero(high)
  if len(rows):
    p = np.maximum(
      _at_least(x[rows], rate.mean, rate.size),
      _at_least(x[rows], rate.odds * other[rows], rate.odds_size),
    )
    p = np.maximum(p, _at_least(x[rows], np.maximum(rate.peak, rate.mean), np.inf))
    best = _log(p.min() * len(x))
    rows = rows[p * len(x) < 0.01] if (p * len(x) < 0.01).any() else rows
    if severe or rows[0] > 1 or rows[-1] > len(x) // 10:  # not the start-up
      count, usual = int(x[rows].sum()), float(expected[rows].sum())
      yield Surprise('burst', template, best, rows.tolist(), count, usual)
  if rate.mean >= 0.5:
    yield from silences(template, x, other, rate)


def concentrated(
  template: int,
  windows: np.ndarray,
  counts: np.ndarray,
  totals: np.ndarray,
  severe: bool = False,
) -> Iterator[Surprise]:
  """Whether an infrequent template stands close together, or begins late.

  Args:
    windows: ascending int [k], where it stands.
    counts: int [k].
    totals: int [T], all records.

  The chance that so many of n records stand in so small a share of the log by chance
  is that of a binomial for one place, times n places (a scan statistic's bound).
  """
  n, size, records = int(counts.sum()), len(totals), int(totals.sum())
  starts = np.flatnonzero(np.diff(windows, prepend=-9) > 2)
  sums = np.add.reduceat(counts, starts)
  ends = np.append(starts[1:], len(windows)) - 1
  first, last = windows[starts], windows[ends]
  peaks = np.sort(sums)[::-1]
  ordinary = peaks[_PEAKS] if len(peaks) > _PEAKS else 0
  running = np.concatenate([[0], np.cumsum(totals)])
  others = running[last + 1] - running[first] - sums
  share = (others + 1) / (records - n + 1)
  share = np.clip(np.maximum(share, (last - first + 2) / (size + 1)), 0, 1)
  m = np.maximum(sums - 1, 1)
  p = np.where(
    (sums >= 3) & (sums > _LOUDER * ordinary),
    n * special.betainc(m, np.maximum(n - m, 1), share),
    1.0,
  )
  hits = np.flatnonzero(p * size**0.5 < 0.01)
  if not severe:  # what stands at the beginning alone is a start-up
    hits = hits[first[hits] > 1]
  if len(hits):
    inside = np.concatenate([np.arange(starts[i], ends[i] + 1) for i in hits])
    rows, count = windows[inside], int(counts[inside].sum())
    whole = (last[hits[0]] - first[hits[0]] + 1) / size
    kind = 'burst' if windows[0] < first[hits[0]] else 'new'
    usual = max(n - count, 0.5) * max(whole, len(rows) / size)
    yield Surprise(kind, template, _log(p.min()), rows.tolist(), count, usual)
    return
  begin = running[windows[0]] / max(records, 1)
  if begin > 0.25 and len(starts) >= 4:
    late = -len(starts) * np.log10(1 - begin)
    yield Surprise('new', template, late, windows.tolist(), n, 0.0, 'late')


def silences(template, x, other, rate, most: float = 0.5) -> Iterator[Surprise]:
  """The runs of windows where a steady template is all but absent, as one surprise.

  It is the one of the most unlikely run, beside which others are told.

  Args:
    most: share of the windows above which a run is none.
  """
  usual = np.minimum(rate.mean, rate.odds * other)
  low = (x <= 0.25 * rate.mean) & (x <= 0.25 * np.maximum(usual, 0.25))
  runs = _runs(low)
  runs = [(a, b) for a, b in runs if (x[:a] > 0).any()]  # it begins late
  if not runs:
    return
  absolute = _log(_at_most(x, rate.mean, rate.size))
  relative = _log(_at_most(x, rate.odds * other, rate.odds_size))
  is_steady = lambda a: (x[:a] > 0).mean() >= 0.6 and a >= 0.2 * len(x)
  rows, surprise = _silent(
    runs,
    np.minimum(absolute, relative),
    lambda a, b: is_steady(a) and b - a <= most * len(x),
  )
  if len(rows):
    detail = 'ends' if rows[-1] == len(x) - 1 else ''
    count, expected = int(x[rows].sum()), float(np.maximum(usual, 0)[rows].sum())
    yield Surprise('drop', template, surprise, rows.tolist(), count, expected, detail)


def _silent(
  runs: list[tuple[int, int]],
  unlikely: np.ndarray,
  is_one: Callable[[int, int], bool],
) -> tuple[np.ndarray, float]:
  """Windows of the runs that are silences, and the surprise of the least likely run.

  There are none where that run is no silence, or most others are as long.

  Args:
    runs: of quiet windows, from the first to the last but one.
    unlikely: log10 of 1/p of each window.
    is_one: whether a run may be a silence.
  """
  lengths = sorted((b - a for a, b in runs), reverse=True)
  least = 2 * lengths[_PEAKS] if len(lengths) > _PEAKS else 0
  sums = [float(unlikely[a:b].sum()) for a, b in runs]
  rows, most = [], max(sums)
  tests = float(np.log10(len(unlikely)))
  for (a, b), value in zip(runs, sums):
    is_silence = b - a >= least and is_one(a, b)
    if value == most and not is_silence:
      return np.zeros(0, int), 0.0
    if is_silence and value >= min(most, tests - np.log10(_UNLIKELY)):
      rows.append(np.arange(a, b))
  return np.concatenate(rows), most - tests


def whole_log(totals: np.ndarray, day: int = 0) -> Iterator[Surprise]:
  """Bursts and silences of all records together, in windows of time [T].

  Args:
    day: windows of a day, in logs so long that nights may be seen; 0 in others.
  """
  if len(totals) < 10:
    return
  x = totals[1:-1]  # those at the ends are cut
  level = np.ones_like(x)
  rate = fit_rate(x, level)._replace(odds=0.0)
  for found in surprises(-1, x, x, rate, severe=True):
    # Nothing is beside all records: what counts is the absolute number.
    yield found._replace(windows=[w + 1 for w in found.windows])
  low = [
    (a, b)
    for a, b in _runs(x <= 0.25 * rate.mean)
    if not (day and _is_night(x, a, b, rate.mean, day))
  ]
  if not low:
    return
  unlikely = _log(_at_most(x, rate.mean, rate.size))
  is_filled = bool((x > 0).mean() >= 0.6)
  rows, surprise = _silent(low, unlikely, lambda *_: is_filled)
  if len(rows):
    count, expected = int(x[rows].sum()), rate.mean * len(rows)
    yield Surprise('drop', -1, surprise, (rows + 1).tolist(), count, expected)


def _is_night(x: np.ndarray, a: int, b: int, mean: float, day: int) -> bool:
  """Whether the quiet windows a to b are an hour's habit, by the days or the slope.

  At the same hours of another day it is quiet too; where no other day has these hours,
  a night comes and goes by and by, an outage at once.
  """
  steps = range(-(a // day) * day, len(x) - b + 1, day)
  others = [x[a + step : b + step].mean() for step in steps if step]
  if others:
    return min(others) <= 0.5 * mean
  high = np.flatnonzero(x > 0.5 * mean)
  falls = a - high[high < a].max(initial=-1) - 1  # windows that are half low
  rises = high[high >= b].min(initial=len(x)) - b
  return max(falls, rises) > _SHARP


def discoveries(surprise: np.ndarray, rate: float) -> np.ndarray:
  """Which p-values pass at a false discovery rate (Benjamini and Hochberg 1995).

  Args:
    surprise: log10 of 1/p, [n].
  """
  count = len(surprise)
  if not count:
    return np.zeros(0, bool)
  order = np.argsort(-surprise, kind='stable')
  needed = np.log10(count / (rate * np.arange(1, count + 1)))
  passing = np.flatnonzero(surprise[order] >= needed)
  chosen = np.zeros(count, bool)
  if len(passing):
    chosen[order[: passing[-1] + 1]] = True
  return chosen


def _size(x: np.ndarray, expected: np.ndarray) -> float:
  """The negative binomial's size by moments; trimming has made the variance smaller."""
  excess = 1.3 * np.mean((x - expected) ** 2) - np.mean(expected)
  return float(np.mean(expected**2) / excess) if excess > 0 else np.inf


def _at_least(count: np.ndarray, mean, size: float) -> np.ndarray:
  """P(X >= count)."""
  mean = np.maximum(mean, 1e-9)
  count = np.maximum(count, 1e-9)
  if np.isinf(size):
    return special.gammainc(count, mean)
  return special.betainc(count, max(size, 1e-3), mean / (mean + max(size, 1e-3)))


def _at_most(count: np.ndarray, mean, size: float) -> np.ndarray:
  """P(X <= count)."""
  mean = np.maximum(mean, 1e-9)
  if np.isinf(size):
    return special.gammaincc(count + 1, mean)
  size = max(size, 1e-3)
  return special.betainc(size, count + 1, size / (size + mean))


def _log(p) -> Any:
  """log10 of 1/p; p above 1, as bounds are, is 1."""
  return -np.log10(np.clip(p, _TINY, 1.0))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
  """(start, end) of every run of true values."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
  return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def absent(expected: float, size: float, windows: int) -> float:
  """The surprise of no record at all in so many windows, of a rate's size."""
  return float(_log(_at_most(np.zeros(1), expected, size * windows))[0])
