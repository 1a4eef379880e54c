"""Records per window, and where findings stand, as a figure."""

import datetime
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def plot(found: Any) -> Figure:
  """A bar for each window, and a line for each of the first findings."""
  rows = found.window_rows
  figure = Figure(figsize=(9, 3), layout='constrained')
  axes = figure.add_subplot()
  times = [row['first']['time'] for row in rows]
  timed = bool(times) and all(times)
  parse = lambda text: datetime.datetime.fromisoformat(text.removesuffix('Z'))
  places: Any = [parse(time) for time in times] if timed else np.arange(len(rows))
  axes.step(places, [row['records'] for row in rows], where='post', color='#59636e')
  where = {row['id']: place for row, place in zip(rows, places)}
  for rank, item in enumerate(found[:8]):
    here = [where[name] for name in item.windows if name in where]
    if here:
      text = f'{item.kind}: {item.template[:50]}'.replace('$', r'\$')
      axes.axvspan(min(here), max(here), color=f'C{rank}', alpha=0.25, lw=3, label=text)
  axes.set_ylabel(f'records in {found.summary["window"]}')
  if axes.get_legend_handles_labels()[0]:
    axes.legend(fontsize=8, loc='upper left')
  return figure
