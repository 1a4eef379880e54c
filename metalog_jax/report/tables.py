"""Tables of results: detector beside floors, runs beside runs, results.csv."""

import itertools
from collections.abc import Sequence
from typing import Any

import polars as pl

from metalog_jax import clean
from metalog_jax.report import pages, repeats, results
from metalog_jax.runs import record

_AT_THRESHOLD = ('precision', 'recall', 'specificity')


def quality(runs: Sequence[results.Result], test: str, decimals: int) -> pages.Table:
  """The detector and every floor, over all, distinct and unseen sessions, per cent."""
  rows = []
  for name in ('', *results.floors(runs, test)):
    row = {'%': name or runs[0]['detector']}
    for kind, measure in itertools.product(results.KINDS, results.MEASURES):
      value = results.value(runs, test, kind, measure, name)
      mark = results.mark_above(value, results.value(runs, test, kind, measure))
      row[f'{kind} {results.MEASURES[measure]}'] = value.percent(decimals) + mark
    rows.append(row)
  return pages.table(rows, groups=results.KINDS, first_is_strong=True)


def at_threshold(result: results.Result, test: str) -> pages.Table:
  """What the detector's threshold gives: counts, precision, recall."""
  rows = []
  for kind in results.KINDS:
    measures = results.measures(result, test, kind)
    count = lambda key, figures=measures: results.number(figures.get(key))
    row = {'': kind, 'sessions': count('sessions'), 'anomalous': count('anomalies')}
    row['threshold'] = count('threshold')
    for key in _AT_THRESHOLD:
      row[f'{key} %'] = results.value([result], test, kind, key).percent()
    rows.append(row)
  return pages.table(rows)


def comparison(
  groups: Sequence[repeats.Group], kinds: Sequence[str] = results.KINDS
) -> tuple[pages.Table, dict[str, str]]:
  """One row a (group, test set, kind): mean ± sample std, floors beside it.

  Returns:
    The table, and what is the same in all rows: name -> value.
  """
  named = []
  for group in groups:
    method, systems, labels = repeats.look(group.results[0])
    systems += ' (simulated)' if results.simulated(group.results) else ''
    name = {'method': group.name, 'systems': systems, 'target labels': labels}
    for test in results.tests(group.results):
      named.append((group.results, name | {'test': test, 'seeds': group.seeds}))
  first = named[0][1]
  is_same = lambda key: key != 'method' and len({name[key] for _, name in named}) == 1
  same = {key: text for key, text in first.items() if is_same(key)}
  rows = []
  for (runs, name), kind in itertools.product(named, kinds):
    is_first = kind == kinds[0]
    row = {key: name[key] if is_first else '' for key in name if key not in same}
    row['sessions'] = kind
    for measure, head in results.MEASURES.items():
      row[head] = results.value(runs, name['test'], kind, measure).percent(1)
    for measure in ('f1', 'auprc'):
      cells = results.floor_cells(runs, name['test'], kind, measure)
      row |= {f'{head}, {results.MEASURES[measure]}': c for head, c in cells.items()}
    rows.append(row)
  return pages.table(rows, words=len(first) - len(same) + 1), same


def every_run(runs: Sequence[record.Run]) -> pages.Table:
  """F1 of every single run."""
  rows = []
  for run, test in ((r, t) for r in runs for t in r.result['test']):
    row = {'run': run.name, 'method': results.method(run.result)}
    row |= {'seed': str(run.result.get('seed')), 'test': test}
    for kind in results.KINDS:
      row[f'F1 {kind} %'] = results.value([run.result], test, kind).percent()
    rows.append(row)
  return pages.table(rows, words=4)


def as_csv(runs: Sequence[record.Run]) -> str:
  """CSV with a row a (run, test set, kind), every floor's figures behind.

  A figure that is not known, or not finite, is an empty cell.
  """
  rows = [
    {clean.cell(key): clean.cell(value) for key, value in row.items()}
    for run in runs
    for row in _csv_rows(run.name, run.result)
  ]
  return pl.from_dicts(rows, infer_schema_length=None, strict=False).write_csv()


def _csv_rows(name: str, result: results.Result) -> list[dict[str, Any]]:
  shared: dict[str, Any] = {'run': name}
  shared |= {key: result.get(key) for key in ('detector', 'preset', 'order', 'seed')}
  shared['source'] = '+'.join(map(results.short, result.get('source') or []))
  shared['target'] = results.short(result.get('target') or '')
  seen = result.get('labels_seen') or {}
  for side, label in itertools.product(('source', 'target'), ('normal', 'anomalous')):
    shared[f'{side}_{label}'] = (seen.get(side) or {}).get(label)
  shared['simulated'] = '+'.join(results.simulated([result]))
  shared['train_seconds'] = (result.get('seconds') or {}).get('train')
  shared['test_ms_per_session'] = result.get('test_ms_per_session')
  rows = []
  for test, kind in itertools.product(results.tests([result]), results.KINDS):
    row = {**shared, 'test': test, 'kind': kind}
    row |= results.measures(result, test, kind)
    row['best_floor'] = results.best_floor([result], test, kind)[0]
    for floor in sorted(results.floors([result], test)):
      measures = results.measures(result, test, kind, floor)
      row |= {f'{floor}_{key}': measures.get(key) for key in results.MEASURES}
    rows.append(row)
  return rows
