"""Our rows beside what a paper prints for them.

Figures of the paper are quoted and said to be: they are of its logs, its parsing and
its split, so that they can be held against ours only in their order.
"""

import math
from collections.abc import Sequence

from experiments.sweeps import significance, sweep_folder
from metalog_jax import errors
from metalog_jax.report import pages, results

Rows = Sequence[sweep_folder.Row]
_PRINTED = {'precision': 'P', 'recall': 'R', 'f1': 'F1', 'auroc': 'AUROC'}
_MEASURED = {**_PRINTED, 'auprc': 'AUPRC'}
_PHASES = {'setup': 'set-up', 'compile': 'compile', 'train': 'train', 'test': 'test'}
_TIMES = {  # what a paper prints: (unit, decimals)
  'train_minutes': ('train min', 0),
  'test_seconds': ('test s', 0),
  'test_ms': ('ms a session', 3),
}


def quality(rows: Rows) -> pages.Table:
  """Quoted and measured figures of every row, each with its floors beside it."""
  printed = [m for m in _PRINTED if any(m in row.quoted for row in rows)]
  table = []
  for row in rows:
    floors = lambda kind, row=row: results.floor_cells(row.results, row.test, kind)
    cells = {'%': row.name}
    cells |= {f'quoted {_PRINTED[m]}': _number(row.quote(m)) for m in printed}
    for measure, head in _MEASURED.items():
      cells[f'ours, all {head}'] = row.value('all', measure).percent(1)
    cells |= {f'ours, all {head}': cell for head, cell in floors('all').items()}
    for kind in ('distinct', 'unseen'):
      cells[f'{kind} F1'] = row.value(kind, 'f1').percent(1)
      cells |= {f'{kind} {head}': cell for head, cell in floors(kind).items()}
    table.append(cells | {'seeds': row.seeds})
  return pages.table(table, groups=('quoted', 'ours, all', 'distinct', 'unseen'))


def floors(rows: Rows) -> pages.Table:
  """Every floor over seeds, and its worst one: of the row that has most floors."""
  every = lambda row: results.floors(row.results, row.test)
  row = max(rows, key=lambda row: (len(every(row)), len(row.results)))
  fixed, table = results.fixed_floor(row.results, row.test), []
  for name in every(row):
    value = lambda kind, measure, name=name: results.value(
      row.results, row.test, kind, measure, name
    )
    f1 = results.each(row.results, row.test, 'all', 'f1', name)
    cells = {'%': f'{name}, fixed' if name == fixed else name}
    cells['F1'] = value('all', 'f1').percent(1)
    cells['F1, worst'] = results.Value(min(f1, default=math.nan)).percent(1)
    cells['AUPRC'] = value('all', 'auprc').percent(1)
    cells |= {f'F1 {k}': value(k, 'f1').percent(1) for k in ('distinct', 'unseen')}
    table.append(cells)
  return pages.table(table)


def brief(rows: Rows, reference: sweep_folder.Row | None = None) -> pages.Table:
  """What decides, in a table that a README has room for."""
  is_quoted = any('f1' in row.quoted for row in rows)
  above = {
    row.key: f'{_mean(test.each)}, p {p_words(p)}'
    for row, test, p in (_differences(rows, reference) if reference else ())
  }
  table = []
  for row in rows:
    cells = {'%': row.name}
    cells |= {'F1, quoted': _number(row.quote('f1'))} if is_quoted else {}
    cells |= {
      name: row.value('all', name.lower()).percent(1) for name in ('F1', 'AUPRC')
    }
    for kind in ('distinct', 'unseen'):
      cells[f'F1 {kind}'] = row.value(kind, 'f1').percent(1)
    floors = results.floor_cells(row.results, row.test, 'all')
    cells |= {f'{head}, F1': cell for head, cell in floors.items()}
    cells |= {'above': above.get(row.key, '–')} if above else {}
    cells |= {'train s': _seconds(row, 'train'), 'ms a session': _ms(row)}
    table.append(cells | {'seeds': row.seeds})
  return pages.table(table)


def notes(rows: Rows) -> str:
  """What a reader has to know of rows, by name; empty if there is nothing."""
  said = [(row.name, {r['note'] for r in row.results if r.get('note')}) for row in rows]
  return ' '.join(f'{name}: {"; ".join(sorted(of))}.' for name, of in said if of)


def differences(rows: Rows, reference: sweep_folder.Row) -> pages.Table | None:
  """The reference's F1 less that of each other row, with what speaks for chance."""
  table = []
  for row, test, p in _differences(rows, reference):
    quoted = row.quoted.get('behind', reference.quote('f1') - row.quote('f1'))
    above = f'{sum(d > 0 for d in test.each)} of {len(test.each)}'
    cells = {'': row.name, 'quoted': _number(quoted, '+.2f'), 'ours': _mean(test.each)}
    table.append(
      cells | {'seeds above': above, 'p': p_words(test.p), 'p, Holm': p_words(p)}
    )
  return pages.table(table) if table else None


def times(rows: Rows) -> pages.Table:
  """What training and testing took; what the paper prints is of another machine."""
  printed = [name for name in _TIMES if any(name in row.quoted for row in rows)]
  table = []
  for row in rows:
    cells = {'': row.name}
    cells |= {f'ours {head} s': _seconds(row, key) for key, head in _PHASES.items()}
    cells['ours ms a session'] = _ms(row)
    for name in printed:
      head, decimals = _TIMES[name]
      cells[f'quoted {head}'] = _number(row.quote(name), f'.{decimals}f')
    table.append(cells)
  return pages.table(table, groups=('ours', 'quoted'))


def _differences(
  rows: Rows, reference: sweep_folder.Row
) -> list[tuple[sweep_folder.Row, significance.Difference, float]]:
  """(row, test, adjusted p) of every row that can be held against the reference."""
  others = [row for row in rows if row.key != reference.key]
  tested = [(row, test) for row in others if (test := _compare(reference, row))]
  adjusted = significance.holm([test.p for _, test in tested])
  return [(row, test, p) for (row, test), p in zip(tested, adjusted, strict=True)]


def _compare(
  first: sweep_folder.Row, second: sweep_folder.Row
) -> significance.Difference | None:
  """Over the seeds that both have; None where there is nothing to compare."""
  a, b = judged(first), judged(second)
  pairs = [(a[seed], b[seed]) for seed in a if seed in b]
  try:
    return significance.compare(pairs)
  except errors.UserError:
    return None


def judged(row: sweep_folder.Row) -> dict[int, significance.Judged]:
  """Seed -> verdicts."""
  judged = {}
  for run in row.runs:
    threshold = results.measures(run.result, row.test, 'all').get('threshold')
    scores = run.scores.get(row.test)
    if scores is not None and threshold is not None:
      judged[run.result['seed']] = significance.Judged(*scores[:3], threshold)
  return judged


def _number(value: float, form: str = '.2f') -> str:
  return '–' if math.isnan(value) else format(value, form)


def _mean(each: Sequence[float]) -> str:
  value = results.spread(each)
  std = '' if math.isnan(value.std) else f' ± {100 * value.std:.1f}'
  return _number(100 * value.mean, '+.1f') + std


def p_words(p: float) -> str:
  return '< 0.001' if p < 1e-3 else f'{p:.3f}'


def _seconds(row: sweep_folder.Row, key: str) -> str:
  mean = results.spread((r.get('seconds') or {}).get(key) for r in row.results).mean
  return _number(mean, ',.1f')


def _ms(row: sweep_folder.Row) -> str:
  """Mean time to score a session, in two figures."""
  mean = results.spread(r.get('test_ms_per_session') for r in row.results).mean
  return results.number(float(f'{mean:.2g}'))
