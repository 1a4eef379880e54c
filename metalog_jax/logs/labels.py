"""Labels from files: who is anomalous, and what is wrong with the list.

Lines `id,label` (loghub's `anomaly_label.csv`, with or without a header; comma, tab or
space between), ranges of time and of lines (`label_ranges`), or loghub's Hadoop list,
where applications stand under headings.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import clean, errors
from metalog_jax.logs import files, label_ranges

NORMAL = 'normal 0 false no success ok - 0.0 benign'.split()
ANOMALOUS = 'anomaly anomalous abnormal 1 true yes fail failure 1.0'.split()
_SEPARATED = (r'^(.+?)\s*[,;\t]\s*([^,;\t]*)$', r'^(\S+)\s+(\S+)$')  # id, label
_COLUMNS = {*'id label labels class verdict truth target session start what'.split()}
_WORDS = dict.fromkeys(NORMAL, 0) | dict.fromkeys(ANOMALOUS, 1)


class Labels(NamedTuple):
  """Labels by the id of what they describe."""

  table: pl.DataFrame  # id str (unique), label int8
  duplicates: int  # ids that stood twice, with equal labels
  input: files.Input
  ranges: label_ranges.Ranges

  @property
  def by_id(self) -> dict[str, int]:
    """1 for anomalous and 0 for normal, by id."""
    return dict(self.table.iter_rows())


def values(column: pl.Series) -> tuple[np.ndarray, pl.Series]:
  """Labels in words or numbers as int8, -1 where empty; and which are no label."""
  words = column.str.strip_chars().str.to_lowercase()
  known = words.replace_strict(_WORDS, default=None, return_dtype=pl.Int8)
  strange = known.is_null() & words.is_not_null() & (words != '')
  return known.fill_null(-1).to_numpy(), strange


def read(path: str) -> Labels:
  """Reads a file of labels.

  Raises UserError, with the file and line, where there is no such file or label, or an
  id with two different ones.
  """
  text, source = files.read_text(path, '--labels')
  lines = pl.Series(text.split('\n'), dtype=pl.String).str.strip_chars()
  table = lines.to_frame('text').with_row_index('line', offset=1)
  headings = lines.str.starts_with('### ').any()
  parsed = [
    label_ranges.parse(number, line, _WORDS)
    for number, line in (() if headings else table.iter_rows())
  ]
  ranges = label_ranges.Ranges([item for item in parsed if item])
  if ranges.ranges:
    table = table.filter([item is None for item in parsed])
  rows = _headings(table) if headings else _columns(table, path, bool(ranges.ranges))
  clash = rows.filter(pl.col('label') != pl.col('label').first().over('id'))
  if len(clash):
    line, name, _ = clash.row(0)
    before = rows.filter(pl.col('id') == name)['line'][0]
    raise errors.UserError(
      f'{path}:{line}: {name} has another label than in line {before}'
    )
  if not len(rows) and not ranges.ranges:
    raise errors.UserError(f'{path} holds no label: check --labels')
  table = rows.unique('id', keep='first', maintain_order=True).select('id', 'label')
  return Labels(table, len(rows) - len(table), source, ranges)


def _columns(lines: pl.DataFrame, path: str, has_ranges: bool) -> pl.DataFrame:
  """The (line, id, label) of lines `id,label`.

  The first line is a header if it has a column's name, as a word or in such as BlockId,
  and no digit. Above ranges alone any names will do: what has no digit is no range.
  """
  text = pl.col('text').str.replace_all('["\']', '')
  group = lambda i: pl.coalesce(*(text.str.extract(p, i) for p in _SEPARATED))
  lines = lines.filter(text != '').with_columns(id=group(1), word=group(2))
  label, strange = values(lines['word'])
  strange |= lines['word'].is_null() | pl.Series(label < 0)
  lines = lines.with_columns(label=pl.Series(label, dtype=pl.Int8), strange=strange)
  if len(lines) and lines['line'][0] == 1 and lines['strange'][0]:
    first = lines['text'][0]
    names = {name.lower() for name in re.findall('[A-Z]?[a-z]+|[A-Z]+', first)}
    is_header = bool(names & _COLUMNS) or (has_ranges and len(lines) == 1)
    if is_header and lines['word'][0] is not None and not re.search('[0-9]', first):
      lines = lines[1:]
  if lines['strange'].any():
    line, text, *_ = lines.filter('strange').row(0)
    raise errors.UserError(
      f'{path}:{line}: {text[:80]!r} is not an id and a label (normal/0 or '
      'anomaly/1), no start,end of a time, no file:line-line'
      f'{" and no header such as id,label" * (line == 1)}: check --labels'
    )
  return lines.select('line', 'id', 'label')


def _headings(lines: pl.DataFrame) -> pl.DataFrame:
  """The (line, id, label) of loghub's Hadoop list."""
  rows, label = [], None
  for number, line in lines.iter_rows():
    item = re.match(r'[+*-]\s*(\S+)', line)
    if item and label is not None:
      rows.append((number, item[1], label))
    elif line and not line.startswith('#'):
      label = int(line.rstrip(': ').lower() != 'normal')
  schema = {'line': pl.UInt32, 'id': pl.String, 'label': pl.Int8}
  return pl.DataFrame(rows, schema=schema, orient='row')


class Audit:
  """Joins labels to sessions as they go by, and keeps account."""

  def __init__(self, path: str):
    """Reads the labels of a file; '': there are none."""
    self.labels = read(path) if path else None
    self.inputs = [self.labels.input] if self.labels else []
    self._used = np.zeros(len(self.labels.table) if self.labels else 0, bool)
    self.missing = 0

  def of(self, ids: pl.Series, otherwise: pl.Series) -> np.ndarray:
    """The label of every id, [n] int8; where it is not listed, `otherwise`."""
    if not self.labels:
      return otherwise.to_numpy()
    label = self._listed(self.labels, ids, otherwise)
    self.missing += int((label < 0).sum())
    return label.to_numpy()

  def _listed(self, labels: Labels, ids: pl.Series, otherwise: pl.Series) -> pl.Series:
    table = labels.table.with_row_index('row')
    rows = ids.to_frame('id').join(table, on='id', how='left', maintain_order='left')
    self._used[rows['row'].drop_nulls().to_numpy()] = True
    return pl.select(pl.coalesce(rows['label'], otherwise)).to_series()

  def of_sessions(
    self, block: pl.DataFrame, whole: str, inputs: Sequence[files.Input]
  ) -> np.ndarray:
    """The label of sessions or windows, [n] int8: of their id, of what they belong to,
    or of a range that they touch; else the one they have.

    Args:
      block: session_id, entity, label, time and end_time (seconds), first_line and
        last_line (over all inputs).
      whole: the entity that is no session, but the whole log.
      inputs: files in order.
    """
    if not self.labels:
      return block['label'].to_numpy()
    otherwise = block['label']
    if self.labels.ranges.ranges:
      ends = np.cumsum([0, *(item.lines for item in inputs)])
      first = block['first_line'].to_numpy()
      file = np.clip(np.searchsorted(ends, first, 'left') - 1, 0, len(inputs) - 1)
      table = pl.DataFrame(
        {
          'start': block['time'],
          'end': block['end_time'],
          'file': [inputs[i].path for i in file.tolist()],
          'first': first - ends[file],
          'last': block['last_line'].to_numpy() - ends[file],
        }
      )
      label = self.labels.ranges.label(table)
      otherwise = pl.Series(np.where(label >= 0, label, otherwise.to_numpy()))
    entity = block['entity']
    is_session = (entity != whole) | (entity == block['session_id'])
    entity = pl.select(pl.when(is_session).then(entity)).to_series()
    otherwise = self._listed(self.labels, entity, otherwise)
    return self.of(block['session_id'], otherwise)

  def report(self) -> dict[str, Any]:
    """What a manifest says of the labels; UserError if none belongs to a session."""
    if not self.labels:
      return {}
    unknown = self.labels.table['id'].filter(~pl.Series(self._used))
    ranges = self.labels.ranges
    unmatched = ranges.unmatched
    if len(unknown) == len(self._used) and len(unmatched) == len(ranges.ranges):
      if unmatched:
        raise errors.UserError(
          f'{self.labels.input.path}: no session or window is in any of its '
          f'{clean.counted(len(unmatched), "range")} ({unmatched[0]}, ...): check '
          '--labels'
        )
      path, first = self.labels.input.path, unknown[0]
      raise errors.UserError(
        f'{path}: none of its {clean.counted(len(unknown), "id")} ({first}, ...) is a '
        'session of these logs: check --labels'
      )
    return {
      'path': self.labels.input.path,
      'labels': len(self._used),
      'duplicates': self.labels.duplicates,
      'unknown_ids': len(unknown),
      'first_unknown_ids': unknown[:10].to_list(),
      'sessions_without_label': self.missing,
      'ranges': len(ranges.ranges),
      'unknown_ranges': len(unmatched),
      'first_unknown_ranges': unmatched[:10],
    }
