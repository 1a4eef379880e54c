"""Questions asked of result.json: of one run, or of runs that differ in seed.

Everything takes a list of results, so that a table of one run and a table of means over
seeds are the same table.
"""

import itertools
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from metalog_jax.evaluation import floors as rules
from metalog_jax.evaluation import metrics

KINDS = metrics.KINDS
MEASURES = {'f1': 'F1', 'auroc': 'AUROC', 'auprc': 'AUPRC'}
MARK = '▲'  # behind a figure of a floor that is above the detector's

Result = dict[str, Any]


class Value(NamedTuple):
  """A mean over runs; std is the sample standard deviation, NaN for one run."""

  mean: float
  std: float = math.nan

  def percent(self, decimals: int = 2) -> str:
    if math.isnan(self.mean):
      return '–'
    text = f'{100 * self.mean:.{decimals}f}'
    return text if math.isnan(self.std) else f'{text} ± {100 * self.std:.{decimals}f}'


def measures(result: Result, test: str, kind: str, floor: str = '') -> dict[str, Any]:
  """The figures of the detector, or of a floor; empty where there are none."""
  scored = result['test'].get(test) or {}
  if floor:
    scored = (scored.get('floors') or {}).get(floor) or {}
  return scored.get(kind) or {}


def each(
  runs: Sequence[Result], test: str, kind: str, measure: str = 'f1', floor: str = ''
) -> list[float]:
  """One figure of each run that has it."""
  figures = (measures(result, test, kind, floor).get(measure) for result in runs)
  return [float(f) for f in figures if f is not None and not math.isnan(f)]


def value(
  runs: Sequence[Result], test: str, kind: str, measure: str = 'f1', floor: str = ''
) -> Value:
  """Mean and sample standard deviation over the runs that have a figure."""
  return spread(each(runs, test, kind, measure, floor))


def spread(values: Iterable[float | None]) -> Value:
  """Mean and sample standard deviation of what is known; NaN where nothing is."""
  known = [float(v) for v in values if v is not None and not math.isnan(v)]
  if not known:
    return Value(math.nan)
  std = statistics.stdev(known) if len(known) > 1 else math.nan
  return Value(statistics.fmean(known), std)


def tests(runs: Sequence[Result]) -> list[str]:
  """Names of the test sets, in the order of the first run that has them."""
  return list(dict.fromkeys(itertools.chain(*(result['test'] for result in runs))))


def floors(
  runs: Sequence[Result], test: str, kind: str = 'all', measure: str = 'f1'
) -> list[str]:
  """Names of the floors of a test set, the best one first."""
  scored = [(result['test'].get(test) or {}).get('floors') or {} for result in runs]
  mean = lambda name: value(runs, test, kind, measure, name).mean
  rank = lambda name: math.inf if math.isnan(mean(name)) else -mean(name)
  return sorted(dict.fromkeys(itertools.chain(*scored)), key=rank)


def best_floor(
  runs: Sequence[Result], test: str, kind: str, measure: str = 'f1'
) -> tuple[str, Value]:
  """The floor with the highest mean, picked after the fact; ('', NaN): none has one."""
  for name in floors(runs, test, kind, measure)[:1]:
    best = value(runs, test, kind, measure, name)
    if not math.isnan(best.mean):
      return name, best
  return '', Value(math.nan)


def fixed_floor(runs: Sequence[Result], test: str) -> str:
  """The floor picked beforehand, by the labels that there are; '': there is none."""
  names = set(floors(runs, test))
  return next((name for name in rules.PICKED if name in names), '')


def floor_cells(
  runs: Sequence[Result], test: str, kind: str, measure: str = 'f1'
) -> dict[str, str]:
  """The fixed and the best floor in a table of detectors: figure, name and mark."""
  fixed = fixed_floor(runs, test)
  floor = {'fixed floor': (fixed, value(runs, test, kind, measure, fixed or '?'))}
  floor['best floor'] = best_floor(runs, test, kind, measure)
  mark = lambda figure: mark_above(figure, value(runs, test, kind, measure))
  return {
    head: f'{Value(figure.mean).percent(1)} {name}{mark(figure)}'.strip()
    for head, (name, figure) in floor.items()
  }


def mark_above(floor: Value, detector: Value) -> str:
  """The mark, where the floor is above the detector before any rounding to print."""
  return f' {MARK}' if floor.mean > detector.mean + 1e-9 else ''  # NaN is above nothing


def simulated(runs: Iterable[Result]) -> list[str]:
  """Names of the systems of the runs that are simulated."""
  names = itertools.chain(*(result.get('simulated') or [] for result in runs))
  return list(dict.fromkeys(names))


def systems(result: Result) -> str:
  """`source → target`, or what there is of it."""
  names = [short(name) for name in result.get('source') or []]
  target = short(result.get('target') or '') or 'no target (zero-shot)'
  return f'{" + ".join(names)} → {target}' if names else target


def method(result: Result) -> str:
  """The detector with its preset and order."""
  preset, order = result.get('preset'), result.get('order')
  details = ', '.join(filter(None, [preset, f'{order} order' if order else '']))
  return f'{result["detector"]} ({details})' if details else str(result['detector'])


def short(name: str) -> str:
  """The last part of a system's folder, which names it."""
  return pathlib.PurePath(name).name


def number(value: Any) -> str:
  """A count with thousands separated, anything else in few figures."""
  if value is None or (isinstance(value, float) and math.isnan(value)):
    return '–'
  if isinstance(value, float):
    return format(value, ',.0f' if abs(value) >= 1e4 else '.4g')
  is_count = isinstance(value, int) and not isinstance(value, bool)
  return f'{value:,}' if is_count else str(value)
