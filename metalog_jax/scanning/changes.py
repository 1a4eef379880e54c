"""Rates that change for good: a message comes more often, or less, from some time on.

A split is tested by the deviance of two rates beside one (quasi-Poisson; McCullagh and
Nelder 1989, section 9.2), the deviance divided by the dispersion of chunks of windows
about the two rates, the p-value multiplied by the number of splits. A rate must change
in records a window and as a share of all records as well, so that neither busy hours
nor a flood of another message are changes of this one; and nearly all chunks after the
split must lie beyond nearly all before, so that bursts and cycles are none.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from metalog_jax import lazy
from metalog_jax.scanning.statistics import Surprise

special = lazy.module('scipy.special')

_LEAST = 20  # records of a series that is tested
_FACTOR = 2.5  # between the rates, below which a change is not worth saying
_BEFORE, _AFTER = 0.2, 0.08  # share of the windows on each side at least
_WINDOWS = 20  # of a log that is tested
_SHORT = 3  # windows of a log, or a baseline, that are held beside each other
_FEW, _CHUNKS = 8, 24  # that a series is cut into
_ORDINARY = 0.2  # share of chunks that may lie on the wrong side
_MARGIN = 1.2  # between the others
_CYCLE = 0.5  # share of the series that change one way: the traffic, not they


class Change(NamedTuple):
  """A split of one series."""

  split: int  # the first window of the second rate
  factor: float  # second rate over first, the weaker of the two measures
  surprise: float  # log10 of 1/p
  expected: float  # records from the split on, at the first rate


def lasting(
  templates: Iterable[int],
  series: Callable[[int], np.ndarray],
  totals: np.ndarray,
  alpha: float,
  sharp: bool,
) -> Iterator[Surprise]:
  """Lasting changes of templates, those that explain others first.

  Args:
    templates: what is tested.
    series: counts [T] of one.
    totals: all records [T].
    alpha: rate of false alarms; a change must pass it over all templates.
    sharp: see `split`.
  """
  templates = list(templates)
  needed = np.log10(max(len(templates), 1) / alpha)
  found: list[tuple[float, int, np.ndarray, Change]] = []
  for template in templates:
    x = series(template)
    change = split(x, totals, sharp)
    if change is not None and change.surprise >= needed:
      found.append((-abs(np.log(change.factor)), template, x, change))
  for rising in (True, False):
    same = [item for item in found if (item[3].factor > 1) == rising]
    if len(same) > max(2, _CYCLE * len(templates)):
      found = [item for item in found if (item[3].factor > 1) != rising]
  rest = totals.copy()
  for _, template, x, _ in sorted(found, key=lambda item: item[:2]):
    change = split(
      x, rest, sharp
    )  # beside those records whose rate did not change more
    if change is None or change.surprise < needed:
      continue
    rest = rest - x
    yield as_surprise(template, x, change)


def as_surprise(template: int, x: np.ndarray, change: Change) -> Surprise:
  """A change as what is not as expected: new, burst or drop."""
  after = x[change.split :]
  if change.factor < 1:
    kind, detail, rows = 'drop', 'lasting', np.arange(len(after))
  else:
    late = not x[: change.split].any()
    kind, detail = ('new', 'late') if late else ('burst', 'lasting')
    rows = np.flatnonzero(after)
  windows = (rows + change.split).tolist()
  count = int(after.sum())
  return Surprise(
    kind, template, change.surprise, windows, count, change.expected, detail
  )


def split(x: np.ndarray, totals: np.ndarray, sharp: bool) -> Change | None:
  """The likeliest change of counts [T] beside totals [T]; None where there is none.

  Args:
    sharp: whether neighbouring chunks must differ too, so that it is no daily cycle.
  """
  filled = np.flatnonzero(totals > 0)  # windows without any record say nothing
  x, totals = x[filled].astype(float), totals[filled].astype(float)
  size = len(x)
  if size < _WINDOWS or x.sum() < _LEAST:
    return None
  first, last = int(np.ceil(_BEFORE * size)), int(np.floor((1 - _AFTER) * size))
  sides = [_deviance(x, base) for base in (np.ones(size), totals)]
  at = first + int(np.minimum(*sides)[first : last + 1].argmax())
  change = _at(x, totals, at, sharp, last + 1 - first)
  return change and change._replace(split=int(filled[at]))


def beside(
  past: np.ndarray, past_totals: np.ndarray, x: np.ndarray, totals: np.ndarray
) -> Change | None:
  """Whether a rate is another one over a whole log [T] than in a baseline [P].

  The same test, at the one place where the log begins after the baseline.
  """
  before, after = past_totals > 0, totals > 0
  number = int(before.sum())
  joined = np.append(past[before], x[after]).astype(float)
  base = np.append(past_totals[before], totals[after]).astype(float)
  if min(number, int(after.sum())) < _SHORT or joined.sum() < _LEAST:
    return None
  return _at(joined, base, number, False, 1)


def _at(
  x: np.ndarray, totals: np.ndarray, at: int, sharp: bool, tests: int
) -> Change | None:
  """The change at one place, which was chosen among so many; None for none."""
  surprise, factors = np.inf, []
  for base in (np.ones(len(x)), totals):
    number = int(np.clip(x.sum() // 4, _FEW, _CHUNKS))
    parts = low, high = _chunks(x, base, at, number)
    rates = [(count.sum() + 0.5) / part.sum() for count, part in parts]
    factors.append(rates[1] / rates[0])
    less, more = (low, high) if factors[-1] > 1 else (high, low)
    edge = np.quantile(less[0] / less[1], 1 - _ORDINARY, method='higher')
    other = np.quantile(more[0] / more[1], _ORDINARY, method='lower')
    if other <= 0 or other < _MARGIN * edge:
      return None
    degrees = len(low[0]) + len(high[0]) - 2
    step = high[0][0] / high[1][0], low[0][-1] / low[1][-1]
    if sharp and max(step) < _FACTOR * min(step):
      return None
    fine = [(x[:at], base[:at]), (x[at:], base[at:])]
    scale = max(1.0, _dispersion(parts), _dispersion(fine), _swings(x, base, at))
    p = special.fdtrc(1, degrees, _deviance(x, base)[at] / scale)
    surprise = min(surprise, -np.log10(max(p * tests, 1e-300)))
  weak = min(factors, key=lambda factor: abs(np.log(factor)))
  if (factors[0] > 1) != (factors[1] > 1) or abs(np.log(weak)) < np.log(_FACTOR):
    return None
  usual = (x[:at].sum() / totals[:at].sum()) * totals[at:].sum()
  return Change(at, float(weak), float(surprise), float(usual))


def _deviance(x: np.ndarray, base: np.ndarray) -> np.ndarray:
  """Of every split [T] of counts at rates of a base, beside no split."""
  before, whole = np.cumsum(x) - x, x.sum()
  part = (np.cumsum(base) - base) / base.sum()
  term = lambda count, mean: special.xlogy(count, count) - special.xlogy(count, mean)
  one = term(before, np.maximum(whole * part, 1e-12))
  other = term(whole - before, np.maximum(whole * (1 - part), 1e-12))
  return 2 * (one + other)


def _dispersion(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
  """Variance over mean of counts about the rate of their part."""
  means = [base * count.sum() / base.sum() for count, base in parts]
  squares = sum(((part[0] - mean) ** 2).sum() for part, mean in zip(parts, means))
  degrees = sum(len(mean) for mean in means)
  return float(squares / sum(mean.sum() for mean in means) * degrees / (degrees - 2))


def _swings(x: np.ndarray, base: np.ndarray, at: int) -> float:
  """Dispersion of a few wide chunks about a straight line on each side of a split."""
  squares, degrees, mean = 0.0, 0, 0.0
  for count, wide in _chunks(x, base, at, _FEW):
    place = np.arange(len(count)) - (len(count) - 1) / 2
    rate = count / wide
    line = rate.mean() + place * (place @ rate) / max(place @ place, 1)
    squares += float(((count - wide * line) ** 2).sum())
    degrees += len(count) - 2
    mean += float(count.mean())
  return squares / max(degrees, 1) / (mean / 2)


def _chunks(
  x: np.ndarray, base: np.ndarray, at: int, number: int
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Counts and bases of chunks before the split, and of those after it."""
  parts = []
  for one, two in ((x[:at], base[:at]), (x[at:], base[at:])):
    pieces = min(max(3, round(number * len(one) / len(x))), len(one))
    starts = np.arange(pieces) * len(one) // pieces
    parts.append((np.add.reduceat(one, starts), np.add.reduceat(two, starts)))
  return parts
