"""Figures of the study, drawn on matplotlib axes; see `document.canvas`.

Enters: what `measures` returns. Nothing here imports matplotlib.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metalog_jax.meta import compare

LABELS = {
  'cosine': 'cosine with the exact gradient',
  'difference': '|difference| / |exact|',
  'ratio': '|gradient| / |exact|',
  'size': '|exact|',
}


def along(ax, found: Sequence[dict[str, Any]], ways: Sequence[str], measure: str):
  """A measure of each way along training: mean, and the least and most of the tasks."""
  places = np.arange(len(found))
  for index, way in enumerate(ways):
    of = [point['ways'][way][compare.ALL][measure]['each'] for point in found]
    each = [[v for v in values if v is not None] or [np.nan] for values in of]
    low, means, high = ([end(v) for v in each] for end in (min, np.mean, max))
    spreads = np.abs(np.array([low, high]) - means)
    style = {'marker': 'o^sDvP'[index % 6], 'color': f'C{index % 6}', 'capsize': 3}
    style['linestyle'] = ('-', '--')[index // 6 % 2]
    shift = 0.05 * (index - len(ways) / 2)  # so that bars do not hide each other
    ax.errorbar(places + shift, means, spreads, label=way, **style)
  ax.set_xticks(places, [point['at'].replace(' ', '\n', 1) for point in found])
  ax.set(ylabel=LABELS[measure])
  if measure == 'difference':
    ax.set_yscale('log')
  ax.grid(axis='y')
  ax.legend(loc='lower left', bbox_to_anchor=(-0.02, 1), ncols=3, columnspacing=1)


def grid(ax, cells: Sequence[dict[str, Any]], way: str) -> None:
  """Relative difference (colour) and cosine (in brackets) of a way, at one point.

  Down: inner steps; right: inner learning rates.
  """
  rates = sorted({cell['inner_lr'] for cell in cells})
  steps = sorted({cell['inner_steps'] for cell in cells})
  values = np.full((len(steps), len(rates)), np.nan)
  for cell in cells:
    if way not in cell['ways']:
      continue
    parts = cell['ways'][way][compare.ALL]
    row, column = steps.index(cell['inner_steps']), rates.index(cell['inner_lr'])
    difference, cosine = (parts[name]['mean'] for name in ('difference', 'cosine'))
    if difference is None:
      continue
    values[row, column] = difference
    dark = difference < 0.3  # of viridis over 0..1
    text = f'{100 * difference:.3g} %\n({cosine:.3f})'
    color = 'white' if dark else 'black'
    ax.text(column, row, text, ha='center', va='center', color=color, fontsize=10)
  ax.imshow(values, vmin=0, vmax=1, aspect='auto')
  ax.set_xticks(range(len(rates)), [f'{rate:g}' for rate in rates])
  ax.set_yticks(range(len(steps)), steps)
  ax.set(xlabel='inner learning rate', ylabel='inner steps')


def costs(ax, found: dict[str, dict[str, Any]], key: str, scale: float, label: str):
  """One bar a way."""
  names = list(found)[::-1]
  values = [scale * found[name][key] for name in names]
  ax.barh(names, values, color='C0')
  for place, value in enumerate(values):
    ax.text(value, place, f' {value:.3g}', va='center', fontsize=10)
  ax.set(xlabel=label, xlim=(0, 1.15 * max(values)))
  ax.spines['left'].set_visible(False)
  ax.grid(axis='x')
