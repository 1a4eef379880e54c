"""The tables of `gradient_study`, as Markdown."""

import math
import pathlib
from typing import Any

import polars as pl

from experiments.studies import gradient_distances as distances
from experiments.studies import markdown
from metalog_jax import atomic
from metalog_jax.report import results as report_results

FILE = 'meta_gradients.md'
_ALONG = (
  'Mean ± standard deviation over tasks. worst: the lowest cosine of a task; '
  'difference: the length of mode - exact over that of exact; query term: the same of '
  'the gradient less that of the support. Where exact is next to nothing, relative '
  'figures say little.'
)


def write(results: dict[str, Any], out: pathlib.Path) -> str:
  """Writes the report into `out`, and returns it."""
  text = render(results)
  atomic.write_text(out / FILE, text)
  return text


def render(results: dict[str, Any]) -> str:
  """The report; sections that nothing was measured for are left out."""
  settings = results['settings']
  systems = f'{" + ".join(settings["source"])} → {settings["target"] or "no target"}'
  parts = [
    '# Modes of the meta-gradient',
    f'{settings["detector"]}, {systems}; inner rate {settings["inner_lr"]:g}, '
    f'{settings["inner_steps"]} inner steps, seed {settings["seed"]}; '
    f'{settings["tasks"]} tasks.',
  ]
  if along := results['along']:
    table = markdown.table(along_table(along), words=2)
    parts += ['## Along training', table, _ALONG]
  if results['grid']:
    parts.append('## Over the inner loop')
    for mode in dict.fromkeys(record['mode'] for record in results['grid']):
      parts.append(markdown.table(grid_table(results['grid'], mode), words=2))
      parts.append(f'{mode}: difference from the exact gradient in per cent (cosine).')
  return '\n\n'.join(parts) + '\n'


def along_table(along: list[dict[str, Any]]) -> pl.DataFrame:
  """Modes by points: the whole gradient and the query's term."""
  rows: dict[tuple[str, str], dict[str, str]] = {}
  for record in along:
    mode, part = record['mode'], record['part']
    row = rows.setdefault((record['at'], mode), {'at': record['at'], 'mode': mode})
    percent = [100 * value for value in record['difference']]
    if part == distances.ALL:
      row['exact'] = _figure(_mean(record['size']))
      row['cosine'] = markdown.spread(record['cosine'], '.4f')
      row['worst'] = f'{min(_known(record["cosine"]), default=math.nan):.4f}'
      row['difference %'] = markdown.spread(percent, '.3g')
      row['length ratio'] = f'{_mean(record["ratio"]):.4g}'
    else:
      row[f'{part} %'] = _figure(_mean(percent))
  return pl.DataFrame(list(rows.values()))


def grid_table(grid: list[dict[str, Any]], mode: str) -> pl.DataFrame:
  """Inner steps by inner learning rates: difference and cosine of a mode."""
  cells = pl.DataFrame(
    [
      {
        'at': record['at'],
        'inner steps': record['inner_steps'],
        'rate': record['inner_lr'],
        'cell': f'{_figure(100 * _mean(record["difference"]))} '
        f'({_mean(record["cosine"]):.4f})',
      }
      for record in grid
      if record['mode'] == mode
    ]
  ).sort('inner steps', 'rate')
  order = {at: i for i, at in enumerate(dict.fromkeys(r['at'] for r in grid))}
  wide = cells.pivot('rate', index=['at', 'inner steps'], values='cell')
  wide = wide.sort(pl.col('at').replace_strict(order), 'inner steps')
  rename = {name: f'rate {float(name):g}' for name in wide.columns[2:]}
  return wide.rename(rename)


def _mean(values: list[float]) -> float:
  return report_results.spread(_known(values)).mean


def _known(values: list[float]) -> list[float]:
  return [value for value in values if math.isfinite(value)]


def _figure(value: float) -> str:
  if math.isnan(value):
    return '–'
  return f'{value:,.0f}' if abs(value) >= 1000 else format(value, '.3g')
