"""Tables of `few_shot`'s records, as Markdown."""

import pathlib

import polars as pl

from experiments.studies import few_shot, markdown
from metalog_jax import atomic
from metalog_jax.evaluation import metrics

FILE = 'few_shot.md'
PAIRS = (  # what one idea adds where all else is the same
  ('meta-learned, adapted', 'pooled, same steps'),
  ('meta-learned, fine-tuned', 'pooled, fine-tuned'),
  ('meta-learned, fine-tuned', 'from scratch'),
  ('meta-learned, adapted', 'from scratch'),
  ('meta-learned, adapted', 'meta-learned, not adapted'),
  ('the same, with pseudo-labels', 'meta-learned, adapted'),
  ('meta-learned, fine-tuned', few_shot.LINEAR),
  ('meta-learned, fine-tuned', few_shot.FLOOR),
)
NAMES = {'f1': 'F1', 'auprc': 'AUPRC'}


def write(records: list[few_shot.Record], out: pathlib.Path) -> str:
  """Writes few_shot.json and few_shot.md into `out`; returns the second."""
  atomic.write_json(out / 'few_shot.json', records)
  parts = ['# Few labels of a system left out', markdown.table(gains(records), words=2)]
  parts.append(
    'Points of F1 over all sessions, mean ± spread over left-out systems and seeds, '
    'and how often it is more than none.'
  )
  kinds = [(kind, 'f1') for kind in metrics.KINDS]
  for kind, measure in [*kinds, ('all', 'auprc')]:
    parts.append(markdown.table(by_labels(records, kind, measure)))
    parts.append(
      f'{NAMES[measure]} over {kind} sessions, per cent; threshold 0.5. The fixed '
      'floor is picked before the test, the best one after seeing it.'
    )
  if any('pseudo' in record for record in records):
    parts.append(markdown.table(pseudo_labels(records), words=2))
    parts.append('Pseudo-labels of the last round.')
  text = '\n\n'.join(parts) + '\n'
  atomic.write_text(out / FILE, text)
  return text


def by_labels(
  records: list[few_shot.Record], kind: str, measure: str = 'f1'
) -> pl.DataFrame:
  """Per cent, mean ± spread over seeds; a column a target and number of labels."""
  frame = _frame(records).filter(pl.col('kind') == kind)
  cell = pl.format('{}, {}', 'target', 'labels').alias('cell')
  values = frame.group_by('method', cell, maintain_order=True).agg(
    pl.col(measure) * 100
  )
  wide = _spreads(values, measure).pivot('cell', index='method', values=measure)
  methods = pl.DataFrame({'method': few_shot.METHODS})
  wide = methods.join(wide, on='method', how='left', maintain_order='left')
  return wide.rename({'method': 'labels a class'})


def gains(records: list[few_shot.Record]) -> pl.DataFrame:
  """Points of F1 that one arm is above another on the same labels."""
  frame = _frame(records).filter(pl.col('kind') == 'all')
  frame = frame.with_columns(pl.col('f1').fill_null(0))  # nothing was alerted on
  place = ['target', 'labels', 'seed']
  f1 = frame.pivot('method', index=place, values='f1', maintain_order=True)
  rows = []
  for arm, other in PAIRS:
    row = {'arm': arm, 'above': other}
    for (labels,), cells in f1.group_by('labels', maintain_order=True):
      points = []
      if arm in cells.columns and other in cells.columns:
        points = (100 * (cells[arm] - cells[other])).drop_nulls().to_list()
      wins = sum(point > 0 for point in points)
      text = f'{markdown.spread(points)} ({wins} of {len(points)})'
      row[labels] = text if points else '–'
    rows.append(row)
  return pl.DataFrame(rows)


def pseudo_labels(records: list[few_shot.Record]) -> pl.DataFrame:
  """How many pseudo-labels the last round had, and the share of them that is true."""
  last = [
    {'left out': r['target'], 'labels a class': r['labels'], **r['pseudo'][-1]}
    for r in records
    if r.get('pseudo')
  ]
  share = 100 * pl.col('right') / pl.max_horizontal('given', 1)
  values = (
    pl.DataFrame(last)
    .group_by('left out', 'labels a class', maintain_order=True)
    .agg(pl.col('given').alias('pseudo-labels'), share.alias('of them true, per cent'))
  )
  return _spreads(values, 'pseudo-labels', 'of them true, per cent')


def _frame(records: list[few_shot.Record]) -> pl.DataFrame:
  columns = ('target', 'labels', 'seed', 'method', 'kind', 'f1', 'auprc')
  plain = [{name: record.get(name) for name in columns} for record in records]
  numbers = {'f1': pl.Float64, 'auprc': pl.Float64}
  return pl.DataFrame(plain, schema_overrides=numbers, infer_schema_length=None)


def _spreads(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
  """Lists of numbers as text."""
  texts = lambda column: [markdown.spread(values) for values in frame[column].to_list()]
  return frame.with_columns(pl.Series(column, texts(column)) for column in columns)
