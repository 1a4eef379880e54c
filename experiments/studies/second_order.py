"""Exact, first-order and joint training, compared over the same seeds.

A pair is one seed of one cell: same labels, batches and first weights. Differences are
tested by exchanging the signs of pairs (exact up to 2^13 of them) and by Wilcoxon's
signed ranks; p is adjusted over the rates (Holm). The effect is the mean difference,
with a percentile bootstrap over pairs (cells kept), and the rank-biserial
correlation: 1 if every difference is positive, -1 if none is.

References:
  Kerby, The simple difference formula, Comprehensive Psychology 3, 2014.
  Efron & Tibshirani, An Introduction to the Bootstrap, 1993.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import stats

from experiments.studies import markdown
from experiments.sweeps import significance, sweep_folder
from metalog_jax import atomic, errors
from metalog_jax.report import canvas, results

JOINT = 'joint'
CONTRASTS = (('exact', 'first'), ('exact', JOINT), ('first', JOINT))
NAMES = {'exact': 'exact', 'first': 'first order', JOINT: 'joint training'}
MEASURES = {'f1': 'F1', 'auprc': 'AUPRC'}  # over all sessions
RESAMPLES = 9999
ALL = 'all cells'


class Effect(NamedTuple):
  """First less second, over the pairs of some cells."""

  mean: float
  low: float  # of the 95 % interval
  high: float
  ranks: float  # rank-biserial correlation
  p: float  # of exchanged signs, two-sided
  wilcoxon: float
  pairs: int
  better: int  # pairs in which the first is better


def write(sweep: str, out: pathlib.Path, page: pathlib.Path | None) -> str:
  """Writes the tables, every run as CSV, and the figure; returns the tables.

  Raises:
    UserError: no sweep, none of its trials is finished, or `page` has no marks.
  """
  if not sweep_folder.is_sweep(sweep):
    raise errors.UserError(f'--sweep={sweep} is no folder that a sweep has written')
  study = sweep_folder.read(sweep)
  frame = runs(study)
  if frame.is_empty():
    raise errors.UserError(f'--sweep={sweep}: no trial is finished yet')
  text = render(study, frame)
  name = 'second_order'
  image = canvas.png(
    canvas.Figure(name, '', draw, (contrasts(frame, 'f1'),), (9.0, 3.6))
  )
  atomic.write_text(out / f'{name}.md', text)
  atomic.write_text(out / f'{name}.csv', frame.write_csv())
  images = [out / f'{name}.png']
  if page:
    images.append(page.parent / 'images' / f'{name}.png')
    markdown.renew(page, text)
  for path in images:
    with atomic.writing(path) as partial:
      partial.write_bytes(image)
  return text


def runs(study: sweep_folder.Sweep) -> pl.DataFrame:
  """Every finished run: cell, mode, rate (0 of joint training), seed, measures in %."""
  rows = [
    {
      'cell': row.setting,
      'mode': row.key.partition('-')[0],
      'rate': row.x or 0.0,
      'seed': result['seed'],
      'steps': result['steps'],
    }
    | {m: 100 * results.measures(result, row.test, 'all')[m] for m in MEASURES}
    for row in study.rows
    for result in row.results
  ]
  return pl.DataFrame(rows)


def contrasts(frame: pl.DataFrame, measure: str) -> list[dict[str, Any]]:
  """Every contrast at every rate, over all cells and over each, with its `Effect`."""
  records = []
  for first, second in CONTRASTS:
    family = []
    for rate in sorted(set(frame['rate']) - {0.0}):
      pairs = _pairs(frame, first, second, rate, measure)
      if pairs.is_empty():
        continue
      for cell in (ALL, *dict.fromkeys(pairs['cell'])):
        some = pairs if cell == ALL else pairs.filter(pl.col('cell') == cell)
        record = {'first': first, 'second': second, 'rate': rate, 'cell': cell}
        record['effect'] = effect(some['difference'].to_numpy(), some['cell'].to_list())
        records.append(record)
        family += [record] if cell == ALL else []
    adjusted = significance.holm([record['effect'].p for record in family])
    for record, p in zip(family, adjusted, strict=True):
      record['adjusted'] = p
  return records


def _pairs(
  frame: pl.DataFrame, first: str, second: str, rate: float, measure: str
) -> pl.DataFrame:
  """cell, seed, difference: of the seeds that both were run with."""

  def part(mode: str) -> pl.DataFrame:
    at = 0.0 if mode == JOINT else rate
    chosen = (pl.col('mode') == mode) & (pl.col('rate') == at)
    return frame.filter(chosen).select('cell', 'seed', measure)

  both = part(first).join(part(second), on=('cell', 'seed'), maintain_order='left')
  difference = pl.col(measure) - pl.col(f'{measure}_right')
  return both.select('cell', 'seed', difference.alias('difference'))


def effect(differences: np.ndarray, cells: Sequence[str]) -> Effect:
  """The effect of pairs; see the head of this file.

  >>> effect(np.array([1.0, 2.0, 3.0, 4.0]), 'aaaa')[3:]
  (1.0, 0.125, 0.125, 4, 4)
  """
  differences = np.round(differences, 9)  # equal ones are ties, whatever their rounding
  num, rng = len(differences), np.random.default_rng(0)
  groups = [np.flatnonzero(np.array([*cells]) == cell) for cell in dict.fromkeys(cells)]
  drawn = [
    group[rng.integers(0, len(group), (RESAMPLES, len(group)))] for group in groups
  ]
  means = differences[np.concatenate(drawn, 1)].mean(1)
  low, high = np.quantile(means, [0.025, 0.975]) if num > 1 else (math.nan, math.nan)
  ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
  total = np.abs(ranks).sum()
  p = wilcoxon = 1.0
  if np.any(differences):
    p = stats.permutation_test(
      (differences,),
      np.mean,
      permutation_type='samples',
      n_resamples=RESAMPLES,
      rng=rng,
    ).pvalue
    wilcoxon = stats.wilcoxon(differences).pvalue
  return Effect(
    float(differences.mean()),
    float(low),
    float(high),
    float(ranks.sum() / total) if total else 0.0,
    float(p),
    float(wilcoxon),
    num,
    int((differences > 0).sum()),
  )


def render(study: sweep_folder.Sweep, frame: pl.DataFrame) -> str:
  """The tables as Markdown."""
  parts = ['', _budget(study, frame)]
  for measure, name in MEASURES.items():
    parts.append(f'**{name} over all sessions**, per cent, mean ± sample deviation:')
    parts.append(markdown.table(_levels(study, frame, measure)))
    parts.append(f'**Differences in {name}**, points:')
    parts.append(markdown.table(_effects(study, contrasts(frame, measure)), words=2))
  parts.append('![Differences in F1 with their intervals](images/second_order.png)')
  if missing := _missing(study, frame):
    parts.append(f'**Not run:** {missing}.')
  return '\n\n'.join(parts) + '\n\n'


def _budget(study: sweep_folder.Sweep, frame: pl.DataFrame) -> str:
  """What all runs have in common."""
  configs = [run.config['method'] for row in study.rows for run in row.runs]
  fields = {
    'layers of hidden units': {
      f'{c["network"]["layers"]} x {c["network"]["hidden"]}' for c in configs
    },
    'meta-steps at most': {c['training']['steps'] for c in configs},
    'inner steps': {c['meta']['inner_steps'] for c in configs},
    'weight of the target': {c['meta']['target_weight'] for c in configs},
    'sessions a batch': {c['sampling']['batch'] for c in configs},
  }
  said = '; '.join(
    f'{name} {", ".join(map(str, sorted(values)))}' for name, values in fields.items()
  )
  seeds = sorted(set(frame['seed']))
  return (
    f'{len(frame)} runs of MetaLog, seeds {", ".join(map(str, seeds))}; {said}. The '
    'interval is a bootstrap of 95 %; r is the rank-biserial correlation; p is of '
    "exchanged signs, after it Wilcoxon's, and in the rows of all cells Holm's over "
    'the rates.'
  )


def _levels(
  study: sweep_folder.Sweep, frame: pl.DataFrame, measure: str
) -> pl.DataFrame:
  order = list(dict.fromkeys(frame['cell']))
  rows: dict[tuple[str, float], dict[str, str]] = {}
  for mode in NAMES:
    part = frame.filter(pl.col('mode') == mode)
    for rate in sorted(set(part['rate'])):
      name = NAMES[mode] + (f', α = {rate:g}' if rate else ', α = 0')
      rows[mode, rate] = {'training': name}
      for cell in order:
        chosen = part.filter((pl.col('rate') == rate) & (pl.col('cell') == cell))
        spread = markdown.spread(chosen[measure].to_list())
        rows[mode, rate][study.settings.get(cell, cell)] = spread
  return pl.DataFrame([*rows.values()])


def _effects(study: sweep_folder.Sweep, records: list[dict[str, Any]]) -> pl.DataFrame:
  rows = []
  for record in records:
    one: Effect = record['effect']
    p = f'{one.p:.3f}, {one.wilcoxon:.3f}'
    if 'adjusted' in record:
      p += f', {record["adjusted"]:.3f}'
    rows.append(
      {
        'less': f'{NAMES[record["first"]]} - {NAMES[record["second"]]}',
        'cell': study.settings.get(record['cell'], record['cell']),
        'α': f'{record["rate"]:g}',
        'mean [95 %]': f'{one.mean:+.1f} [{one.low:+.1f}, {one.high:+.1f}]',
        'r': f'{one.ranks:+.2f}',
        'better in': f'{one.better} of {one.pairs}',
        'p': p,
      }
    )
  return pl.DataFrame(rows)


def _missing(study: sweep_folder.Sweep, frame: pl.DataFrame) -> str:
  """Cells without a run, and rows that lack seeds."""
  seeds, said = set(frame['seed']), []
  for setting, name in study.settings.items():
    rows = [row for row in study.rows if row.setting == setting]
    bare = [row for row in rows if len(row.runs) < len(seeds)]
    if len(bare) == len(rows) and not any(row.runs for row in rows):
      said.append(f'{name} (nothing)')
    elif bare:
      lacking = ', '.join(
        f'{row.name} ({len(row.runs)} of {len(seeds)} seeds)' for row in bare
      )
      said.append(f'{name}: {lacking}')
  return '; '.join(said)


def draw(ax, records: list[dict[str, Any]]) -> None:
  """Mean differences with their intervals: a group a contrast, a mark a rate."""
  cells = list(dict.fromkeys(record['cell'] for record in records))
  rates = sorted({record['rate'] for record in records})
  labels, place = [], 0.0
  for first, second in CONTRASTS:
    start = place
    for rate in rates:
      for record in records:
        if (record['first'], record['second'], record['rate']) != (first, second, rate):
          continue
        one: Effect = record['effect']
        index = cells.index(record['cell'])
        x = place + 0.8 * index / len(cells)
        ax.errorbar(
          [x],
          [one.mean],
          [[one.mean - one.low], [one.high - one.mean]],
          fmt='s' if index == 0 else 'o',
          markersize=5 if index == 0 else 3,
          color='gray' if index == 0 else f'C{(index - 1) % 6}',
          label=record['cell'] if record['rate'] == rates[0] and not start else None,
        )
      labels.append((place + 0.3, f'{rate:g}'))
      place += 1.0
    middle, name = (start + place) / 2 - 0.2, f'{NAMES[first]} - {NAMES[second]}'
    ax.text(middle, 1.02, name, transform=ax.get_xaxis_transform(), ha='center')
    place += 0.6
  ax.axhline(0, linewidth=0.8, color='gray')
  ax.set_xticks([x for x, _ in labels], [text for _, text in labels])
  ax.set(xlabel='inner rate α', ylabel='difference in F1 (points)')
  ax.grid(axis='y')
  if labels:
    ax.legend(fontsize='small', loc='upper left', bbox_to_anchor=(1.0, 1.0))
