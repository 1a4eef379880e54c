"""Labels held against findings and windows: what is confirmed, and what was missed."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax.evaluation import metrics
from metalog_jax.logs import label_ranges, labels
from metalog_jax.scanning.findings import Finding


class Labelled(NamedTuple):
  """Rows with labels, and what is said of these."""

  rows: tuple[Callable[[], Iterable[dict[str, Any]]], list[dict[str, Any]]]
  summary: dict[str, Any]  # of scan.json
  warnings: list[str]


def apply(
  path: str,
  session_rows: Callable[[], Iterable[dict[str, Any]]],
  window_rows: list[dict[str, Any]],
  items: Sequence[Finding],
) -> Labelled:
  """Gives rows of windows.jsonl a `label`, and normal findings the state known.

  Args:
    path: of a file as `labels.read` takes it; ids are those of windows, sessions or
      findings.

  Raises:
    UserError: the file is wrong.
  """
  known = labels.read(path)
  of_sessions = list(session_rows())
  rows = [*of_sessions, *window_rows]
  by_id = dict(known.table.iter_rows())
  used = set()
  unit = rows[0]['unit'] if rows else ''
  values = known.ranges.label(_table([(row['first'], row['last']) for row in rows]))
  for row, value in zip(rows, values.tolist()):
    if row['id'] in by_id:
      value = by_id[row['id']]
      used.add(row['id'])
    row['label'] = value if value >= 0 else None
  ends = [(item.first._asdict(), item.last._asdict()) for item in items]
  for item, value in zip(items, known.ranges.label(_table(ends)).tolist()):
    if item.finding_id in by_id:
      value = by_id[item.finding_id]
      used.add(item.finding_id)
    elif known.ranges.ranges and all(x.label for x in known.ranges.ranges):
      value = max(value, 0) or -1  # outside a list of incidents nothing is vouched for
    if value == 0 and item.state == 'active':
      item.state, item.reason = 'known', f'normal in {path}'
    elif value == 1 and item.state == 'known':
      item.state, item.reason = 'active', f'an anomaly in {path}'
  unmatched = [*(name for name in by_id if name not in used), *known.ranges.unmatched]
  total = len(by_id) + len(known.ranges.ranges)
  judged = [row for row in rows if row['label'] is not None and row['unit'] == unit]
  summary = {
    'path': path,
    'labels': total,
    'unmatched': len(unmatched),
    'first_unmatched': unmatched[:10],
    'unit': unit,
    **_quality(judged),
  }
  said = []
  if unmatched:
    said.append(
      f'{path}: {len(unmatched):,} of {total:,} labels match no window, session or '
      f'finding: {", ".join(unmatched[:3])}'
    )
  return Labelled((functools.partial(iter, of_sessions), window_rows), summary, said)


def _quality(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """How good verdicts and scores of labelled rows are."""
  truth = np.array([row['label'] for row in rows], bool)
  odd = np.array([row['anomalous'] for row in rows], bool)
  hits = int((truth & odd).sum())
  quality: dict[str, Any] = {
    'judged': len(rows),
    'anomalies': int(truth.sum()),
    'precision': hits / max(int(odd.sum()), 1),
    'recall': hits / max(int(truth.sum()), 1),
  }
  quality['f1'] = 2 * hits / max(int(odd.sum() + truth.sum()), 1)
  if truth.any() and not truth.all():
    scores = np.array([row['score'] for row in rows], float)
    quality['auprc'] = metrics.auprc(truth.astype(int), scores)
  return quality


def _table(ends: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> pl.DataFrame:
  """What `Ranges.label` takes, of first and last places."""
  rows = [
    (
      label_ranges.seconds(_offset(first['time'])),
      label_ranges.seconds(_offset(last['time'])),
      first['file'],
      float(first['line']),
      float(last['line']) if last['file'] == first['file'] else float('inf'),
    )
    for first, last in ends
  ]
  schema = {
    'start': pl.Float64, 'end': pl.Float64, 'file': pl.String, 'first': pl.Float64,
    'last': pl.Float64,
  }  # fmt: skip
  return pl.DataFrame(rows, schema=schema, orient='row')


def _offset(time: str | None) -> str | None:
  return time and time.removesuffix('Z')
