"""Every method and floor beside the row of a table that they are held against.

Differences in F1 are paired over seeds and over sessions: see significance.py. Floors
are those of the reference: the one picked beforehand, and the best on the test. What a
page has of tables that were run before is kept: see page_record.py.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.sweeps import floor_scores, report_tables, significance, sweep_folder
from metalog_jax.report import pages, results

FIXED, BEST = 'fixed floor', 'best floor, picked afterwards'
_COLUMNS = (('all', 'auprc'), ('distinct', 'f1'), ('unseen', 'f1'))
_SURE = 0.05  # adjusted p below it are counted


class Difference(NamedTuple):
  """The reference's F1 less that of another method, over the seeds of both."""

  mean: float
  low: float  # of the 95 % interval
  high: float
  p: float
  adjusted: float  # over the rows of one setting (Holm)


class Entry(NamedTuple):
  """One method in one setting; without a run all figures are NaN."""

  setting: str
  method: str
  seeds: int
  f1: list[float]  # of each seed
  others: list[float]  # means: `_COLUMNS`
  rule: str = ''  # which floor
  difference: Difference | None = None
  floors: dict[str, float] | None = None  # of the reference: mean F1 of each rule


def reference(sweeps: Sequence[sweep_folder.Sweep]) -> str:
  """The name of the row that tables are held against; '': they are against none."""
  for sweep in sweeps:
    for row in sweep.rows:
      if row.key in sweep.reference_keys(row.setting):
        return row.name
  return ''


def entries(sweep: sweep_folder.Sweep) -> list[Entry]:
  """All rows of all settings, with the floors of each setting's reference behind them.

  p is not adjusted yet: see `adjusted`.

  Raises:
    UserError: the floors of a run cannot be fitted again (`floor_scores.judged`).
  """
  return [entry for setting in sweep.settings for entry in _of_setting(sweep, setting)]


def _of_setting(sweep: sweep_folder.Sweep, setting: str) -> list[Entry]:
  name, reference = sweep.settings[setting], sweep.reference(setting)
  rows = [row for row in sweep.rows if row.setting == setting]
  found = []
  for row in rows:
    value = lambda kind, measure, row=row: (
      row.value(kind, measure).mean if row.runs else math.nan
    )
    f1 = results.each(row.results, row.test, 'all', 'f1') if row.runs else []
    entry = Entry(name, row.name, len(row.runs), f1, [value(*c) for c in _COLUMNS])
    is_reference = reference is not None and row.key == reference.key
    if is_reference:
      entry = entry._replace(floors=_every_floor(row))
    is_other = reference is not None and not is_reference and row.runs
    found.append((entry, report_tables.judged(row) if is_other else {}))
  if reference is None:
    return [entry for entry, _ in found]
  found += _floors(name, reference)
  judged = report_tables.judged(reference)
  pairs = [[(judged[s], other[s]) for s in judged if s in other] for _, other in found]
  return [
    entry._replace(difference=_difference(pair))
    for (entry, _), pair in zip(found, pairs, strict=True)
  ]


def adjusted(every: Sequence[Entry]) -> list[Entry]:
  """p of every difference adjusted for the rows of its setting (Holm)."""
  found = list(every)
  for setting in dict.fromkeys(entry.setting for entry in every):
    tests = [
      i
      for i, e in enumerate(every)
      if e.setting == setting and e.difference is not None
    ]
    p = significance.holm([every[i].difference.p for i in tests])
    for i, value in zip(tests, p, strict=True):
      found[i] = every[i]._replace(
        difference=every[i].difference._replace(adjusted=value)
      )
  return found


def _difference(
  pairs: list[tuple[significance.Judged, significance.Judged]],
) -> Difference | None:
  """None: no seed of both, or no anomaly to judge."""
  if not any((first.labels == 1).any() for first, _ in pairs):
    return None
  test = significance.compare(pairs, intervals=True)
  mean = sum(test.each) / len(test.each)
  return Difference(mean, *test.interval, test.p, math.nan)


def _floors(
  setting: str, row: sweep_folder.Row
) -> Iterator[tuple[Entry, dict[int, significance.Judged]]]:
  """The two floors of a row, with their verdicts by seed."""
  fixed = results.fixed_floor(row.results, row.test)
  best, _ = results.best_floor(row.results, row.test, 'all')
  verdicts = {r.result['seed']: floor_scores.judged(r, row.test) for r in row.runs}
  for method, rule in ((FIXED, fixed), (BEST, best)):
    each = results.each(row.results, row.test, 'all', 'f1', rule)
    others = [
      results.value(row.results, row.test, *column, rule).mean for column in _COLUMNS
    ]
    entry = Entry(setting, method, len(row.runs), each, others, rule)
    yield entry, {s: of[rule] for s, of in verdicts.items() if rule in of}


def missing(every: Sequence[Entry]) -> str:
  """What has no run, by method; '': nothing."""
  said, cells = [], len({entry.setting for entry in every})
  for method in dict.fromkeys(entry.method for entry in every):
    bare = [
      entry.setting for entry in every if entry.method == method and not entry.seeds
    ]
    if bare:
      said.append(f'{method}: {"any cell" if len(bare) == cells else "; ".join(bare)}')
  return '. '.join(said)


def table(every: Sequence[Entry]) -> pages.Table | None:
  """A row an entry that has a run; the setting's name stands in its first."""
  rows, before = [], ''
  for entry in (entry for entry in every if entry.seeds):
    difference, p = _words(entry.difference)
    method = f'{entry.method}: {entry.rule}' if entry.rule else entry.method
    rows.append(
      {
        'cell': entry.setting if entry.setting != before else '',
        'method': method,
        'seeds': str(entry.seeds),
        'F1': results.spread(entry.f1).percent(1),
        'worst': _percent(min(entry.f1, default=math.nan)),
        'AUPRC': _percent(entry.others[0]),
        'F1 distinct': _percent(entry.others[1]),
        'F1 unseen': _percent(entry.others[2]),
        'above it by [95 %]': difference,
        'p, Holm': p,
      }
    )
    before = entry.setting
  return pages.table(rows, words=2) if rows else None


def summary(every: Sequence[Entry], first: str) -> pages.Table | None:
  """How the reference does against every other method, over all settings of both.

  Args:
    every: entries of one sweep or of several.
    first: name of the reference's row.
  """
  f1 = {
    entry.setting: results.spread(entry.f1).mean
    for entry in every
    if entry.method == first and entry.seeds
  }
  rows = []
  for method in dict.fromkeys(entry.method for entry in every):
    chosen = [e for e in every if e.method == method and e.setting in f1 and e.f1]
    if not chosen or method == first:
      continue
    sure = [
      e.difference.mean
      for e in chosen
      if e.difference and e.difference.adjusted < _SURE
    ]
    means = [e.difference.mean for e in chosen if e.difference]
    mean = lambda values: _percent(sum(values) / len(values))
    rows.append(
      {
        'method': method,
        'cells': str(len(chosen)),
        'F1 of it': mean([results.spread(e.f1).mean for e in chosen]),
        f'{first}, same cells': mean([f1[e.setting] for e in chosen]),
        'it is above in': _how_many([-m for m in means], [-m for m in sure]),
        'below in': _how_many(means, sure),
      }
    )
  return pages.table(rows) if rows else None


def floors(every: Sequence[Entry]) -> pages.Table | None:
  """F1 of every floor of the reference, a row a setting; the best in the mean first."""
  found = {entry.setting: entry.floors for entry in every if entry.floors}
  names = dict.fromkeys(name for each in found.values() for name in each)
  mean = lambda name: sum(each.get(name, 0.0) for each in found.values())
  order = sorted(names, key=lambda name: -mean(name))
  rows = [
    {'cell': setting} | {name: _percent(each.get(name) or math.nan) for name in order}
    for setting, each in found.items()
  ]
  return pages.table(rows) if rows else None


def _every_floor(row: sweep_folder.Row) -> dict[str, float]:
  """Mean F1 by the floor's name; 0 where it cannot be fitted."""
  value = lambda name: results.value(row.results, row.test, 'all', 'f1', name).mean
  names = results.floors(row.results, row.test)
  return {name: 0.0 if math.isnan(value(name)) else value(name) for name in names}


def _how_many(means: Sequence[float], sure: Sequence[float]) -> str:
  """Of differences how many are above 0, and how many of the sure ones."""
  return f'{sum(m > 0 for m in means)} ({sum(m > 0 for m in sure)})'


def _words(difference: Difference | None) -> tuple[str, str]:
  if difference is None:
    return '–', '–'
  mean, low, high = (f'{100 * x:+.1f}' for x in difference[:3])
  return f'{mean} [{low}, {high}]', report_tables.p_words(difference.adjusted)


def _percent(value: float) -> str:
  return results.Value(value).percent(1)
