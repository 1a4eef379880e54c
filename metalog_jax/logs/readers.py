"""Lines of a file as columns: what the message is, and whose, when and how labelled.

A chunk is parsed column by column; what does not fit is counted by reason. Bytes
that are not UTF-8 are kept as backslash escapes.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from metalog_jax import errors
from metalog_jax.logs import accounts, backtracking, files, formats, labels, simulated

TOO_LONG = f'longer than {files.MAX_LINE:,} bytes'
BINARY = 'binary: holds a NUL byte'
COLUMNS = 'has not the columns of the header'
LABEL = 'has a label that is neither normal nor anomalous'
_TEXT, _INDEX, _FITS = '__text', '__index', '__fits'


class Lines(NamedTuple):
  """The n lines of a chunk that fit."""

  number: np.ndarray  # [n] int64, from 1 over all inputs in order
  content: pl.Series  # [n] str: the message
  owner: np.ndarray  # [m] int64 index of a line; a line may belong to several
  entity: pl.Series  # [m] str: what that line belongs to
  time: np.ndarray  # [n] float64 seconds since the epoch; nan if unknown
  label: np.ndarray  # [n] int8: 1 anomalous, 0 normal, -1 unknown
  tally: accounts.Tally


def parse(chunk: files.Chunk, format: formats.Format, group: str = '') -> Lines:
  """Parses a chunk; depends on nothing but its arguments."""
  text, escaped = split(chunk.data)
  sieve = _Sieve(text, chunk.line)
  if chunk.header and chunk.line == 1:
    sieve.drop(pl.int_range(pl.len()) == 0, 'header', bad=False)
  sieve.drop(pl.col(_TEXT).str.strip_chars() == '', 'blank', bad=False)
  sieve.drop(pl.col(_TEXT).str.len_bytes() > files.MAX_LINE, TOO_LONG)
  if b'\0' in chunk.data:
    sieve.drop(pl.col(_TEXT).str.contains('\0', literal=True), BINARY)
  if chunk.header:
    sieve.add(_structured(chunk.path, sieve.frame[_TEXT], chunk.header, format))
    sieve.drop(~pl.col(_FITS), COLUMNS)
  else:
    try:
      sieve.add(_columns(sieve.frame[_TEXT], format))
    except backtracking.TooSlow as error:
      line = chunk.line + int(sieve.frame[_INDEX][error.index])
      raise errors.UserError(
        f'{chunk.path}:{line}: takes over {backtracking.LIMIT:g} s: --format='
        f'{format.line} explodes on it; write it without repetition in repetition'
      ) from None
    if format.continues and sieve.frame[_FITS].any():
      below = pl.int_range(pl.len()) > pl.col(_FITS).arg_max()
      sieve.drop(~pl.col(_FITS) & below, 'continuation', bad=False)
    sieve.drop(~pl.col(_FITS), accounts.NO_FIT)
  label, strange = _labels(sieve.frame, format)
  if strange.any():
    sieve.drop(strange, LABEL)
    label = label[~strange.to_numpy()]
  frame = sieve.frame
  owner, names = _owners(frame, chunk.path, format.keys(group))
  time, bad_times = _times(frame, format)
  tally = accounts.Tally(
    path=chunk.path,
    lines=len(text),
    good=len(frame),
    skipped=sieve.skipped,
    bad=sieve.bad,
    escaped=escaped,
    times=int(np.count_nonzero(~np.isnan(time))),
    bad_times=bad_times,
    simulated=simulated.has_marks(chunk.data),
  )
  number = frame[_INDEX].to_numpy() + chunk.number
  return Lines(number, frame['content'], owner, names, time, label, tally)


class _Sieve:
  """Lines and their columns, from which what does not fit is taken out."""

  def __init__(self, text: pl.Series, first_line: int):
    self.frame = pl.DataFrame({_TEXT: text, _INDEX: np.arange(len(text))})
    self.skipped: dict[str, int] = {}
    self.bad: dict[str, accounts.Bad] = {}
    self._first_line = first_line

  def add(self, columns: pl.DataFrame) -> None:
    self.frame = self.frame.hstack(columns)

  def drop(self, which: pl.Expr | pl.Series, reason: str, bad: bool = True) -> None:
    out = self.frame.select(which).to_series() if isinstance(which, pl.Expr) else which
    if not out.any():
      return
    lines = self.frame.filter(out)
    if bad:
      self.bad[reason] = accounts.Bad.at(self._first_line, lines[_INDEX], lines[_TEXT])
    else:
      self.skipped[reason] = len(lines)
    self.frame = self.frame.filter(~out)


def split(data: bytes) -> tuple[pl.Series, int]:
  """Whole lines as strings without their ends, and how many hold escaped bytes."""
  escaped = 0
  try:
    data.decode('utf-8')
  except UnicodeDecodeError:
    lines = data.split(b'\n')
    escaped = sum(line.decode('utf-8', 'ignore').encode() != line for line in lines)
    data = data.decode('utf-8', 'backslashreplace').encode()
  ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord('\n')) + 1
  offsets = pa.py_buffer(np.concatenate([[0], ends]).astype(np.int64))
  lines = pa.LargeStringArray.from_buffers(len(ends), offsets, pa.py_buffer(data))
  return pl.Series('line', lines).str.strip_chars_end('\r\n'), escaped


def _columns(text: pl.Series, format: formats.Format) -> pl.DataFrame:
  """The groups of the format for every line, and whether it fits."""
  names = list(re.compile(format.line).groupindex)
  if format.columns:
    table = text.str.splitn(' ', len(names)).struct.unnest()
    table.columns = names
    table = table.with_columns(pl.col('content').fill_null(''))
    fits = text.str.contains(format.line.removesuffix('(?P<content>.*)$'))
  else:
    try:
      table = text.str.extract_groups(format.line).struct.unnest()
    except pl.exceptions.ComputeError:  # look-arounds and back-references
      table = _search(text, format.line)
    fits = table['content'].is_not_null()
  if format.head:
    content = table['content'].str.replace(format.head, '')
    table = table.with_columns(content=content)
  table = table.select(c for c in table.columns if c in format.columns_read)
  return table.with_columns(fits.alias(_FITS))


def _search(text: pl.Series, pattern: str) -> pl.DataFrame:
  nothing = dict.fromkeys(re.compile(pattern).groupindex)
  matches = backtracking.search(pattern, text)
  rows = [match.groupdict() if match else nothing for match in matches]
  return pl.DataFrame(rows, schema=dict.fromkeys(nothing, pl.String))


def _structured(
  path: str, text: pl.Series, header: bytes, format: formats.Format
) -> pl.DataFrame:
  """The columns of loghub's CSV, in small letters, and which rows have them."""
  names = _csv_row(header.decode('utf-8', 'backslashreplace').strip().lower())
  if 'content' not in names:
    raise errors.UserError(f'{path}: its header has no column Content')
  read = [name for name in names if name in format.columns_read]
  if len(read) > len(set(read)):
    twice = next(name for name in read if read.count(name) > 1)
    raise errors.UserError(f'{path}:1: two columns are called {twice}')
  numbers = [str(number) for number in range(len(names))]
  chosen = [pl.col(numbers[names.index(name)]).alias(name) for name in read]
  try:
    body = '\n'.join([','.join(numbers), *text]).encode()
    table = pl.read_csv(io.BytesIO(body), infer_schema=False)
    whole = len(table) == len(text) and not table[numbers[-1]].has_nulls()
  except pl.exceptions.PolarsError:
    table, whole = pl.DataFrame(), False
  if whole:
    table = table.select(chosen).fill_null('')
    return table.with_columns(pl.lit(True).alias(_FITS))
  rows = [_csv_row(line) for line in text]
  fits = [len(row) == len(names) for row in rows]
  rows = [row if fit else [''] * len(names) for row, fit in zip(rows, fits)]
  table = pl.DataFrame(rows, dict.fromkeys(numbers, pl.String), orient='row')
  return table.select(*chosen, pl.Series(_FITS, fits, dtype=pl.Boolean))


def _csv_row(line: str) -> list[str]:
  """The fields of a line; none where it is no CSV."""
  try:
    return next(csv.reader([line], strict=True), [])
  except csv.Error:
    return []


def _owners(
  columns: pl.DataFrame, path: str, keys: Sequence[formats.Key]
) -> tuple[np.ndarray, pl.Series]:
  """Pairs (line, what it belongs to), in order of lines and then of appearance."""
  names = []
  for key in keys:
    if key.many:
      return _all_matches(columns[key.column], key.pattern)
    if key.column == 'path':
      match = re.search(key.pattern, path)
      constant = key.prefix + match[match.re.groups] if match else None
      names.append(pl.lit(constant, dtype=pl.String))
    elif key.column in columns.columns:
      value = pl.col(key.column)
      if key.pattern:
        value = value.str.extract(key.pattern, re.compile(key.pattern).groups)
      names.append(key.prefix + value)
  if keys and not names:
    wanted = ' or '.join(key.column for key in keys)
    raise errors.UserError(
      f'{path}: no column {wanted} to group lines by: check --group'
    )
  name = columns.select(name=pl.coalesce(*names, pl.lit(None, pl.String))).to_series()
  has = name.fill_null('') != ''
  return has.arg_true().to_numpy().astype(np.int64), name.filter(has)


def _all_matches(values: pl.Series, pattern: str) -> tuple[np.ndarray, pl.Series]:
  names = values.str.extract_all(pattern)
  several = names.list.len() > 1
  if several.any():
    unique = names.list.unique(maintain_order=True)
    names = pl.select(pl.when(several).then(unique).otherwise(names)).to_series()
  number = names.list.len().to_numpy()
  owner = np.repeat(np.arange(len(values)), number)
  return owner, names.explode().drop_nulls()


def _times(
  columns: pl.DataFrame, format: formats.Format
) -> tuple[np.ndarray, list[str]]:
  """Each line's time [n], nan for none, and the texts that are no time."""
  if not format.time or not set(format.time) <= set(columns.columns):
    return np.full(len(columns), np.nan), []
  text = columns.select(pl.concat_str(format.time, separator=' ')).to_series()
  time = formats.seconds(text, format.time_format)
  bad = []
  if time.null_count() > text.null_count():
    bad = text.filter(time.is_null() & (text.str.strip_chars() != '')).to_list()
  return time.fill_null(np.nan).to_numpy(), bad


def _labels(
  columns: pl.DataFrame, format: formats.Format
) -> tuple[np.ndarray, pl.Series]:
  """Each line's label, and whether it is none that we know."""
  if format.label not in columns.columns:
    label = np.full(len(columns), -1, np.int8)
  elif format.alert:
    label = (columns[format.label] != '-').to_numpy().astype(np.int8)
  else:
    return labels.values(columns[format.label])
  return label, pl.Series(np.zeros(len(columns), bool))
