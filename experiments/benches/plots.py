"""Figures of a report: bars where variants are compared, curves where sizes grow."""

import pathlib
from typing import Any

from metalog_jax import atomic, errors


def draw(report: dict[str, Any], path: pathlib.Path) -> None:
  """Writes the report's figure; the ending of `path` says in which format.

  Raises:
    UserError: matplotlib is not installed.
  """
  try:
    import matplotlib  # an extra
  except ImportError as error:
    raise errors.UserError(f'--plot needs matplotlib: {error}') from error
  matplotlib.use('Agg')
  from matplotlib import pyplot as plt  # after the choice of a backend

  figure = (_curves if 'growth' in report else _bars)(plt, report)
  figure.tight_layout()
  with atomic.writing(path) as partial:
    figure.savefig(partial, dpi=120)
  plt.close(figure)


def _bars(plt, report: dict[str, Any]):
  """Medians with their spread, the fastest on top, a panel for each workload."""
  rows = [row for row in report['results'] if row['median_ms']]
  names = list(dict.fromkeys(row['workload'] for row in rows)) or ['nothing measured']
  tall = max(sum(row['workload'] == name for row in rows) for name in names)
  figure, panels = plt.subplots(
    1, len(names), figsize=(7 * len(names), 1.5 + 0.3 * tall), squeeze=False
  )
  for name, panel in zip(names, panels[0]):
    shown = [row for row in rows if row['workload'] == name]
    shown.sort(key=lambda row: -row['median_ms'])
    panel.barh(
      [row['variant'] for row in shown],
      [row['median_ms'] for row in shown],
      xerr=[row['spread_ms'] / 2 for row in shown],
      color=[_color(row) for row in shown],
    )
    panel.set(xscale='log', xlabel='ms (median; bar: spread)', title=name)
  return figure


def _color(row: dict[str, Any]) -> str:
  """Ours, peers, and in grey what is measured only to explain."""
  if row['control']:
    return '0.7'
  return {'jax': 'tab:blue', 'metalog_jax': 'tab:blue'}.get(
    row['framework'], 'tab:orange'
  )


def _curves(plt, report: dict[str, Any]):
  """Time above, memory below, a column for each size that grows."""
  growth = report['growth']
  kinds = {'median_ms': ('time', 'ms'), 'temp_mib': ('memory', 'MiB of temporaries')}
  figure, panels = plt.subplots(
    2, len(growth), figsize=(4 * len(growth), 7), squeeze=False
  )
  for line, (key, (kind, unit)) in zip(panels, kinds.items()):
    for panel, (axis, curves) in zip(line, growth.items()):
      for name, slopes in curves.items():
        points = [
          (row['value'], row[key])
          for row in report['results']
          if (row['workload'], row['variant']) == (axis, name) and row[key]
        ]
        if points:
          panel.loglog(*zip(*points), marker='o', label=f'{name} ~ {slopes[kind]}')
      panel.set(xlabel=axis, ylabel=unit)
      if panel.lines:
        panel.legend(fontsize='small')
  return figure
