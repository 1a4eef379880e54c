"""Labels held against findings and windows: what is confirmed, and what was missed."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import clean
from metalog_jax.evaluation import metrics
from metalog_jax.logs import label_ranges, labels
from metalog_jax.scanning.findings import Finding


class Labelled(NamedTuple):
  """Rows with labels, and what is said of these."""

  rows: tuple[Callable[[], Iterable[dict[str, Any]]], list[dict[str, Any]]]
  summary: dict[str, Any]  # of scan.json
  warnings: list[str]


def apply(
  known: labels.Labels,
  session_rows: Callable[[], Iterable[dict[str, Any]]],
  window_rows: list[dict[str, Any]],
  items: Sequence[Finding],
) -> Labelled:
  """Gives rows of windows.jsonl a `label`, and normal findings the state known.

  Args:
    known: their ids are those of windows, sessions or findings.
  """
  path, by_id, used = known.input.path, known.by_id, set()
  ranges = label_ranges.Ranges(known.ranges.ranges)
  of_sessions = list(session_rows())
  rows = [*of_sessions, *window_rows]
  values = ranges.label(_table([(row['first'], row['last']) for row in rows]))
  for row, value in zip(rows, values.tolist()):
    if row['id'] in by_id:
      value = by_id[row['id']]
      used.add(row['id'])
    row['label'] = value if value >= 0 else None
  ends = [(item.first._asdict(), item.last._asdict()) for item in items]
  for item, value in zip(items, ranges.label(_table(ends)).tolist()):
    if item.finding_id in by_id:
      value = by_id[item.finding_id]
      used.add(item.finding_id)
    elif ranges.ranges and all(x.label for x in ranges.ranges):
      value = max(value, 0) or -1  # outside a list of incidents nothing is vouched for
    if value == 0 and item.state == 'active':
      item.state, item.reason = 'known', f'normal in {path}'
    elif value == 1 and item.state == 'known':
      item.state, item.reason = 'active', f'an anomaly in {path}'
  unmatched = [*(name for name in by_id if name not in used), *ranges.unmatched]
  total = len(by_id) + len(ranges.ranges)
  judged = [row for row in rows if row['label'] is not None]
  unit = judged[0]['unit'] if judged else rows[0]['unit'] if rows else ''
  judged = [row for row in judged if row['unit'] == unit]
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
      f'{path}: {len(unmatched):,} of {clean.counted(total, "label")} '
      f'{"matches" if len(unmatched) == 1 else "match"} no window, session or finding: '
      f'{", ".join(unmatched[:3])}'
    )
  said += _one_sided(path, judged)
  return Labelled((functools.partial(iter, of_sessions), window_rows), summary, said)


def vouched(
  known: labels.Labels, rows: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
  """Rows whose label was said: outside a list of incidents nothing is vouched for."""
  incidents = all(item.label for item in known.ranges.ranges)
  named = set(known.table['id'])
  return [row for row in rows if not incidents or row['label'] or row['id'] in named]


def _one_sided(path: str, judged: Sequence[dict[str, Any]]) -> list[str]:
  """A sentence where all labels are of one kind."""
  given = {row['label'] for row in judged}
  if len(given) != 1:
    return []
  unit, is_one = judged[0]['unit'], len(judged) == 1
  what = (
    f'the one labelled {unit} is'
    if is_one
    else f'all {len(judged):,} labelled {unit}s are'
  )
  if given == {1}:
    return [
      f'{path}: {what} {"an anomaly" if is_one else "anomalies"} and none is normal: '
      'false alarms cannot be counted, and nothing that is found is called normal; '
      'label some normal ones too'
    ]
  return [
    f'{path}: {what} normal and none is an anomaly: how many anomalies are found '
    'cannot be said, and what is like one cannot be ranked higher; label some '
    'anomalies too'
  ]


def _quality(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """How good verdicts and scores of labelled rows are; None where nothing says."""
  truth = np.array([row['label'] for row in rows], bool)
  odd = np.array([row['anomalous'] for row in rows], bool)
  hits = int((truth & odd).sum())
  quality: dict[str, Any] = {
    'judged': len(rows),
    'anomalies': int(truth.sum()),
    'precision': hits / int(odd.sum()) if odd.any() else None,
    'recall': hits / int(truth.sum()) if truth.any() else None,
  }
  quality['f1'] = 2 * hits / int(odd.sum() + truth.sum()) if truth.any() else None
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
