"""A system on disk: `templates.parquet`, `sessions.parquet`, `manifest.json`.

Any of pandas, polars and duckdb reads the two tables as they are. A folder is
written beside its place and moved there when it is whole, so that an
interrupted write leaves the old folder as it was. Equal content gives equal
bytes: what varies from run to run (timings) is in the manifest alone.
"""

import collections
import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metalog_jax import atomic, errors, types
from metalog_jax.logs import manifests, templates
from metalog_jax.logs import sessions as sessions_lib

MANIFEST = manifests.NAME
SESSIONS = 'sessions.parquet'
TEMPLATES = 'templates.parquet'
COLUMNS = ('session_id', 'time', 'events', 'label', 'first_line', 'last_line')
_TEMPLATE_COLUMNS = ('event_id', 'template', 'count')
_TEMPLATES = pa.schema(
  dict(zip(_TEMPLATE_COLUMNS, (pa.int32(), pa.string(), pa.int64())))
)
_KINDS = (pa.string(), pa.float64(), pa.list_(pa.int32()), pa.int8(), *[pa.int64()] * 2)
_SESSIONS = pa.schema(dict(zip(COLUMNS, _KINDS)))
ROW_GROUP = 1 << 20  # events a row group holds, so that a stream stays small


def save(system: types.System, folder: str | os.PathLike) -> pathlib.Path:
  """Writes a whole system; counts missing from its manifest are filled in."""
  with writer(folder) as out:
    out.write(to_arrow(system.sessions))
    contents = Contents(system.templates, system.counts, system.manifest)
    out.finish(system.name, contents)
  return pathlib.Path(folder)


def load(folder: str | os.PathLike) -> types.System:
  """Reads a whole system; `manifest['fingerprint']` is equal for equal content.

  Raises UserError where a file is missing, damaged, or of another folder.
  """
  manifest = manifests.read(folder)
  manifests.check(folder, manifest)
  names = _read(folder, TEMPLATES, lambda p: _checked(pq.read_table(p), _TEMPLATES))
  texts = tuple(names['template'].to_pylist())
  sessions = _read(folder, SESSIONS, lambda p: _sessions(pq.read_table(p), len(texts)))
  return types.System(
    manifest['system'], texts, names['count'].to_numpy(), sessions, manifest
  )


def stream(folder: str | os.PathLike, rows: int, lines: bool = False) -> Iterator:
  """Yields the sessions in order, at most `rows` at a time, in bounded memory.

  With `lines`, yields pairs (sessions, [N] int64 line number of every event),
  which a folder holds when it was prepared with `keep_lines`.
  """
  manifests.check(folder, manifests.read(folder))
  with _read(folder, SESSIONS, pq.ParquetFile) as file:
    if lines and 'lines' not in file.schema_arrow.names:
      raise errors.UserError(f'{folder}: {SESSIONS} has no line numbers of its events')
    for batch in file.iter_batches(batch_size=rows):
      table = pa.table(batch)
      part = _read(folder, SESSIONS, lambda _, table=table: _sessions(table))
      yield (part, _ragged(table['lines'], np.int64)[0]) if lines else part


def last_times(folder: str | os.PathLike, rows: int) -> Iterator[np.ndarray]:
  """Yields [S] float64 seconds, nan for none, of the parts that `stream` yields.

  They are of each session's last line; a folder of `keep_lines` has them.
  """
  with _read(folder, SESSIONS, pq.ParquetFile) as file:
    for batch in file.iter_batches(batch_size=rows, columns=['last_time']):
      yield pc.fill_null(batch['last_time'], np.nan).to_numpy()


def _read(folder, name, function):
  path = pathlib.Path(folder) / name
  try:
    return function(path)
  except MemoryError:  # pyarrow's is an ArrowException as well, and the file is whole
    raise
  except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
    reason = str(error).splitlines()[0]
    raise errors.UserError(
      f'{path} is damaged: {reason}; prepare the folder again'
    ) from None


def _checked(table: pa.Table, schema: pa.Schema) -> pa.Table:
  """The columns of a schema; ValueError or ArrowException for values of others."""
  table = table.select(schema.names).cast(schema)
  for name in schema.names:
    if name not in ('time', 'label') and table[name].null_count:
      raise ValueError(f'{name} lacks a value')
  return table


def _sessions(table: pa.Table, templates: int | None = None) -> types.Sessions:
  """The sessions of a file; ValueError or ArrowException where they are none."""
  sessions = from_arrow(_checked(table, _SESSIONS))
  events, labels = sessions.events, sessions.labels
  most = np.iinfo(np.int32).max if templates is None else templates
  if len(events) and not 0 <= events.min() <= events.max() < most:
    raise ValueError(f'events are {events.min()} to {events.max()} of {most} templates')
  if not np.isin(labels, (-1, 0, 1)).all():
    raise ValueError('a label is not 0, 1 or null')
  return sessions


def _ragged(
  column: pa.ChunkedArray, dtype: Any = np.int32
) -> tuple[np.ndarray, np.ndarray]:
  """The values of a list column one after the other, and [S + 1] offsets."""
  chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
  values = np.concatenate([np.zeros(0, dtype), *chunks]).astype(dtype, copy=False)
  offsets = np.zeros(len(column) + 1, np.int64)
  np.cumsum(pc.list_value_length(column).to_numpy(), out=offsets[1:])
  return values, offsets


def to_arrow(sessions: types.Sessions) -> pa.Table:
  """Sessions as the table that is stored."""
  offsets = pa.array(sessions.offsets.astype(np.int32))
  events = pa.array(sessions.events, pa.int32())
  columns = {
    'session_id': pa.array(sessions.ids, pa.string()),
    'time': pa.array(np.asarray(sessions.times, np.float64), from_pandas=True),
    'events': pa.ListArray.from_arrays(offsets, events),
    'label': pa.array(sessions.labels, pa.int8(), mask=sessions.labels < 0),
    'first_line': pa.array(sessions.first_lines, pa.int64()),
    'last_line': pa.array(sessions.last_lines, pa.int64()),
  }
  return pa.table(columns)


def from_arrow(table: pa.Table) -> types.Sessions:
  """The sessions that `to_arrow` made a table of."""
  events, offsets = _ragged(table['events'])
  return types.Sessions(
    ids=np.array(table['session_id'].to_pylist(), object),
    times=pc.fill_null(table['time'], np.nan).to_numpy(),
    events=events,
    offsets=offsets,
    labels=pc.fill_null(table['label'], -1).to_numpy().astype(np.int8),
    first_lines=table['first_line'].to_numpy(),
    last_lines=table['last_line'].to_numpy(),
  )


def _count(table: pa.Table) -> tuple[collections.Counter[str], np.ndarray]:
  """How many sessions a table has, and of which kinds; their hashes [S]."""
  events, offsets = _ragged(table['events'])
  totals = collections.Counter(
    sessions=len(table),
    events=len(events),
    anomalies=int((table['label'].to_numpy() == 1).sum()),  # nan for none
    unlabelled=table['label'].null_count,
  )
  return totals, sessions_lib.hashes(events, offsets)


class Contents(NamedTuple):
  """What a folder holds beside its sessions."""

  texts: tuple[str, ...]  # [V] templates
  counts: np.ndarray  # [V] int64 lines of each
  manifest: dict[str, Any]


class Writer:
  """Takes session tables one after the other and counts what goes by."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._file: pq.ParquetWriter | None = None
    self._pending: list[pa.Table] = []
    self._num_pending = 0
    self._hashes = [np.zeros(0, np.uint64)]
    self.totals: collections.Counter[str] = collections.Counter()

  def write(self, table: pa.Table) -> None:
    """Appends sessions (the columns of `to_arrow`, maybe others), in order."""
    names = [
      name for name in (*COLUMNS, 'lines', 'last_time') if name in table.column_names
    ]
    table = table.select(names)
    totals, hashes = _count(table)
    self.totals.update(totals)
    self._hashes.append(hashes)
    self._pending.append(table)
    self._num_pending += totals['events']
    if self._num_pending >= ROW_GROUP:
      self._flush()

  def _flush(self) -> None:
    table = pa.concat_tables(self._pending).combine_chunks()
    path = self.folder / SESSIONS
    if self._file is None:
      self._file = pq.ParquetWriter(path, table.schema, compression='zstd')
    self._file.write_table(table, row_group_size=max(1, len(table)))
    self._pending, self._num_pending = [], 0

  def finish(self, name: str, contents: Contents) -> dict[str, Any]:
    """Writes the templates and, last, the manifest, which is returned."""
    texts, counts, manifest = contents
    if not self.totals['sessions']:
      raise errors.UserError(f'system {name} has no session to write')
    if self._pending:
      self._flush()
    self.close()
    ids = np.arange(len(texts), dtype=np.int32)
    columns = ids, list(texts), np.asarray(counts, np.int64)
    table = pa.table(dict(zip(_TEMPLATE_COLUMNS, columns)))
    pq.write_table(table, self.folder / TEMPLATES, compression='zstd')
    counted = {'system': name, 'templates': len(texts), **self.totals}
    counted['distinct_sequences'] = len(np.unique(np.concatenate(self._hashes)))
    manifest = {'template_hash': text_hash(texts), **manifest, **counted}
    return manifests.write(self.folder, manifest)

  def close(self) -> None:
    if self._file is not None:
      self._file.close()


def text_hash(texts: Sequence[str]) -> str:
  """A hash of the template texts alone, for systems that were not mined."""
  return hashlib.sha256('\n'.join(texts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def writer(folder: str | os.PathLike) -> Iterator[Writer]:
  """A Writer whose folder takes its place when the block ends without an error.

  Raises UserError where another process is writing it, or something else than a System
  folder is there.
  """
  folder = pathlib.Path(folder)
  names = {path.name for path in folder.iterdir()} if folder.is_dir() else {''}
  replaceable = names <= {MANIFEST, SESSIONS, TEMPLATES, templates.FILE}
  if folder.exists() and not replaceable:
    raise errors.UserError(
      f'{folder} exists and is not a System folder; give another --out'
    )
  with atomic.replacing_folder(folder) as partial:
    out = Writer(partial)
    try:
      yield out
    finally:
      out.close()
