"""What was read and how far it can be trusted; and rows of windows.jsonl."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from metalog_jax import clean
from metalog_jax.scanning import windows
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.findings import IN_BASELINE, Finding

_READABLE = 0.9  # share of lines, or of times, below which a warning is due
_FEW = 20  # windows, below which little can be said
_PLACE = ('file', 'line', 'time')


def window_rows(counted: Counted, items: Sequence[Finding]) -> Iterator[dict[str, Any]]:
  """A row of windows.jsonl for each window that holds a record."""
  by_window: dict[str, list[Finding]] = {}
  for item in items:
    for name in item.windows:
      by_window.setdefault(name, []).append(item)
  place = lambda end: [getattr(pl.col(f'{end}_{name}'), end)() for name in _PLACE]
  whole = counted.cells.filter(pl.col('template') < len(counted.texts))
  table = whole.sort('row', 'first_line').group_by('row', maintain_order=True)
  rows = table.agg(
    pl.col('count').sum(), pl.len().alias('templates'), *place('first'), *place('last')
  )
  for row in rows.iter_rows(named=True):
    name = counted.window_name(row['row'])
    here = by_window.get(name, [])
    yield {
      'id': name,
      'unit': 'window',
      **{
        end: windows.place(row, end, counted.files)._asdict()
        for end in ('first', 'last')
      },
      'records': row['count'],
      'templates': row['templates'],
      'score': round(sum(item.score for item in here), 3),
      'p_value': min((item.p_value for item in here), default=1.0),
      'anomalous': any(item.state == 'active' for item in here),
      'findings': [item.finding_id for item in here],
    }


def warnings(
  counter: Any,
  inputs: Sequence[dict[str, Any]],
  counted: Counted | None,
  items: Sequence[Finding],
  is_compared: bool,
) -> list[str]:
  """What limits the findings, in sentences."""
  said = []
  for item in inputs:
    path = os.path.basename(str(item.get('path', ''))) or str(item.get('path', ''))
    if reason := item.get('skipped'):
      said.append(f'{path} was skipped: {reason}')
      continue
    said += [f'{path}: {note}' for note in item.get('notes', ())]
    for name, what, flag in (
      ('fitted', 'lines fit the format', '--format'),
      ('times', 'times could be read', '--format with a group named time'),
    ):
      share = item.get(name)
      if share is not None and share < _READABLE and item.get('lines'):
        found = f' {item.get("format")}' if name == 'fitted' else ''
        said.append(f'{path}: {share:.1%} of the {what}{found}; see {flag}')
  if counted is None:
    return [*said, 'no record was read: there is nothing to look for']
  if not is_compared:
    said.append(
      'no --baseline: this log is its own baseline, and what is in all of it is not '
      'found'
    )
    if counted.size < _FEW:
      said.append(
        f'{clean.counted(counted.records, "record")} in '
        f'{clean.counted(counted.size, "window")}: too few to judge how often a '
        'message comes; severe and single ones are found alone'
      )
  if num := counter.strays:
    said.append(
      f'{clean.counted(num, "time")} {"are" if num > 1 else "is"} far from all those '
      'around, and not believed'
    )
  if not counter.windows.timed:
    said.append('no time was read: silences cannot be found, windows are of records')
  if all(item.reason == IN_BASELINE for item in items):
    said.append(_nothing(counted, is_compared))
  return said


def _nothing(counted, is_compared) -> str:
  against = 'the baseline' if is_compared else 'the rest of the log'
  return (
    f'nothing found: no severe record that is no habit, and no template among '
    f'{len(counted.ids):,} whose counts differ from {against} beyond the '
    'false-alarm rate'
  )
