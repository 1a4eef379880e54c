"""Questions asked of result.json: of one run, or of runs that differ in seed.

Everything takes a list of results, so that a table of one run and a table of
means over seeds are the same table.
"""

import itertools
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

KINDS = ('all', 'distinct', 'unseen')
MEASURES = {'f1': 'F1', 'auroc': 'AUROC', 'auprc': 'AUPRC'}

Result = dict[str, Any]


class Value(NamedTuple):
  """A mean over runs; std is the sample standard deviation, nan for one run."""

  mean: float
  std: float = math.nan

  def percent(self, decimals: int = 2) -> str:
    if math.isnan(self.mean):
      return '–'
    text = f'{100 * self.mean:.{decimals}f}'
    return text if math.isnan(self.std) else f'{text} ± {100 * self.std:.{decimals}f}'


def measures(result: Result, test: str, kind: str, floor: str = '') -> dict[str, Any]:
  """M of interface.md, of the detector or of a floor; empty where there is none."""
  of_test = result['test'].get(test) or {}
  if floor:
    of_test = (of_test.get('floors') or {}).get(floor) or {}
  return of_test.get(kind) or {}


def value(
  results: Sequence[Result], test: str, kind: str, key: str, floor: str = ''
) -> Value:
  """Mean and sample standard deviation over the runs that measured it."""
  found = [measures(result, test, kind, floor).get(key) for result in results]
  return spread(found)


def spread(values: Iterable[float | None]) -> Value:
  """Mean and sample standard deviation of what is known; NaN where there is none."""
  known = [float(v) for v in values if v is not None and not math.isnan(v)]
  if not known:
    return Value(math.nan)
  std = statistics.stdev(known) if len(known) > 1 else math.nan
  return Value(statistics.fmean(known), std)


def tests(results: Sequence[Result]) -> list[str]:
  """Names of the test sets, in the order of the first run that has them."""
  return list(dict.fromkeys(itertools.chain(*(result['test'] for result in results))))


def floors(results: Sequence[Result], test: str) -> list[str]:
  """Names of the floors of a test set, the best F1 over all sessions first."""
  of_runs = [(result['test'].get(test) or {}).get('floors') or {} for result in results]
  names = dict.fromkeys(itertools.chain(*of_runs))
  return sorted(names, key=lambda name: -_known(results, test, 'all', 'f1', name))


def best_floor(
  results: Sequence[Result], test: str, kind: str, key: str
) -> tuple[str, Value] | None:
  """The floor with the highest mean, picked after the fact."""
  names = floors(results, test)
  if not names:
    return None
  best = max(names, key=lambda name: _known(results, test, kind, key, name))
  found = value(results, test, kind, key, best)
  return None if math.isnan(found.mean) else (best, found)


def _known(*args) -> float:
  mean = value(*args).mean
  return -math.inf if math.isnan(mean) else mean


def beats(floor: Value, detector: Value) -> bool:
  """Whether the floor is above the detector, before any rounding to print."""
  return floor.mean > detector.mean + 1e-9  # nan beats nothing


def is_simulated(result: Result) -> bool:
  """Whether any system of the run is simulated."""
  return bool(result.get('simulated'))


def systems(result: Result) -> str:
  """`source -> target`, or what there is of it."""
  names = [short(name) for name in result.get('source') or []]
  target = short(result.get('target') or '') or 'no target (zero-shot)'
  return f'{" + ".join(names)} → {target}' if names else target


def method(result: Result) -> str:
  """The detector with its preset and order."""
  preset, order = result.get('preset'), result.get('order')
  more = [preset or '', f'{order} order' if order else '']
  more = ', '.join(text for text in more if text)
  return f'{result.get("detector")} ({more})' if more else str(result.get('detector'))


def labels(result: Result) -> str:
  """How many labels were seen of each side."""
  seen = result.get('labels_seen') or {}
  sides = [
    f'{side} {number(of.get("normal"))} normal'
    f' + {number(of.get("anomalous"))} anomalous'
    for side in ('source', 'target')
    if (of := seen.get(side))
  ]
  return '; '.join(sides) or 'none'


def target_labels(result: Result) -> str:
  """Labels seen of the target, short enough for a cell."""
  seen = (result.get('labels_seen') or {}).get('target') or {}
  return f'{number(seen.get("normal", 0))} + {number(seen.get("anomalous", 0))}'


def short(name: str) -> str:
  """The last part of a system's folder, which names it."""
  return pathlib.PurePath(name).name


def number(value: Any) -> str:
  """A count with thousands separated, anything else in few figures."""
  if value is None:
    return '–'
  if isinstance(value, float):
    form = ',.0f' if abs(value) >= 1e4 else '.4g'
    return '–' if math.isnan(value) else format(value, form)
  if isinstance(value, int) and not isinstance(value, bool):
    return f'{value:,}'
  return str(value)
