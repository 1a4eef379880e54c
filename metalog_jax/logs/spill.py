"""Events on disk until all of them are known.

They are parted by a hash of what they belong to, so that a part holds all events
of its entities, in order of lines. Where the whole log is one entity, a part is a
run of consecutive events.
"""

import pathlib

import numpy as np
import polars as pl
import pyarrow as pa

from metalog_jax.logs import readers, sessions

PARTS = 32
WHOLE = 'all'  # the name of the log, where it is not parted
RUN = 1 << 22  # events of a part of it


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
    if self.whole:
      self._write(self.num_events // RUN, events)
    else:
      part = events['entity'].hash() % PARTS
      parted = events.with_columns(part=part).partition_by(
        'part', as_dict=True, include_key=False, maintain_order=True
      )
      for (part,), rows in parted.items():
        self._write(part, rows)
    self.num_events += len(events)

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
