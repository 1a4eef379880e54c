"""Our rows beside what a paper prints for them.

Figures of the paper are quoted and said to be: they are of its logs, its parsing and
its split, so that they can be held against ours only in their order.
"""

import math
from collections.abc import Sequence

from metalog_jax.evaluation import significance
from metalog_jax.report import results, sweeps
from metalog_jax.report.document import elements

Rows = Sequence[sweeps.Row]
_PRINTED = {'precision': 'P', 'recall': 'R', 'f1': 'F1'}
_OWN = {**_PRINTED, 'auroc': 'AUROC', 'auprc': 'AUPRC'}
_BRIEF = (('all', 'f1'), ('all', 'auprc'), ('distinct', 'f1'), ('unseen', 'f1'))
_TIMES = {  # what a paper prints: (unit, decimals)
  'train_minutes': ('train min', 0),
  'test_seconds': ('test s', 0),
  'test_ms': ('ms a session', 3),
}


def quality(rows: Rows) -> elements.Table:
  """Quoted and measured figures of every row, each with the best floor beside it."""
  printed = [m for m in _PRINTED if any(m in row.quoted for row in rows)]
  groups = [('', 1), ('quoted', len(printed))] if printed else [('', 1)]
  groups += [('ours, all', len(_OWN) + 1), ('distinct', 2), ('unseen', 2), ('', 1)]
  floor = ['F1', 'best floor']
  return elements.Table(
    head=['%', *(_OWN[m] for m in printed), *_OWN.values(), floor[1], *floor * 2]
    + ['seeds'],
    rows=[_quality(row, printed) for row in rows],
    groups=groups,
    caption=(
      'Per cent; mean ± sample standard deviation over seeds. Distinct counts each'
      ' different sequence once; unseen keeps those that no training session has. The'
      ' best floor saw the same labels and is picked after seeing its test scores;'
      f' {elements.MARK} marks one above the row.'
      + (' Quoted: as the paper prints it, of its own logs.' if printed else '')
    ),
  )


BRIEF = (
  'Per cent; mean ± sample standard deviation over seeds. The threshold is 0.5, or the'
  f" method's own. {elements.MARK} marks a floor above the row, picked after seeing its"
  ' test scores. Above: points of F1 by which the row with – is above the others, and p'
  ' of a randomization test of that, adjusted for the number of rows (Holm).'
)


def brief(rows: Rows, reference: sweeps.Row | None = None) -> elements.Table:
  """What decides, in a table that a README has room for; BRIEF explains it."""
  printed = any('f1' in row.quoted for row in rows)
  above = {
    row.key: f'{_mean(test.each)}, p {_p(p)}'
    for row, test, p in (_differences(rows, reference) if reference else ())
  }
  head = ['%', *(['F1, quoted'] if printed else []), 'F1', 'AUPRC', 'F1 distinct']
  head += ['F1 unseen', 'best floor, F1', *(['above'] if above else [])]
  return elements.Table(
    head=[*head, 'train s', 'ms a session', 'seeds'],
    rows=[
      [row.name, *([_quoted(row.quote('f1'))] if printed else [])]
      + [row.value(kind, measure).percent(1) for kind, measure in _BRIEF]
      + [_floor(row, 'all'), *([above.get(row.key, '–')] if above else [])]
      + [_seconds(row, 'train'), _ms(row), _numbers(row)]
      for row in rows
    ],
  )


def notes(rows: Rows) -> str:
  """What a reader has to know of rows, by name; empty if there is nothing."""
  told = [(row.name, {r['note'] for r in row.found if r.get('note')}) for row in rows]
  return ' '.join(f'{name}: {"; ".join(sorted(of))}.' for name, of in told if of)


def _quality(row: sweeps.Row, printed: Sequence[str]) -> list[str]:
  cells = [row.name, *(_quoted(row.quote(measure)) for measure in printed)]
  cells += [row.value('all', measure).percent(1) for measure in _OWN]
  cells.append(_floor(row, 'all'))
  for kind in ('distinct', 'unseen'):
    cells += [row.value(kind, 'f1').percent(1), _floor(row, kind)]
  return [*cells, _numbers(row)]


def _ms(row: sweeps.Row) -> str:
  """Mean time to score a session, in two figures."""
  mean = _average(row, lambda r: r.get('test_ms_per_session'))
  return results.number(float(f'{mean:.2g}'))


def _numbers(row: sweeps.Row) -> str:
  """The seeds of its runs."""
  return ','.join(str(result.get('seed')) for result in row.found)


def _quoted(value: float, decimals: int = 2) -> str:
  return '–' if math.isnan(value) else f'{value:.{decimals}f}'


def _floor(row: sweeps.Row, kind: str) -> str:
  best = results.best_floor(row.found, row.test, kind, 'f1')
  if best is None:
    return '–'
  name, value = best
  mark = f' {elements.MARK}' if results.beats(value, row.value(kind, 'f1')) else ''
  return f'{results.Value(value.mean).percent(1)} {name}{mark}'


def differences(rows: Rows, reference: sweeps.Row) -> elements.Table | None:
  """The reference's F1 less that of each other row, with what speaks for chance."""
  found = _differences(rows, reference)
  if not found:
    return None
  return elements.Table(
    head=['', 'quoted', 'ours', 'seeds above', 'p', 'p, Holm'],
    rows=[
      [row.name, _signed(_told(reference, row), 2), _mean(test.each)]
      + [f'{sum(d > 0 for d in test.each)} of {len(test.each)}', _p(test.p), _p(p)]
      for row, test, p in found
    ],
    caption=(
      f'Points of F1 by which {reference.name} is above the row. p: randomization test'
      ' of the mean over seeds on the sessions that both were tested on, two-sided;'
      ' sessions with the same two scores, as equal sequences have, are exchanged'
      ' together. The draw of labels is not in p: see the spread. Holm: adjusted for'
      ' the number of rows.'
    ),
  )


def _differences(
  rows: Rows, reference: sweeps.Row
) -> list[tuple[sweeps.Row, significance.Difference, float]]:
  """(row, test, adjusted p) of every row that can be held against the reference."""
  others = [row for row in rows if row.key != reference.key]
  found = [(row, test) for row in others if (test := _compare(reference, row))]
  adjusted = significance.holm([test.p for _, test in found])
  return [(row, test, p) for (row, test), p in zip(found, adjusted, strict=True)]


def _compare(first: sweeps.Row, second: sweeps.Row) -> significance.Difference | None:
  """Over the seeds that both have; None where there is nothing to compare."""
  a, b = _judged(first), _judged(second)
  pairs = [(a[seed], b[seed]) for seed in a if seed in b]
  try:
    return significance.compare(pairs)
  except ValueError:
    return None


def _judged(row: sweeps.Row) -> dict[int, significance.Judged]:
  """Seed -> verdicts."""
  found = {}
  for run in row.runs:
    threshold = results.measures(run.result, row.test, 'all').get('threshold')
    scores = run.scores.get(row.test)
    if scores is not None and threshold is not None:
      found[run.result['seed']] = significance.Judged(
        scores.ids, scores.labels, scores.scores, threshold
      )
  return found


def _told(reference: sweeps.Row, row: sweeps.Row) -> float:
  """The difference that the paper prints, or that of the two figures it prints."""
  return row.quoted.get('behind', reference.quote('f1') - row.quote('f1'))


def _signed(value: float, decimals: int) -> str:
  return '–' if math.isnan(value) else f'{value:+.{decimals}f}'


def _mean(each: Sequence[float]) -> str:
  value = results.spread(each)
  std = '' if math.isnan(value.std) else f' ± {100 * value.std:.1f}'
  return _signed(100 * value.mean, 1) + std


def _p(p: float) -> str:
  return '< 0.001' if p < 1e-3 else f'{p:.3f}'


def times(rows: Rows) -> elements.Table:
  """What training and testing took; what the paper prints is of another machine."""
  printed = [name for name in _TIMES if any(name in row.quoted for row in rows)]
  keys = ('setup', 'compile', 'train', 'test')
  own = ['set-up s', 'compile s', 'train s', 'test s', 'ms a session']
  quoted = [('quoted', len(printed))] if printed else []
  return elements.Table(
    head=['', *own, *(_TIMES[name][0] for name in printed)],
    rows=[
      [row.name, *(_seconds(row, key) for key in keys)]
      + [_ms(row)]
      + [_quoted(row.quote(name), _TIMES[name][1]) for name in printed]
      for row in rows
    ],
    groups=[('', 1), ('ours', len(own)), *quoted],
    caption=(
      'Mean over seeds. Set-up: closed forms and clusters, before the first step.'
      ' Test: scoring, and compiling what scores. A trial that was stopped and went on'
      ' counts what its last process did.'
      + (' Quoted: as the paper prints it, on an RTX 2080 Ti.' if printed else '')
    ),
  )


def _seconds(row: sweeps.Row, key: str) -> str:
  mean = _average(row, lambda result: (result.get('seconds') or {}).get(key))
  return '–' if math.isnan(mean) else f'{mean:,.1f}'


def _average(row: sweeps.Row, read) -> float:
  return results.spread(read(result) for result in row.found).mean
