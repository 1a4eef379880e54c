"""Records per window, and where findings stand, as a figure."""

import datetime
from typing import Any

import numpy as np
from matplotlib import dates
from matplotlib.figure import Figure

from metalog_jax import clean

_MOST = 8  # findings that are drawn
_LONGEST = 100  # characters of a template


def plot(found: Any) -> Figure:
  """Records of each window; below, a row of marks for each of the first findings."""
  rows = found.window_rows
  drawn = found[:_MOST]
  size = (9, 2.4 + 0.25 * len(drawn))
  figure = Figure(figsize=size, layout='constrained')
  heights = [2.4, 0.25 * max(len(drawn), 1)]
  axes, marks = figure.subplots(2, sharex=True, height_ratios=heights)
  times = [row['first']['time'] for row in rows]
  timed = bool(times) and all(times)
  places: Any = [_moment(time) for time in times] if timed else np.arange(len(rows))
  axes.step(places, [row['records'] for row in rows], where='post', color='#59636e')
  axes.set_ylabel(f'records in {found.summary["window"]}', fontsize=8)
  axes.set_ylim(bottom=0)
  where = {row['id']: place for row, place in zip(rows, places)}
  for rank, item in enumerate(drawn):
    here = [where[name] for name in item.windows if name in where]
    if not here and timed and item.first.time:  # of a session, or of a silence
      here = [_moment(item.first.time)]
    marks.plot(here, [rank] * len(here), '|', color=f'C{rank}', ms=9, mew=2)
    text = clean.text(item.template)[:_LONGEST].replace('$', r'\$')
    place = marks.get_yaxis_transform()  # along the axes, at the rank
    marks.text(0.01, rank, text, transform=place, va='center', fontsize=8, alpha=0.6)
  names = [f'{rank} {item.kind}' for rank, item in enumerate(drawn, 1)]
  marks.set_yticks(range(len(drawn)), names, fontsize=8)
  marks.set_ylim(len(drawn) - 0.5, -0.5)
  marks.spines[['top', 'right']].set_visible(False)
  if timed:
    formatter = dates.ConciseDateFormatter(dates.AutoDateLocator())
    marks.xaxis.set_major_formatter(formatter)
  return figure


def _moment(text: str) -> datetime.datetime:
  return datetime.datetime.fromisoformat(text.removesuffix('Z'))
