"""Logs that grow: whole records as they are written, through rotation and truncation.

A `Tail` is one path. What is written to it is read to the last whole line; when another
file has taken its place (it was renamed, or removed and made again), the old one is
read to its end first; a file that has become shorter, or begins with other bytes, is
read from its beginning, after what is left of the old one where that was copied. Files
that came and went meanwhile (`app.log.1`, `app.log-20260504`) are read in between. A
record ends when another begins, or when nothing has come for `PATIENCE` seconds.
"""

import collections
import os
import select
import stat
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import files, merge, rotated, streams, times

PATIENCE = 0.5  # seconds
WAIT = 2.0  # seconds that a file which grows slowly waits for a sample of its format
_PIECE = 1 << 19  # bytes read at once
_LONGEST = files.MAX_LINE + 1  # bytes of a line that are kept, as `files` keeps them
_HEAD = 256  # bytes that tell a file from another written over it
_COPY = 64  # bytes at the beginning that tell a copy
RAW = '.raw'  # the column of lines as they stand


class RawLines:
  """Lines as they stand, in place of the records of a `streams.Stream`."""

  def __init__(self, path: str, line: int):
    """Begins with the line of this number."""
    self._path, self._line = path, line

  def feed(self, data: bytes, last: bool = False) -> pl.DataFrame | None:
    """Frame of whole lines without their ends; `last` changes nothing."""
    if not data:
      return None
    if self._line == 1:
      data = files.check_start(self._path, data)
    raw = data.removesuffix(b'\n').split(b'\n')
    first, self._line = self._line, self._line + len(raw)
    line = np.arange(first, self._line)
    return pl.DataFrame(
      {'.line': line, '.lines': np.ones_like(line), merge.KEY: line * 0, RAW: raw}
    )


class Tail:
  """One path that is followed; `poll` gives the frames of records that have come."""

  def __init__(self, path: str, number: int, options: streams.Options | None):
    """Follows a file, a named pipe, or standard input where the path is `-`.

    Args:
      number: of the file, for the column `.file` of records.
      options: how records are read; None: frames are of lines as they stand (`RAW`).

    Raises UserError for compressed files.
    """
    if path.endswith(files.COMPRESSED):
      raise errors.UserError(f'{path} is compressed and cannot grow: scan it first')
    self.path, self._number, self._options = path, number, options
    about = None if path == '-' else rotated.status(path)
    self.filed_pipe = about is not None and stat.S_ISFIFO(about.st_mode)
    self._is_pipe = path == '-' or self.filed_pipe  # cannot be read again
    self.entry = streams.Input(path)
    self.ended = False  # of standard input
    self.notes: list[str] = []  # what was lost, or begun anew
    self.renamed: list[tuple[str, str]] = []  # old and new names of what was read
    self.file = path  # name of the file that is read, when last looked at
    self._refused: set[str] = set()  # files that may not be read
    self._handle: int | None = None
    self._finished: int | None = None  # change of a file that another is to follow
    self._reset()

  def _reset(self) -> None:
    """What is known of one file of the path."""
    self._stream: streams.Stream | RawLines | None = None
    self.header = b''  # of a structured file
    self._rest = b''  # what waits for its line end, or for the layout to be chosen
    self._cut = 0  # bytes that are left out of a line without an end
    self._offset = self._lines = 0  # bytes and lines that the stream was given
    self._from = 1  # records of lines before were counted by an earlier process
    self._counted = 0  # lines that the last record that was counted ends with
    self._marks = collections.deque([(0, 1)])  # offset and line of recent pieces
    self._head = b''
    self._changed = 0  # when it was last seen to hold what was read
    self._key = times.NAT
    self._last = self._since = time.monotonic()
    self._flushed = True

  def begin(self) -> None:
    """Opens the file, so that it is known even if it is renamed before it is read."""
    if self.path != '-' and self._handle is None:
      self._open()

  def poll(self, last: bool = False) -> Iterator[pl.DataFrame]:
    """Frames of the records that have come; `last` ends the open one too."""
    if self._handle is None and not self._open():
      return
    yield from self._read(last)
    while self._is_replaced():
      yield from self._feed(b'', whole=True)
      self._finished = os.fstat(self._descriptor).st_mtime_ns
      for _, path, _ in rotated.newer(self.path, self._finished, compressed=True):
        self.notes.append(
          f'{path} changed after what was read last, and is compressed: lines that '
          'only it holds are not read; scan it'
        )
      self.look()  # for its last name, before another file is read
      self._close()
      self._reset()
      if not self._open():
        return
      yield from self._read(last)

  def count(self, frame: pl.DataFrame) -> None:
    """Says that the records of this frame were counted."""
    self._counted = int(frame['.line'][-1] + frame['.lines'][-1] - 1)
    self._key = int(frame[merge.KEY][-1])

  @property
  def position(self) -> dict[str, Any]:
    """Where another process goes on after the last record that was counted."""
    if self._handle is None or self._is_pipe:
      return {}
    while len(self._marks) > 1 and self._marks[1][1] <= self._counted + 1:
      self._marks.popleft()
    about = os.fstat(self._handle)
    offset, line = self._marks[0]
    return {
      'device': about.st_dev,
      'inode': about.st_ino,
      'head': self._head.hex(),
      'offset': offset,
      'size': self._position(),
      'line': line,
      'from': max(self._counted + 1, self._from),
      'key': self._key,
      'changed': self._changed or about.st_mtime_ns,
      'name': self.file,
    }

  def look(self) -> None:
    """Finds the name that the file which is read has now: `file`, and `renamed`."""
    if self._handle is not None and not self._is_pipe:
      name = rotated.name_now(self.path, self._handle) or self.file
      if name != self.file:
        self.renamed.append((self.file, name))
      self.file = name

  def go_on(self, position: dict[str, Any]) -> None:
    """Begins where another process was, in the file that now has another name.

    Or in its copy, where the file was copied and truncated.
    """
    if not position:
      return
    key = position['device'], position['inode']
    known = rotated.beside(self.path)
    head = bytes.fromhex(position['head'])
    named = rotated.named(self.path).items()
    first = [p for p, about in named if (about.st_dev, about.st_ino) == key]
    since = position['changed']  # copies are made later: files can begin alike
    copies = [p for p, x in known.items() if p not in first and x.st_mtime_ns >= since]
    copies = copies if len(head) >= _COPY else []
    copies.sort(key=lambda p: -known[p].st_mtime_ns)
    own = next((p for p in first + copies if self._holds(p, position, head)), None)
    if own is None:
      self._reset()
      self._finished = position['changed']
      rest = [name for _, name, _ in rotated.newer(self.path, self._finished)]
      self.notes.append(
        f'{self.path}: the file that was read last is gone or was written over; what '
        f'was not read of it is lost, and {" and ".join([*rest, "this one"])} '
        f'{"are" if rest else "is"} read from {"their" if rest else "its"} beginning'
      )
      return
    empty = len(head) < _COPY and not position['offset']
    if empty and rotated.newer(self.path, position['changed']):  # copied, truncated
      self._close()
      self._finished = position['changed']
      self._open()
      return
    if (name := position.get('name', self.path)) != own:
      self.renamed.append((name, own))
    self._offset, self._lines = position['offset'], position['line'] - 1
    self._marks = collections.deque([(position['offset'], position['line'])])
    self._from, self._key, self._head = position['from'], position['key'], head
    self._counted = self._from - 1
    if self._offset:
      self._start(os.pread(self._descriptor, streams.SAMPLE, 0))

  def _holds(self, path: str, position: dict[str, Any], head: bytes) -> bool:
    """Opens a file, if it holds what was read."""
    size = position.get('size', position['offset'])
    if self._open(path) and self._is_same(head, size):
      return True
    self._close()
    return False

  @property
  def _descriptor(self) -> int:
    assert self._handle is not None
    return self._handle

  def _close(self) -> None:
    if self._handle is not None:
      os.close(self._handle)
    self._handle = None

  def _open(self, path: str = '') -> bool:
    if self.path == '-':
      self._handle = 0
      return not self.ended
    how = os.O_RDONLY | (os.O_NONBLOCK if self.filed_pipe else 0)
    self._handle, self.file = self._opened(path or self.path, how), path or self.path
    if self._finished is not None and not path:
      self._take_older(self._finished)
    if self._handle is None:
      return False
    self._finished = None
    self._reset()
    if not self.filed_pipe:
      self._head = os.pread(self._handle, _HEAD, 0)
    return True

  def _opened(self, path: str, how: int = os.O_RDONLY) -> int | None:
    """Opens a file; None where there is none, or it may not be read, which is told."""
    try:
      return os.open(path, how)
    except FileNotFoundError:
      return None
    except OSError as error:
      if path not in self._refused:
        self._refused.add(path)
        self.notes.append(f'{path} cannot be read: {error.strerror}')
      return None

  def _take_older(self, changed: int) -> None:
    """Opens in place of the path the first file that it was since this change.

    They are looked for when the path is open, so that none comes in between.
    """
    about = None if self._handle is None else os.fstat(self._handle)
    for time_ns, path, inode in rotated.newer(self.path, changed):
      if path in self._refused:
        continue
      if about is None or (time_ns <= about.st_mtime_ns and inode != about.st_ino):
        self._close()
        self._handle, self.file = self._opened(path), path
        return

  def _is_same(self, head: bytes, offset: int) -> bool:
    now = os.pread(self._descriptor, len(head), 0)
    return now == head and os.fstat(self._descriptor).st_size >= offset

  def _is_replaced(self) -> bool:
    """Whether another file is to be read now, all of this one being read."""
    if self._is_pipe or self._handle is None:
      return False
    about, now = rotated.status(self.path), os.fstat(self._handle)
    if about is None:
      return False  # renamed, and none made yet
    if (about.st_dev, about.st_ino) == (now.st_dev, now.st_ino):
      return False
    if about.st_size:
      return True
    # Who writes goes over to an empty file when told to: until then it writes here.
    return any(
      inode != now.st_ino for *_, inode in rotated.newer(self.path, now.st_mtime_ns)
    )

  def _read(self, last: bool) -> Iterator[pl.DataFrame]:
    while self._handle is not None:
      if not self._is_pipe and not self._is_same(self._head, self._position()):
        if self._has_copy():
          position = self.position
          self._close()
          self.go_on(position)
          continue
        yield from self._feed(b'', whole=True)
        self.notes.append(f'{self.path} was truncated: read from its beginning')
        handle = self._handle
        self._reset()
        self._handle = handle
      self._changed = os.fstat(self._handle).st_mtime_ns
      data = self._take()
      if not data:
        break
      self._last, self._flushed = time.monotonic(), False
      if self._stream is None and not self._rest:
        self._since = self._last
      yield from self._feed(data)
      if self._is_pipe:
        return
    idle = time.monotonic() - self._last > PATIENCE
    if last or self.ended or (idle and not self._flushed):
      self._flushed = True
      yield from self._feed(b'', whole=self.ended, flush=True)

  def _has_copy(self) -> bool:
    """Whether a file beside holds what was read, and is not read yet."""
    about = os.fstat(self._descriptor)
    for path, other in rotated.beside(self.path).items():
      if other.st_ino == about.st_ino or other.st_size < self._position():
        continue
      if other.st_mtime_ns < self._changed:
        continue  # it only begins alike
      handle = self._opened(path)
      if handle is not None:
        head = os.pread(handle, len(self._head), 0)
        os.close(handle)
        if len(head) >= _COPY and head == self._head:
          return True
    return False

  def _position(self) -> int:
    """Where the next byte is read."""
    return self._offset + len(self._rest) + self._cut

  def _take(self) -> bytes:
    if self.filed_pipe:  # who writes may go, and another one come
      try:
        return os.read(self._descriptor, _PIECE)
      except BlockingIOError:
        return b''
    if self.path != '-':
      data = os.pread(self._descriptor, _PIECE, self._position())
      if data and len(self._head) < _HEAD:
        self._head = os.pread(self._descriptor, _HEAD, 0)
      return data
    if self.ended or not select.select([0], [], [], 0)[0]:
      return b''
    data = os.read(0, _PIECE)
    self.ended = not data
    return data

  def _feed(
    self, data: bytes, whole: bool = False, flush: bool = False
  ) -> Iterator[pl.DataFrame]:
    """Gives the stream whole lines; `whole`: the last one has no end and never will."""
    self._rest += data
    flush |= whole
    end = len(self._rest) if whole else self._rest.rfind(b'\n') + 1
    if not end and len(self._rest) > _LONGEST:
      self._cut += len(self._rest) - _LONGEST
      self._rest = self._rest[:_LONGEST]
    if self._stream is None:
      waited = time.monotonic() - self._since > WAIT
      if not end or not (end >= streams.SAMPLE or flush or waited or not self._options):
        return
      self._start(self._rest[:end])
    assert self._stream is not None
    piece, self._rest = self._rest[:end], self._rest[end:]
    if piece:
      if self._offset > self._marks[-1][0]:
        self._marks.append((self._offset, self._lines + 1))
      size, self._cut = len(piece) + self._cut, 0
      self._offset += size
      self._lines += piece.count(b'\n')
      self.entry.bytes += size
    frame = self._stream.feed(piece, last=flush)
    if frame is not None:
      frame = frame.filter(pl.col('.line') >= self._from)
      if len(frame):
        yield frame

  def _start(self, sample: bytes) -> None:
    """Chooses encoding and layout by the beginning of the file."""
    if self._options is None:
      if files.is_structured(self.path):
        self.header = sample.partition(b'\n')[0] + b'\n'
      self._stream = RawLines(self.path, self._lines + 1)
      return
    now = int(time.time() * 1e6)
    entry = streams.Input(self.path)
    trial = streams.Stream(entry, self._number, self._options, now)
    trial.feed(sample[: streams.SAMPLE], last=True)
    if entry.skipped or entry.encoding.startswith(('utf-16', 'utf-32', 'utf_')):
      what = entry.skipped or entry.encoding
      raise errors.UserError(f'{self.path} is {what} and cannot be followed: scan it')
    stream = streams.Stream(self.entry, self._number, self._options, now)
    self._stream = stream
    stream.begin_as(trial, self._key, self._lines + 1)
