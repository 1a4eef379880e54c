"""Figures of sweeps: methods held against each other, F1 over a setting."""

from collections.abc import Sequence

import numpy as np

from experiments.sweeps import sweep_folder
from metalog_jax.report import canvas, plots, results


def figures(sweep: sweep_folder.Sweep, setting: str) -> list[canvas.Figure]:
  """The figures of one setting of a table."""
  rows = sweep.of(setting)
  name = f'{sweep.name}_{setting}' if setting else sweep.name
  several = len(sweep.settings) > 1
  title = f'{sweep.title}, {sweep.settings[setting]}' if several else sweep.title
  drawn = []
  for kind in results.KINDS:
    text = f'{title}: F1 over {kind} sessions'
    if x := sweep.shown.get('x'):
      curve = f'{name}_curve_{kind}'
      drawn.append(canvas.Figure(curve, text, over, (_lines(rows, kind), x)))
    else:
      bars = [_bar(row, kind) for row in rows if row.value(kind, 'f1').mean >= 0]
      size = (5.0, 1.5 + 0.65 * len(bars))
      figure = canvas.Figure(f'{name}_{kind}', text, plots.comparison, (bars,), size)
      drawn += [figure] if bars else []
  return drawn


def _bar(row: sweep_folder.Row, kind: str) -> plots.Row:
  """The paper's figure is over all sessions."""
  floor = results.best_floor(row.results, row.test, kind)[1].mean
  quoted = row.quote('f1') / 100 if kind == 'all' else float('nan')
  return plots.Row(row.name, results.each(row.results, row.test, kind), floor, quoted)


def _lines(rows, kind: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
  """The curves of `over`."""
  lines: dict[str, tuple[list, list]] = {}
  for row in rows:
    if row.x is not None:
      means, seeds = lines.setdefault(row.line, ([], []))
      bar = _bar(row, kind)
      means.append([row.x, row.value(kind, 'f1').mean, bar.quoted])
      seeds += [[row.x, f1] for f1 in bar.seeds]
  return [(name, np.array(m), np.array(s)) for name, (m, s) in lines.items()]


def over(ax, lines: Sequence[tuple[str, np.ndarray, np.ndarray]], x: str) -> None:
  """F1 over a setting, a line each: its seeds, their mean, and what the paper prints.

  Args:
    ax: axes.
    lines: (name, [N, 3] of value, F1 of the mean, F1 quoted or NaN, [M, 2] of value
      and F1 of every seed); F1 in 0..1.
    x: what the setting is called.
  """
  for index, (name, means, seeds) in enumerate(lines):
    style, name = {'color': f'C{index % 6}'}, plots.visible(name)
    ax.plot(means[:, 0], 100 * means[:, 1], marker='|', label=name, **style)
    ax.plot(seeds[:, 0], 100 * seeds[:, 1], 'o', alpha=0.4, **style)
    if not np.isnan(means[:, 2]).all():
      style |= {'markeredgewidth': 2, 'markersize': 9, 'label': f'{name}, quoted'}
      ax.plot(means[:, 0], 100 * means[:, 2], 'x', **style)
  values = np.unique(np.concatenate([means[:, 0] for _, means, _ in lines]))
  if values.min() > 0 and values.max() > 10 * values.min():
    ax.set_xscale('log')
  ax.set_xticks(values, [f'{value:g}' for value in values], minor=False)
  ax.minorticks_off()
  ax.set(xlabel=x, ylabel='F1 (%)')
  ax.grid()
  plots.legend(ax, columns=1)
