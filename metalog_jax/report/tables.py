"""Tables of results: detector beside floors, rows for results.csv, the console."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from metalog_jax.report import results
from metalog_jax.report.document import elements

_AT_THRESHOLD = ('precision', 'recall', 'specificity')


def quality(
  found: Sequence[results.Result], test: str, decimals: int = 2
) -> elements.Table:
  """The detector and every floor, over all, distinct and unseen sessions.

  Args:
    found: results of one run, or of runs that differ only in seed.
    test: name of the test set.
    decimals: of the percentages.
  """
  columns = [(kind, key) for kind in results.KINDS for key in results.MEASURES]
  own = [results.value(found, test, *column) for column in columns]
  rows = [[found[0]['detector'], *(value.percent(decimals) for value in own)]]
  for name in results.floors(found, test):
    floor = [results.value(found, test, *column, name) for column in columns]
    cells = [_marked(f, d, decimals) for f, d in zip(floor, own, strict=True)]
    rows.append([name, *cells])
  return elements.Table(
    head=['%', *results.MEASURES.values(), *list(results.MEASURES.values()) * 2],
    groups=[('', 1), *((kind, len(results.MEASURES)) for kind in results.KINDS)],
    rows=rows,
    caption=_caption(rows),
    strong_first=True,
  )


def _marked(floor: results.Value, detector: results.Value, decimals: int) -> str:
  mark = f' {elements.MARK}' if results.beats(floor, detector) else ''
  return floor.percent(decimals) + mark


def _caption(rows: Sequence[Sequence[str]]) -> str:
  names = [row[0] for row in rows if any(cell.endswith(elements.MARK) for cell in row)]
  text = (
    'First row: the detector; below it simple rules ("floors") fitted on the same'
    ' labels. Distinct counts each different event sequence once; unseen keeps those'
    ' that no training session has. '
  )
  if not names:
    return text + 'No floor is above the detector.'
  return text + f'{elements.MARK} marks a floor above the detector: {", ".join(names)}.'


def at_threshold(
  found: Sequence[results.Result], test: str, decimals: int = 2
) -> elements.Table:
  """What the detector's own threshold gives: counts, precision, recall."""
  rows = []
  for kind in results.KINDS:
    of_runs = [results.measures(result, test, kind) for result in found]
    counts = [_mean(of_runs, key) for key in ('sessions', 'anomalies', 'threshold')]
    shares = [results.value(found, test, kind, key) for key in _AT_THRESHOLD]
    rows.append([kind, *counts, *(share.percent(decimals) for share in shares)])
  return elements.Table(
    head=[
      '',
      'sessions',
      'anomalous',
      'threshold',
      *(f'{key} %' for key in _AT_THRESHOLD),
    ],
    rows=rows,
    caption='The detector at its threshold; scores above it are called anomalous.',
  )


def _mean(of_runs: Sequence[dict[str, Any]], key: str) -> str:
  mean = results.spread(measures.get(key) for measures in of_runs).mean
  return results.number(int(mean) if mean == mean // 1 and key != 'threshold' else mean)


def console(result: results.Result) -> str:
  """The summary of one result.json for a terminal: plain ASCII, 82 columns."""
  lines = [
    _ascii(f'{results.method(result)}: {results.systems(result)}'),
    _ascii(f'labels seen: {results.labels(result)}'),
  ]
  if results.is_simulated(result):
    lines.insert(0, f'SIMULATED systems: {_ascii(", ".join(result["simulated"]))}')
  for test in results.tests([result]):
    lines += ['', *_console_test(result, test)]
  return '\n'.join(lines)


def _console_test(result: results.Result, test: str) -> list[str]:
  table = quality([result], test, decimals=1)
  counts = results.measures(result, test, 'all')
  lines = [
    f'test {_ascii(test)}: {results.number(counts.get("sessions"))} sessions,'
    f' {results.number(counts.get("anomalies"))} anomalous; per cent',
    ' ' * 21 + ''.join(f'  {kind:^19}' for kind in results.KINDS),
    ' ' * 21
    + ('  ' + ''.join(f'{m:>5} ' for m in results.MEASURES.values()) + ' ') * 3,
  ]
  for name, *cells in table.rows:
    cells = [_console_cell(cell) for cell in cells]
    groups = [''.join(cells[i : i + 3]) for i in (0, 3, 6)]
    lines.append(f'{_ascii(name):<21}' + ''.join(f'  {group} ' for group in groups))
  if any(elements.MARK in cell for row in table.rows for cell in row):
    lines.append(f'* a floor above {_ascii(result["detector"])}')
  return [line.rstrip() for line in lines]


def _console_cell(cell: str) -> str:
  mark = '*' if cell.endswith(elements.MARK) else ' '
  return f'{_ascii(cell.removesuffix(elements.MARK).strip()):>5}{mark}'


def _ascii(text: str) -> str:
  text = text.replace('→', '->').replace('–', '-').replace('±', '+-')
  return text.encode('ascii', 'backslashreplace').decode()


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
  """Rows as CSV; the columns are all keys, in order of first appearance."""
  columns = list(dict.fromkeys(key for row in rows for key in row))
  out = io.StringIO()
  writer = csv.DictWriter(out, columns, restval='', lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return out.getvalue()


def csv_rows(name: str, result: results.Result) -> list[dict[str, Any]]:
  """One row a (test set, kind) of a run, with every floor's figures behind."""
  shared = {'run': name, **_identity(result)}
  rows = []
  for test in results.tests([result]):
    for kind in results.KINDS:
      row = {**shared, 'test': test, 'kind': kind}
      row |= results.measures(result, test, kind)
      best = results.best_floor([result], test, kind, 'f1')
      row |= {'best_floor': best[0] if best else '', **_floors(result, test, kind)}
      rows.append(row)
  return rows


def _identity(result: results.Result) -> dict[str, Any]:
  seen = result.get('labels_seen') or {}
  seconds = result.get('seconds') or {}
  return {
    **{key: result.get(key) for key in ('detector', 'preset', 'order', 'seed')},
    'source': '+'.join(results.short(name) for name in result.get('source') or []),
    'target': results.short(result.get('target') or ''),
    **{
      f'{side}_{label}': (seen.get(side) or {}).get(label)
      for side in ('source', 'target')
      for label in ('normal', 'anomalous')
    },
    'simulated': '+'.join(result.get('simulated') or []),
    'train_seconds': seconds.get('train'),
    'test_ms_per_session': result.get('test_ms_per_session'),
  }


def _floors(result: results.Result, test: str, kind: str) -> dict[str, Any]:
  return {
    f'{name}_{key}': results.measures(result, test, kind, name).get(key)
    for name in sorted(results.floors([result], test))
    for key in results.MEASURES
  }
