"""The report of sweeps: the paper's tables and figures, with ours in them."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from metalog_jax.report import plots, published, results, sections, sweep_plots, sweeps
from metalog_jax.report.document import elements

_MOST_LINES = 6  # of a figure: as many colours as there are


def of_sweeps(found: Sequence[sweeps.Sweep]) -> list[Any]:
  """The whole report; tables that have no run yet are named and left out."""
  done = [sweep for sweep in found if any(row.runs for row in sweep.rows)]
  every = [result for s in done for row in s.rows for result in row.found]
  simulated = ', of SIMULATED logs' if any(map(results.is_simulated, every)) else ''
  names = ', '.join(sweep.name for sweep in found)
  content: list[Any] = [
    elements.Title(
      f'{names}: {len(every)} runs{simulated}',
      'Figures called quoted are those that the paper prints.',
      sections.simulated_warning(every),
    )
  ]
  for sweep in found:
    content += _sweep(sweep)
  return content


def brief(found: Sequence[sweeps.Sweep]) -> list[Any]:
  """One table for each table of the paper and setting, with headings."""
  content: list[Any] = []
  for sweep in found:
    for setting, name in sweep.settings.items():
      title = f'{sweep.title}, {name}' if name else sweep.title
      if rows := sweep.of(setting):
        table = published.brief(rows, _reference(sweep, rows))
        content += [elements.Heading(title, 3), *_warning(rows), table]
        content += _missing(sweep, setting)
  return [*content, elements.Text(published.BRIEF)]


def _sweep(sweep: sweeps.Sweep) -> list[Any]:
  content: list[Any] = [elements.Heading(sweep.title)]
  if sweep.about:
    content.append(elements.Text(sweep.about))
  for setting, name in sweep.settings.items():
    if len(sweep.settings) > 1:
      content.append(elements.Heading(name, 3))
    content += _missing(sweep, setting)
    if rows := sweep.of(setting):
      content += _setting(sweep, setting, rows)
  return content


def _setting(sweep: sweeps.Sweep, setting: str, rows: list[sweeps.Row]) -> list[Any]:
  content: list[Any] = [*_warning(rows), published.quality(rows)]
  if notes := published.notes(rows):
    content.append(elements.Text(notes))
  reference = _reference(sweep, rows)
  if reference and (table := published.differences(rows, reference)):
    content.append(table)
  content.append(elements.Figures(_figures(sweep, setting, rows)))
  content.append(published.times(rows))
  return content


def _warning(rows: list[sweeps.Row]) -> list[elements.Text]:
  """That logs are simulated, beside the rows that are of them."""
  told = sections.simulated_warning([result for row in rows for result in row.found])
  return [elements.Text(told)] if told else []


def _missing(sweep: sweeps.Sweep, setting: str) -> list[elements.Text]:
  missing = sweeps.missing(sweep, setting)
  return [elements.Text(f'Not run yet: {", ".join(missing)}.')] if missing else []


def _reference(sweep: sweeps.Sweep, rows: list[sweeps.Row]) -> sweeps.Row | None:
  return next((r for r in rows if _is(sweep, r, sweep.shown.get('against'))), None)


def _is(sweep: sweeps.Sweep, row: sweeps.Row, key: str | None) -> bool:
  """Whether the row is the one that the table's file calls `key`."""
  return row.key in (key, f'{key}-{row.setting}')


def _figures(sweep, setting: str, rows: list[sweeps.Row]) -> list[elements.Figure]:
  name = f'{sweep.name}_{setting}' if setting else sweep.name
  of = f', {sweep.settings[setting]}' if len(sweep.settings) > 1 else ''
  title = sweep.title + of
  if sweep.shown.get('x'):
    return [
      elements.Figure(
        f'{name}_curve_{kind}',
        f'{title}: F1 over {kind} sessions',
        functools.partial(
          sweep_plots.over, lines=_lines(rows, kind), x=sweep.shown['x']
        ),
      )
      for kind in results.KINDS
    ]  # fmt: skip
  return [
    *(_bars(f'{name}_{k}', f'{title}: F1 over {k} sessions', rows, k) for k in
      results.KINDS),
    *_roc(sweep, f'{name}_roc', f'{title}: ROC', rows),
  ]  # fmt: skip


def _bars(name: str, text: str, rows, kind: str) -> elements.Figure:
  """Every seed, the mean, the best floor; what the paper prints, over all sessions."""
  shown = [row for row in rows if row.value(kind, 'f1').mean >= 0]  # not nan
  data = [(row.name, _seeds(row, kind), _best_floor(row, kind)) for row in shown]
  quoted = [row.quote('f1') / 100 for row in shown] if kind == 'all' else []
  draw = functools.partial(plots.comparison, rows=data, quoted=quoted)
  return elements.Figure(name, text, draw, (5.0, 1.5 + 0.65 * len(data)))


def _seeds(row: sweeps.Row, kind: str) -> list[float]:
  found = (results.measures(r, row.test, kind).get('f1') for r in row.found)
  return [f1 for f1 in found if f1 is not None]


def _best_floor(row: sweeps.Row, kind: str) -> float:
  best = results.best_floor(row.found, row.test, kind, 'f1')
  return best[1].mean if best else float('nan')


def _lines(rows, kind: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
  """The curves of `sweep_plots.over`; the paper's figures are over all sessions."""
  lines: dict[str, list[sweeps.Row]] = {}
  for row in rows:
    if row.x is not None:
      lines.setdefault(row.line, []).append(row)
  quote = lambda row: row.quote('f1') / 100 if kind == 'all' else float('nan')
  return [
    (
      name,
      np.array([[row.x, row.value(kind, 'f1').mean, quote(row)] for row in of]),
      np.array([[row.x, f1] for row in of for f1 in _seeds(row, kind)]),
    )
    for name, of in lines.items()
  ]


def _roc(sweep, name: str, text: str, rows) -> list[elements.Figure]:
  """Of each row that the table names, the first seed; as many as have a colour."""
  lines, told = [], []
  for key in sweep.shown.get('roc', ()):
    for row in (row for row in rows if _is(sweep, row, key)):
      run = row.runs[0]
      scores = run.scores.get(row.test)
      if scores is not None and len(np.unique(scores.labels)) == 2:
        lines.append((row.name, scores.labels, scores.scores))
        told += _told_auc(row)
  if not lines:
    return []
  text += f', first seed of each{"".join(told)}'
  draw = functools.partial(sweep_plots.rocs, lines=lines[:_MOST_LINES])
  return [elements.Figure(name, text, draw, (4.8, 5.2))]


def _told_auc(row: sweeps.Row) -> list[str]:
  if 'auroc' not in row.quoted:
    return []
  return [f'; AUROC of {row.name} quoted: {row.quoted["auroc"]:.1f} %']
