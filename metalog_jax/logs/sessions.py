"""Events to sessions: by what they belong to, whole or cut into windows.

Until all events are known, they lie on disk (`Spill`), parted by a hash of what they
belong to, so that a part holds all events of its entities, in order of lines; a few
events are one part. Where the whole log is one entity, a part is a run of consecutive
events. Then one part is grouped at a time, in any process, and the parts are merged in
order of first appearance. The result does not depend on how many parts there are.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from metalog_jax import errors
from metalog_jax.logs import readers, repeats

PARTS = 128
BUFFER = 1 << 19  # events written at once; fewer are not parted at all
WHOLE = 'all'  # the name of the log, where it is one entity
RUN = 8  # buffers of a part of it
BLOCK = 1 << 20  # events merged at a time
_UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}


@dataclasses.dataclass(frozen=True)
class Cut:
  """How the events of one entity are cut into sessions.

  Windows do not overlap, and none spans the line up to which templates were
  fitted: who sees what is decided before windows are cut.
  """

  lines: int = 0  # events a window; 0 for no such windows
  seconds: float = 0.0  # length of a window, from the entity's first event on
  at_line: int = 0  # windows end here; 0 for nowhere
  max_events: int = 0  # kept of a session; 0 for all
  keep_lines: bool = False  # whether every event's line and the last time are kept
  text: str = '0'  # as the user gave it

  @classmethod
  def parse(cls, window: str, **others) -> 'Cut':
    """From '120' (lines), '90s', '10m', '6h', '1d' (time), or '0' (whole)."""
    match = re.fullmatch(r'(\d+)|(\d+(?:\.\d+)?)([smhd])', str(window).strip())
    if not match:
      raise errors.UserError(
        f'--window={window}: give lines (120) or a time (90s, 10m, 6h)'
      )
    if match[1]:
      return cls(lines=int(match[1]), text=window, **others)
    return cls(seconds=float(match[2]) * _UNITS[match[3]], text=window, **others)

  @property
  def windows(self) -> bool:
    return bool(self.lines or self.seconds)


class Spill:
  """Takes the events of lines, in order.

  Args:
    folder: where the parts go; made here.
    whole: the whole log is one entity.
  """

  def __init__(self, folder: pathlib.Path, whole: bool = False):
    folder.mkdir()
    self.folder = folder
    self.whole = whole
    self.num_events = 0
    self.num_orphans = 0  # lines that belong to nothing
    self.num_shared = 0  # lines that belong to several
    self._pending: list[pl.DataFrame] = []
    self._num_pending = 0
    self._num_flushed = 0
    self._files: dict[pathlib.Path, tuple[pa.OSFile, pa.RecordBatchWriter]] = {}

  def add(self, lines: readers.Lines, codes: np.ndarray) -> None:
    """Appends the events of some lines; `codes` [n] are theirs."""
    events, orphans, shared = rows(lines, codes, self.whole)
    self.num_orphans += orphans
    self.num_shared += shared
    self.num_events += len(events)
    self._pending.append(events)
    self._num_pending += len(events)
    if self._num_pending >= BUFFER:
      self._flush(PARTS)

  def _flush(self, parts: int) -> None:
    if not self._num_pending:
      return
    events = pl.concat(self._pending)
    self._pending, self._num_pending = [], 0
    if self.whole:
      self._write(self._num_flushed // RUN, events)
    else:
      events = events.with_columns(part=events['entity'].hash() % parts)
      parted = events.partition_by('part', as_dict=True, include_key=False)
      for (part,), rows in parted.items():
        self._write(part, rows)
    self._num_flushed += 1

  def _write(self, part: int, events: pl.DataFrame) -> None:
    table = to_arrow(events)
    path = self.folder / f'{part:05}.events'
    if path not in self._files:
      sink = pa.OSFile(str(path), 'wb')
      self._files[path] = sink, pa.ipc.new_stream(sink, table.schema)
    self._files[path][1].write_table(table)

  def close(self) -> list[pathlib.Path]:
    """Ends writing; the files of the parts, in order."""
    self._flush(PARTS if self._num_flushed else 1)
    for sink, writer in self._files.values():
      writer.close()
      sink.close()
    return sorted(self._files)

  def report(self) -> dict[str, int]:
    """What a manifest says of the lines."""
    return dict(lines_without_session=self.num_orphans, shared_lines=self.num_shared)


def rows(
  lines: readers.Lines, codes: np.ndarray, whole: bool = False
) -> tuple[pl.DataFrame, int, int]:
  """The events of some lines, a row each, with what they belong to.

  Args:
    codes: [n], the lines' own.
    whole: the whole log is one entity.

  Returns:
    The events in order, how many lines belong to nothing, and how many to several.
  """
  number = len(lines.number)
  owner, entity = lines.owner, lines.entity
  if whole:
    owner, entity = np.arange(number), pl.Series([WHOLE]).new_from_index(0, number)
  owners = np.bincount(owner, minlength=number)
  events = pl.DataFrame(
    {
      'entity': entity,
      'number': lines.number[owner],
      'nth': (np.arange(owner.size) - np.searchsorted(owner, owner)).astype(np.int32),
      'code': codes[owner],
      'time': pl.Series(lines.time[owner]).fill_nan(None),
      'label': lines.label[owner],
    }
  )
  return events, int((owners == 0).sum()), int((owners > 1).sum())


def group_part(path: pathlib.Path, table: np.ndarray, cut: Cut) -> pathlib.Path:
  """Groups one part to a file of sessions; `table` has the event ids by code."""
  return _store(group(_load(path), table, cut), path)


def group_whole(
  paths: Sequence[pathlib.Path], table: np.ndarray, cut: Cut
) -> Iterator[pathlib.Path]:
  """Groups parts that are one stream of events: windows run on from part to part."""
  rest, base, start = None, 0, None
  for i, path in enumerate(paths):
    events = _load(path) if rest is None else pl.concat([rest, _load(path)])
    times = events['time'].drop_nulls()
    if start is None and len(times):
      start = times[0]
    sessions = group(events, table, cut, base, start)
    rest = None
    if i + 1 < len(paths):
      last = sessions['first_line'].max()
      rest = events.filter(pl.col('number') >= last)
      sessions = sessions.filter(pl.col('first_line') < last)
    base += len(sessions)
    yield _store(sessions, path)


def _load(path: pathlib.Path) -> pl.DataFrame:
  events = pl.read_ipc_stream(path)
  path.unlink()
  return events


def _store(sessions: pl.DataFrame, path: pathlib.Path) -> pathlib.Path:
  path = path.with_suffix('.sessions')
  with path.open('wb') as file:  # polars panics where it opens a file on a full disk
    sessions.write_ipc(file, compat_level=pl.CompatLevel.oldest())
  return path


def to_arrow(frame: pl.DataFrame) -> pa.Table:
  """With types that every reader knows."""
  return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def group(
  events: pl.DataFrame,
  table: np.ndarray,
  cut: Cut,
  base: int = 0,
  start: float | None = None,
) -> pl.DataFrame:
  """Groups events, in order of lines, into sessions in order of first appearance.

  Args:
    base: the number of the first window.
    start: when the first window begins; by default each entity's first time.
  """
  events = events.with_columns(code=table[events['code'].to_numpy()])
  keys = ['entity']
  if cut.windows:
    side = pl.col('number') > cut.at_line if cut.at_line else pl.lit(False)
    events = events.with_columns(side=side)
    events = events.with_columns(window=_window(cut, start))
    keys += ['side', 'window']
  columns = {
    'time': pl.col('time').drop_nulls().first(),
    'end_time': pl.col('time').max(),
    'events': pl.col('code').cast(pl.Int32),
    'label': pl.col('label').max(),
    'first_line': pl.col('number').first(),
    'last_line': pl.col('number').last(),
    'nth': pl.col('nth').first(),
  }
  if cut.keep_lines:
    columns['lines'] = pl.col('number')
    columns['last_time'] = pl.col('time').last()
  sessions = events.group_by(keys, maintain_order=True).agg(**columns)
  name = pl.col('entity')
  if cut.windows:
    index = pl.int_range(pl.len()).over('entity') + base
    name = pl.concat_str(name, pl.lit('#'), index)
  sessions = sessions.with_columns(
    session_id=name, length=pl.col('events').list.len().cast(pl.Int64)
  )
  if cut.max_events:
    lists = [name for name in ('events', 'lines') if name in columns]
    sessions = sessions.with_columns(pl.col(lists).list.head(cut.max_events))
  return sessions.drop(keys[1:]).sort('first_line', 'nth', maintain_order=True)


def _window(cut: Cut, start: float | None) -> pl.Expr:
  """The window every event falls in, within its entity and side."""
  if cut.lines:
    return pl.int_range(pl.len()).over('entity', 'side') // cut.lines
  # An event whose clock runs back belongs to the window that is open.
  clock = pl.col('time').forward_fill().backward_fill().cum_max()
  begin = pl.lit(start) if start is not None else clock.first().over('entity')
  return ((clock.over('entity') - begin) / cut.seconds).floor().cast(pl.Int64)


def merge(paths: Sequence[pathlib.Path]) -> Iterator[pl.DataFrame]:
  """Merges sorted parts into blocks, in order of first appearance."""
  parts = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
  starts = [part['first_line'].to_numpy() for part in parts]
  every = np.concatenate(starts)
  lengths = np.concatenate([part['length'].to_numpy() for part in parts])
  order = np.argsort(every, kind='stable')
  block = np.cumsum(lengths[order]) // BLOCK
  ends = every[order][np.flatnonzero(np.diff(block, append=-1))]
  begin = [0] * len(parts)
  for end in np.unique(ends):
    until = [int(np.searchsorted(start, end, 'right')) for start in starts]
    rows = [part[a:b] for part, a, b in zip(parts, begin, until)]
    begin = until
    yield pl.DataFrame(pa.concat_tables(rows)).sort(
      'first_line', 'nth', maintain_order=True
    )


def hashes(events: np.ndarray, offsets: np.ndarray) -> np.ndarray:
  """A 64-bit hash of every ragged sequence, [S] uint64: equal ones are equal.

  The sum over positions of (event, position), mixed.
  """
  starts = np.repeat(offsets[:-1], np.diff(offsets))
  position = np.arange(len(events), dtype=np.int64) - starts
  cell = position.astype(np.uint64) << np.uint64(32)
  cell += events.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
  total = np.zeros(len(cell) + 1, np.uint64)
  np.cumsum(repeats.mixed(cell), out=total[1:])
  return total[offsets[1:]] - total[offsets[:-1]]
