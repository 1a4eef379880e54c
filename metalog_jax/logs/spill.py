"""Events on disk until all of them are known.

They are parted by a hash of what they belong to, so that a part holds all events
of its entities, in order of lines; a few events are one part. Where the whole log
is one entity, a part is a run of consecutive events.
"""

import pathlib

import numpy as np
import polars as pl
import pyarrow as pa

from metalog_jax.logs import readers, sessions

PARTS = 128
BUFFER = 1 << 19  # events written at once; fewer are not parted at all
WHOLE = 'all'  # the name of the log, where it is one entity
RUN = 8  # buffers of a part of it


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
    self._files: dict[int, tuple[pa.OSFile, pa.RecordBatchWriter]] = {}

  def add(self, lines: readers.Lines, codes: np.ndarray) -> None:
    """Appends the events of some lines; `codes` [n] are theirs."""
    number = len(lines.number)
    owner, entity = lines.owner, lines.entity
    if self.whole:
      owner, entity = np.arange(number), pl.Series([WHOLE]).new_from_index(0, number)
    owners = np.bincount(owner, minlength=number)
    self.num_orphans += int((owners == 0).sum())
    self.num_shared += int((owners > 1).sum())
    self.num_events += owner.size
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
    table = sessions.to_arrow(events)
    if part not in self._files:
      sink = pa.OSFile(str(self._path(part)), 'wb')
      self._files[part] = sink, pa.ipc.new_stream(sink, table.schema)
    self._files[part][1].write_table(table)

  def _path(self, part: int) -> pathlib.Path:
    return self.folder / f'{part:05}.events'

  def close(self) -> list[pathlib.Path]:
    """Ends writing; the files of the parts, in order."""
    self._flush(PARTS if self._num_flushed else 1)
    for sink, writer in self._files.values():
      writer.close()
      sink.close()
    return [self._path(part) for part in sorted(self._files)]

  def report(self) -> dict[str, int]:
    """What a manifest says of the lines."""
    return {
      'lines_without_session': self.num_orphans,
      'shared_lines': self.num_shared,
    }
