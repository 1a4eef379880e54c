"""Labels from files: who is anomalous, and what is wrong with the list.

Two kinds of file: columns `id,label` (loghub's `anomaly_label.csv`, with or
without a header; comma, tab or space between), and loghub's Hadoop list, where
applications stand under headings.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax.logs import files

NORMAL = ('normal', '0', 'false', 'no', 'success', 'ok', '-', '0.0', 'benign')
ANOMALOUS = (
  'anomaly',
  'anomalous',
  'abnormal',
  '1',
  'true',
  'yes',
  'fail',
  'failure',
  '1.0',
)
_WORDS = dict.fromkeys(NORMAL, 0) | dict.fromkeys(ANOMALOUS, 1)


class Labels(NamedTuple):
  """Labels by the id of what they describe."""

  table: pl.DataFrame  # id str (unique), label int8
  duplicates: int  # ids that stood twice, with equal labels
  input: files.Input


def values(column: pl.Series) -> tuple[np.ndarray, pl.Series]:
  """Labels in words or numbers as int8, -1 where empty; and which are no label."""
  words = column.str.strip_chars().str.to_lowercase()
  known = words.replace_strict(_WORDS, default=None, return_dtype=pl.Int8)
  strange = known.is_null() & words.is_not_null() & (words != '')
  return known.fill_null(-1).to_numpy(), strange


def read(path: str) -> Labels:
  """Reads a file of labels.

  Raises:
    ValueError: no such file, no label in it, a line that is none, or an id with
      two different labels; with the file and line.
  """
  try:
    text, source = files.read_text(path)
  except FileNotFoundError:
    raise ValueError(f'{path} does not exist: check --labels') from None
  lines = [line.strip() for line in text.splitlines()]
  parse = _headings if any(line.startswith('### ') for line in lines) else _columns
  found: dict[str, tuple[int, int]] = {}
  duplicates = 0
  for number, name, label in parse(path, lines):
    before, label_before = found.setdefault(name, (number, label))
    if label_before != label:
      raise ValueError(
        f'{path}:{number}: {name} has another label than in line {before}'
      )
    duplicates += before != number
  if not found:
    raise ValueError(f'{path} holds no label: check --labels')
  labels = pl.Series('label', [label for _, label in found.values()], dtype=pl.Int8)
  table = pl.DataFrame({'id': pl.Series(list(found), dtype=pl.String), 'label': labels})
  return Labels(table, duplicates, source)


def _columns(path, lines):
  """Yields (line number, id, label) of `id,label` lines."""
  for number, line in enumerate(lines, 1):
    if not line:
      continue
    fields = [field.strip(' "\'') for field in re.split(r'[,;\t]+|\s+', line)]
    label = _WORDS.get(fields[1].lower()) if len(fields) == 2 else None
    if label is not None:
      yield number, fields[0], label
    elif number > 1 or len(fields) != 2:
      raise ValueError(
        f'{path}:{number}: {line[:80]!r} is not an id and a label '
        f'({"/".join(NORMAL[:2])} or {"/".join(ANOMALOUS[:1])}/1): check --labels'
      )


def _headings(path, lines):
  """Yields (line number, id, label) of loghub's Hadoop list."""
  label = None
  for number, line in enumerate(lines, 1):
    item = re.match(r'[+*-]\s*(\S+)', line)
    if item and label is not None:
      yield number, item[1], label
    elif line and not line.startswith('#'):
      label = int(line.rstrip(':').strip().lower() != 'normal')


class Audit:
  """Joins labels to sessions as they go by, and keeps account."""

  def __init__(self, labels: Labels | None):
    self.labels = labels
    self.inputs = [labels.input] if labels else []
    self._used = np.zeros(len(labels.table) if labels else 0, bool)
    self.missing = 0

  def of(self, ids: pl.Series, otherwise: pl.Series) -> np.ndarray:
    """The label of every id, [n] int8; where it is not listed, `otherwise`."""
    table = self.labels.table.with_row_index('row')
    found = ids.to_frame('id').join(table, on='id', how='left', maintain_order='left')
    self._used[found['row'].drop_nulls().to_numpy()] = True
    label = pl.select(pl.coalesce(found['label'], otherwise)).to_series()
    self.missing += int((label < 0).sum())
    return label.to_numpy()

  def report(self) -> dict[str, Any]:
    """What a manifest says of the labels.

    Raises:
      ValueError: not one label belongs to a session.
    """
    if not self.labels:
      return {}
    unknown = self.labels.table['id'].filter(~pl.Series(self._used))
    if len(unknown) == len(self._used):
      path, first = self.labels.input.path, unknown[0]
      raise ValueError(
        f'{path}: none of its {len(unknown):,} ids ({first}, ...) is a session of '
        'these logs: check --labels'
      )
    return {
      'path': self.labels.input.path,
      'labels': len(self._used),
      'duplicates': self.labels.duplicates,
      'unknown_ids': len(unknown),
      'first_unknown_ids': unknown[:10].to_list(),
      'sessions_without_label': self.missing,
    }
