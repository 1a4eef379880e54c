"""Figures that hold several methods against each other, on matplotlib axes."""

from collections.abc import Sequence

import numpy as np

from metalog_jax.report import plots


def rocs(ax, lines: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
  """ROC of several methods: (name, labels [S], scores [S])."""
  for index, (name, labels, scores) in enumerate(lines):
    hits, alarms = plots.cumulative(labels, scores)
    dashes = plots.DASHES[index % len(plots.DASHES)]
    style = {'color': f'C{index % 6}', 'linestyle': dashes}
    ax.plot(*plots.thin(alarms / alarms[-1], hits / hits[-1]), label=name, **style)
  ax.plot([0, 1], [0, 1], color='grey', linewidth=1.5, linestyle=':', label='chance')
  plots.unit_axes(
    ax, 'false alarms (share of normal)', 'recall (share of anomalous)', 1
  )


def over(ax, lines: Sequence[tuple[str, np.ndarray, np.ndarray]], x: str) -> None:
  """F1 over a setting, a line each: its seeds, their mean, and what the paper prints.

  Args:
    ax: axes.
    lines: (name, [N, 3] of value, F1 of the mean, F1 quoted or nan, [M, 2] of value
      and F1 of every seed); F1 in 0..1.
    x: what the setting is called.
  """
  for index, (name, means, seeds) in enumerate(lines):
    style = {'color': f'C{index % 6}'}
    ax.plot(means[:, 0], 100 * means[:, 1], marker='|', label=name, **style)
    ax.plot(seeds[:, 0], 100 * seeds[:, 1], 'o', alpha=0.4, **style)
    if not np.isnan(means[:, 2]).all():
      label = f'{name}, quoted'
      ax.plot(means[:, 0], 100 * means[:, 2], 'x', markeredgewidth=2, markersize=9,
              label=label, **style)  # fmt: skip
  values = np.unique(np.concatenate([means[:, 0] for _, means, _ in lines]))
  if values.min() > 0 and values.max() > 10 * values.min():
    ax.set_xscale('log')
  ax.set_xticks(values, [f'{value:g}' for value in values], minor=False)
  ax.minorticks_off()
  ax.set(xlabel=x, ylabel='F1 (%)')
  ax.grid()
  plots.legend(ax, columns=1)
