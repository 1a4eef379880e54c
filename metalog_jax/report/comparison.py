"""Several runs beside each other: means over seeds, and the best floor of each."""

import functools
from collections.abc import Sequence
from typing import Any

from metalog_jax.report import plots, repeats, results, run_folder, sections, tables
from metalog_jax.report.document import elements

_MOST_ROWS = 30  # of the figure
_NAMES = ('method', 'systems', 'target labels', 'test', 'seeds')


def of_runs(runs: Sequence[run_folder.Run]) -> list[Any]:
  """The whole report of several runs."""
  found = repeats.find(runs)
  every = [run.result for run in runs]
  return [
    _title(found, every),
    elements.Heading('Comparison'),
    table(found),
    elements.Figures(_figures(found)),
    elements.Heading('Every floor'),
    *(
      elements.Fold(
        f'{group.name}, {results.systems(group.found[0])}, test {test}',
        [tables.quality(group.found, test, decimals=1)],
      )
      for group in found
      for test in results.tests(group.found)
    ),
    elements.Heading('Runs'),
    _runs(runs),
  ]


def _title(
  found: Sequence[repeats.Group], every: list[results.Result]
) -> elements.Title:
  simulated = any(map(results.is_simulated, every))
  systems = ', '.join(dict.fromkeys(map(results.systems, every)))
  return elements.Title(
    f'{"SIMULATED: " if simulated else ""}{len(every)} runs of {len(found)}'
    f' setting{"s" if len(found) > 1 else ""}',
    f'{systems}.',
    sections.simulated_warning(every),
  )


def table(
  found: Sequence[repeats.Group],
  kinds: Sequence[str] = results.KINDS,
  decimals: int = 1,
) -> elements.Table:
  """One row a (group, test set, kind): mean ± sample std, best floors beside it."""
  pairs = [(group, test) for group in found for test in results.tests(group.found)]
  names = [_names(group, test) for group, test in pairs]
  same = {key for key in _NAMES[1:] if len({name[key] for name in names}) == 1}
  columns = [key for key in _NAMES if key not in same]
  rows = []
  for (group, test), name in zip(pairs, names, strict=True):
    for kind in kinds:
      cells = [name[key] if kind == kinds[0] else '' for key in columns]
      rows.append([*cells, kind, *_figures_of(group, test, kind, decimals)])
  floors = ['best floor, F1', 'best floor, AUPRC']
  return elements.Table(
    head=[*columns, 'sessions', *results.MEASURES.values(), *floors],
    rows=rows,
    caption=_caption({key: names[0][key] for key in _NAMES if key in same}),
    words=len(columns) + 1,
  )


def _names(group: repeats.Group, test: str) -> dict[str, str]:
  """What tells one setting from another."""
  _, systems, labels = repeats.look(group.found[0])
  simulated = ' (simulated)' if any(map(results.is_simulated, group.found)) else ''
  cells = (group.name, systems + simulated, labels, test, group.seeds)
  return dict(zip(_NAMES, cells, strict=True))


def _caption(same: dict[str, str]) -> str:
  everywhere = '; '.join(f'{key}: {value}' for key, value in same.items())
  return (f'{everywhere[:1].upper()}{everywhere[1:]}. ' if same else '') + (
    'Per cent; mean ± sample standard deviation over seeds. Target labels: normal +'
    ' anomalous. The best floor of a row is picked after seeing its test scores;'
    f' {elements.MARK} marks one above the method.'
  )


def _figures_of(group: repeats.Group, test: str, kind: str, decimals: int) -> list[str]:
  own = {key: results.value(group.found, test, kind, key) for key in results.MEASURES}
  cells = [value.percent(decimals) for value in own.values()]
  for key in ('f1', 'auprc'):
    best = results.best_floor(group.found, test, kind, key)
    if best is None:
      cells.append('–')
      continue
    name, floor = best
    mark = f' {elements.MARK}' if results.beats(floor, own[key]) else ''
    mean = results.Value(floor.mean).percent(decimals)
    cells.append(f'{mean} {name}{mark}')
  return cells


def _figures(found: Sequence[repeats.Group]) -> list[elements.Figure]:
  """F1 of every group, one figure a kind of sessions."""
  pairs = [(group, test) for group in found for test in results.tests(group.found)]
  where = {(results.systems(group.found[0]), test) for group, test in pairs}
  figures = []
  for kind in results.KINDS:
    rows = []
    for group, test in pairs[:_MOST_ROWS]:
      place = f'\n{results.systems(group.found[0])}, {test}' if len(where) > 1 else ''
      if seeds := _seeds_f1(group, test, kind):
        rows.append((group.name + place, seeds, _best_f1(group, test, kind)))
    if rows:
      height = 1.3 + (0.85 if len(where) > 1 else 0.65) * len(rows)
      draw = functools.partial(plots.comparison, rows=rows)
      text = f'F1 over {kind} sessions'
      figures.append(elements.Figure(f'comparison_{kind}', text, draw, (5.0, height)))
  return figures


def _seeds_f1(group: repeats.Group, test: str, kind: str) -> list[float]:
  found = (results.measures(result, test, kind).get('f1') for result in group.found)
  return [f1 for f1 in found if f1 is not None]


def _best_f1(group: repeats.Group, test: str, kind: str) -> float:
  best = results.best_floor(group.found, test, kind, 'f1')
  return best[1].mean if best else float('nan')


def _runs(runs: Sequence[run_folder.Run]) -> elements.Table:
  rows = [
    [run.name, results.method(run.result), str(run.result.get('seed')), test]
    + [
      results.value([run.result], test, kind, 'f1').percent() for kind in results.KINDS
    ]
    for run in runs
    for test in results.tests([run.result])
  ]
  head = ['run', 'method', 'seed', 'test', *(f'F1 {kind} %' for kind in results.KINDS)]
  return elements.Table(head, rows, words=4)
