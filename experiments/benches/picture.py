"""A picture of a suite's medians: a row of bars for each workload, in logarithms."""

import math
from typing import Any


def draw(results: list[dict[str, Any]], path: str) -> None:
  """Draws the variants that ran, first order ones paler.

  Args:
    results: the suite's, with `workload`, `variant`, `order` and `median_ms`.
    path: of the picture; its ending says of which format.
  """
  from matplotlib import figure  # matplotlib: not for --help

  ran = [row for row in results if math.isfinite(row.get('median_ms') or math.nan)]
  workloads = list(dict.fromkeys(row['workload'] for row in ran))
  variants = list(dict.fromkeys(row['variant'] for row in ran))
  size = (2.2 + 2.2 * max(len(workloads), 1), 0.8 + 0.26 * len(variants))
  image = figure.Figure(figsize=size, layout='constrained')
  panels = image.subplots(1, max(len(workloads), 1), sharey=True, squeeze=False)[0]
  for axes, workload in zip(panels, workloads):
    for row in (row for row in ran if row['workload'] == workload):
      color = 'tab:blue' if row['variant'].startswith('ours') else 'tab:gray'
      alpha = 0.5 if row.get('order') == 'first' else 1.0
      place = variants.index(row['variant'])
      bar = axes.barh(place, row['median_ms'], color=color, alpha=alpha)
      axes.bar_label(bar, [f'{row["median_ms"]:.3g}'], padding=2, fontsize=7)
    axes.set(xscale='log', title=workload)
    axes.margins(x=0.25)
    axes.spines[['top', 'right']].set_visible(False)
  panels[0].set_yticks(range(len(variants)), variants)
  panels[0].invert_yaxis()
  image.supxlabel('milliseconds')
  image.savefig(path, dpi=120)
