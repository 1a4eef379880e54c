"""Any log as records: what was said, when, how loud, and at which lines of which file.

`read` finds out encoding, layout and times of every file, joins the lines of a record,
and gives the records of all files in time order, as blocks of columns.
"""

import contextlib
import dataclasses
import glob
import os
import pathlib
import re
import time as clock
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import choosing, encodings, files, layouts, merge, streams, times
from metalog_jax.logs.streams import Input, Options

CHUNK = 4 << 20  # bytes parsed at once
_SMALLEST = 1 << 18  # and of each of many files


@dataclasses.dataclass
class Records:
  """n records in time order; see `merge` for those whose clocks run back."""

  file: np.ndarray  # [n] int32, index into the reader's inputs
  line: np.ndarray  # [n] int64, the first physical line, from 1
  lines: np.ndarray  # [n] int32, physical lines
  time: np.ndarray  # [n] datetime64[us] in UTC; NaT where unread
  level: pl.Series  # [n] str, in capitals; '' where there is none
  message: pl.Series  # [n] str, without time, level, thread; with the type of a trace
  text: pl.Series  # [n] str, as written, decoded, colours off, lines joined by \n
  fields: dict[str, pl.Series]  # other columns by name, [n] str, null where absent

  def __len__(self) -> int:
    return len(self.line)


class Reader:
  """Blocks of records of some files; `inputs` is whole when all was read.

  Files are given as `expand` gives them.
  """

  def __init__(
    self,
    paths: list[tuple[str, str]],
    options: Options,
    block: int,
    progress: Callable[[int], Any] = bool,
  ):
    self._paths, self._options, self._block = paths, options, block
    self._progress = progress
    self.inputs = [Input(path, skipped=skipped) for path, skipped in paths]

  def __iter__(self) -> Iterator[Records]:
    """Yields blocks; UserError where no file has a record."""
    self.inputs[:] = [Input(path, skipped=skipped) for path, skipped in self._paths]
    likely: list[layouts.Layout] = []
    opened = []
    for number, entry in enumerate(self.inputs):
      if not entry.skipped:
        first, stream = self._begin(number, entry, likely)
        if stream is not None:
          opened.append((first, _rank(entry.path), number, stream))
    opened.sort(key=lambda file: file[:3])
    size = max(_SMALLEST, CHUNK // max(len(opened), 1))
    total = 0
    for frame in merge.merge([(f, self._opener(s, size)) for f, _, _, s in opened]):
      total += len(frame)
      for start in range(0, len(frame), self._block):
        yield as_records(frame[start : start + self._block])
    if not total:
      whys = '; '.join(f'{i.path} is {i.skipped or "empty"}' for i in self.inputs[:5])
      raise errors.UserError(f'no log to read: {whys}')

  def _begin(self, number: int, entry: Input, likely: list[layouts.Layout]):
    """The time of a file's first record, NAT for none, and the stream that reads it.

    Of several files the beginning is read now. The stream is None without a record.
    """
    anchor = _anchor(entry.path)
    stream = streams.Stream(entry, number, self._options, anchor)
    if len(self.inputs) == 1 or entry.path == '-':
      return times.NAT, stream
    entry_of_trial = dataclasses.replace(entry)
    trial = streams.Stream(entry_of_trial, number, self._options, anchor, likely)
    frame = None
    try:
      with contextlib.closing(files.read_blocks(entry.path)) as blocks:
        frame = trial.feed(next(blocks, b'')[: streams.SAMPLE], last=True)
    except (OSError, errors.UserError) as error:
      entry.skipped = f'unreadable: {error}'
    if frame is None or not len(frame):
      entry.skipped = entry.skipped or entry_of_trial.skipped or 'empty'
      return times.NAT, None
    known = frame[merge.KEY].filter(frame[merge.KEY] != times.NAT)
    first = int(known[0]) if len(known) else times.NAT
    stream.begin_as(trial, first)
    return first, stream

  def _opener(self, stream: streams.Stream, size: int):
    return lambda: self._frames(stream, size)

  def _frames(self, stream: streams.Stream, size: int) -> Iterator[pl.DataFrame]:
    entry = stream.entry

    def seen(block: bytes) -> None:
      entry.bytes += len(block)
      self._progress(len(block))

    blocks = files.read_blocks(entry.path, seen)
    for data in _chunks(blocks, size, entry):
      frame = stream.feed(data)
      if frame is not None:
        yield frame
      if entry.skipped == streams.BINARY:
        return
    if (frame := stream.feed(b'', last=True)) is not None:
      yield frame
    if not entry.lines and not entry.skipped:
      entry.skipped = 'empty'


def _chunks(blocks: Iterable[bytes], size: int, entry: Input) -> Iterator[bytes]:
  """Joins blocks; says where they end early."""
  parts, total = [], 0
  try:
    for block in blocks:
      parts.append(block)
      total += len(block)
      if total >= size:
        yield b''.join(parts)
        parts, total = [], 0
  except (OSError, errors.UserError) as error:
    entry.skipped = f'not read to its end: {error}'
  yield b''.join(parts)


def as_records(frame: pl.DataFrame) -> Records:
  """The records of a frame of a `streams.Stream`."""
  others = [name for name in frame.columns if name not in streams.COLUMNS]
  return Records(
    file=frame['.file'].to_numpy(),
    line=frame['.line'].to_numpy(),
    lines=frame['.lines'].to_numpy(),
    time=frame['time'].to_numpy(),
    level=frame['level'],
    message=frame['message'],
    text=frame['.text'],
    fields={name: frame[name] for name in others},
  )


def _anchor(path: str) -> int:
  """When a file was last written, in microseconds since the epoch: by its name, if
  that has a date, else as the file system says."""
  name = re.search(r'(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)', os.path.basename(path))
  try:
    if name:
      day = np.datetime64('-'.join(name.groups()), 'us').astype(np.int64)
      return int(day) + times.DAY - 1
  except ValueError:
    pass  # some other number
  try:
    return int(os.stat(path).st_mtime * 1e6)
  except OSError:
    return int(clock.time() * 1e6)


def _rank(path: str) -> tuple:
  """Places rotated files without times: app.log.2.gz, app.log.1, app.log."""
  name = files.uncompressed(path)
  match = re.search(r'\.(\d{1,4})$', name)
  stem = name[: match.start()] if match else name
  return (stem, -int(match[1]) if match else 0)


def expand(paths: Iterable[str | os.PathLike]) -> list[tuple[str, str]]:
  """Files of files, folders and patterns, each once, and why one is not read.

  Raises UserError for a path that does not exist.
  """
  expanded: dict[str, str] = {}
  for path in [os.fspath(given) for given in paths]:
    here = pathlib.Path(path)
    if path == '-' or here.exists() and not here.is_dir():
      expanded[path] = ''
      continue
    if here.is_dir():
      every = sorted(here.rglob('*'))  # a link to a folder is not gone into
      inside = [p for p in every if not p.is_dir() or files.leaves(p, here)]
      inside = [p for p in inside if '/.' not in f'/{p.relative_to(here)}']
    else:
      inside = [pathlib.Path(p) for p in sorted(glob.glob(path, recursive=True))]
      inside = [p for p in inside if not p.is_dir()]
    if not inside:
      what = 'holds no file' if here.is_dir() else 'does not exist'
      raise errors.UserError(f'{path} {what}: give a log, a folder or a pattern')
    for file in inside:
      why = '' if file.is_file() else 'no regular file'
      if here.is_dir() and files.leaves(file, here):
        why = 'a link out of its folder: name it, or a pattern, to have it read'
      expanded.setdefault(str(file), why)
  return list(expanded.items())


def read(
  paths: str | os.PathLike | Iterable[str | os.PathLike],
  format: str = 'auto',
  encoding: str = 'auto',
  block: int = 20_000,
  keys: dict[str, str] | None = None,
  progress: Callable[[int], Any] = bool,
) -> Reader:
  """A reader of logs; iterate over it for blocks of `Records`.

  Args:
    paths: files, folders (all files in them), patterns, '-' for standard input.
    format: 'auto' for each file's own, a name of `layouts.LAYOUTS`, or a regex with a
      group `message` and, where they are there, `time` and `level`.
    encoding: 'auto' for each file's own, or one of Python's names.
    block: records of a block.
    keys: names of keys of structured logs, by role: `time`, `level`, `message`.
    progress: called with numbers of stored bytes that were read.

  Raises:
    UserError: a path that does not exist, no such format or encoding.
  """
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  if encoding != 'auto':
    encodings.check(encoding)
  if format != 'auto':
    choosing.named(format, keys, [])
  return Reader(expand(paths), Options(format, encoding, keys), block, progress)
