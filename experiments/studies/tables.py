"""The study's tables: what `measures` and `outcome` found, as blocks of text."""

from collections.abc import Sequence
from typing import Any

from experiments.studies import outcome as outcomes
from metalog_jax.meta import compare, gradients, study
from metalog_jax.report.document import elements

_PLAIN = {'±': '+-', '–': '-', '≥': '>=', '→': '->'}


def along(found: Sequence[dict[str, Any]]) -> elements.Table:
  """Ways by points: the whole gradient, the query's term, and the parts."""
  rows, of = [], []
  for point in found:
    for way, parts in point['ways'].items():
      if way in gradients.EXACT:
        continue
      whole = parts[compare.ALL]
      top = [name for name in parts if '/' not in name]
      of = [name for name in top if name not in (compare.ALL, study.QUERY)]
      cells = [_figure(whole['size']['mean']), _cosine(whole), _least(whole['cosine'])]
      cells += [_percent(whole['difference']), _figure(whole['ratio']['mean'], '.4g')]
      cells.append(_percent(parts[study.QUERY]['difference'], spread=False))
      cells += [_percent(parts[name]['difference'], spread=False) for name in of]
      rows.append([point['at'], way, *cells])
  head = ['at', 'way', '|exact|', 'cosine', 'least', 'difference %', 'length ratio']
  return elements.Table(
    head=[*head, 'of query term %', *(f'{name} %' for name in of)],
    rows=rows,
    caption='Mean ± standard deviation over tasks; least: the worst task; difference: '
    '|way - exact| / |exact|; the last columns are the same for a part of the '
    'objective or of the parameters. Where |exact| is next to nothing, relative '
    f'figures say little. {_exact(found)}',
    words=2,
  )


def _exact(found: Sequence[dict[str, Any]]) -> str:
  """How far the exact ways are from each other, at worst."""
  names = [way for way in found[0]['ways'] if way in gradients.EXACT]
  names = [way for way in names if way != study.REFERENCE]
  if not names:
    return ''
  every = [point['ways'][way][compare.ALL]['difference'] for point in found
           for way in names]  # fmt: skip
  worst = max(value for of in every for value in of['each'] if value is not None)
  return (
    f'Exact is {study.REFERENCE}; {", ".join(names)} differ by {worst:.1e} at most.'
  )


def grid(found: Sequence[dict[str, Any]], way: str) -> elements.Table:
  """Inner steps by inner learning rates: difference and cosine of a way."""
  rates = sorted({cell['inner_lr'] for cell in found})
  places = dict.fromkeys((cell['at'], cell['inner_steps']) for cell in found)
  of = {(c['at'], c['inner_steps'], c['inner_lr']): c['ways'].get(way) for c in found}
  order = list(dict.fromkeys(at for at, _ in places))
  rows = []
  for at, steps in sorted(places, key=lambda place: (order.index(place[0]), place[1])):
    row = [at, str(steps)]
    for rate in rates:
      parts = of.get((at, steps, rate))
      row.append('–' if parts is None else _pair(parts[compare.ALL]))
    rows.append(row)
  return elements.Table(
    head=['at', 'inner steps', *(f'rate {rate:g}' for rate in rates)],
    rows=rows,
    caption=f'{way}: difference from the exact gradient in per cent (cosine).',
    words=2,
  )


def costs(found: dict[str, dict[str, Any]]) -> elements.Table:
  rows = [
    [
      way,
      f'{1e3 * cost["seconds_per_step"]:.0f}',
      f'{cost["temporary_bytes"] / 2**20:.1f}',
      ('≥ ' if cost['open_loops'] else '') + f'{cost["flops"] / 1e9:.3g}',
      f'{cost["compile_seconds"]:.1f}',
      f'{cost["load"]:.1f}',
    ]
    for way, cost in found.items()
  ]
  return elements.Table(
    head=['way', 'ms a step', 'temporary MiB', 'GFLOP', 'compilation s', 'load'],
    rows=rows,
    caption='Of one whole meta-step. Load: processes that wanted to run on the machine '
    'then; where there were more than cores, times say little, memory and work do. '
    '≥: has a loop whose length is data, counted once.',
  )


def outcome(found: dict[str, Any]) -> elements.Table:
  """Figures of each seed's training, and differences by seed."""
  orders, names = list(found['measures']), list(outcomes.MEASURES)
  seeds = range(len(found['measures'][orders[0]][names[0]]))
  cell = lambda v: '–' if v is None else f'{100 * v:.2f}'
  rows = [
    [
      order,
      str(seed),
      *(cell(found['measures'][order][name][seed]) for name in names),
    ]
    for seed in seeds
    for order in orders
  ]
  rows += [
    [f'{order} - {orders[0]}', 'mean', *(_percent(by[name]) for name in names)]
    for order, by in found['paired'].items()
  ]
  return elements.Table(
    head=['order', 'seed', 'F1 %', 'AUPRC %', 'distinct F1 %'],
    rows=rows,
    caption=f'On {found["test"]}, {len(seeds)} seeds; a seed has the same labels, '
    'initial weights and batches in every order.',
    words=2,
  )


def text(table: elements.Table) -> str:
  """A table for a terminal."""
  lines = [list(table.head), *(list(row) for row in table.rows)]
  lines = [[ascii_of(cell) for cell in line] for line in lines]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  side = lambda i: str.ljust if i < table.words else str.rjust
  return '\n'.join(
    '  '.join(side(i)(cell, widths[i]) for i, cell in enumerate(line)).rstrip()
    for line in lines
  )


def ascii_of(text: str) -> str:
  """What every terminal shows."""
  for sign, plain in _PLAIN.items():
    text = text.replace(sign, plain)
  return text


def _figure(value: float | None, form: str = '.3g') -> str:
  if value is None:
    return '–'
  return f'{value:,.0f}' if abs(value) >= 1000 else format(value, form)


def _cosine(part: dict[str, Any]) -> str:
  mean, std = part['cosine']['mean'], part['cosine']['std']
  if mean is None:
    return '–'
  return f'{mean:.4f}' + ('' if std is None else f' ± {std:.4f}')


def _least(value: dict[str, Any]) -> str:
  known = [v for v in value['each'] if v is not None]
  return f'{min(known):.4f}' if known else '–'


def _pair(part: dict[str, Any]) -> str:
  cosine = part['cosine']['mean']
  if cosine is None:
    return '–'
  return f'{_percent(part["difference"], spread=False)} ({cosine:.4f})'


def _percent(value: dict[str, Any], spread: bool = True) -> str:
  mean, std = value['mean'], value['std']
  if mean is None:
    return '–'
  text = _figure(100 * mean)
  return text if std is None or not spread else f'{text} ± {_figure(100 * std)}'
