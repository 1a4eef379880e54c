"""What all that follow logs do: read as lines come, and outlive kills.

`Live` is the loop; `Journal` a file of JSON lines that is added to, and state that is
saved in one step. State is a function of the lines alone: a process that takes it up
reads the same lines again and writes the same, so that what stands in the journal
already is known and not written twice.
"""

import hashlib
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from metalog_jax import atomic, clean, errors
from metalog_jax.logs import manifests, streams
from metalog_jax.logs.files import COMPRESSED
from metalog_jax.logs.tail import Tail

POLL = 0.1  # seconds
STATE = 'state.json'
VERSION = 1


class Journal:
  """What was written, and state that says how much of it counts.

  Args:
    folder: of the state.
    path: of the file of JSON lines.
    settings: of logs and flags; who goes on must have the same.
    key: of a row; rows of one key are one row.

  Raises:
    UserError: the file holds what was not written with such state, or is in use.
  """

  def __init__(
    self,
    folder: str | os.PathLike,
    path: str | os.PathLike,
    settings: dict[str, Any],
    key: Callable[[dict[str, Any]], Any],
  ):
    folder, self._path = pathlib.Path(folder), pathlib.Path(path)
    if folder.is_file():
      raise errors.UserError(f'{folder} is a file: give a folder')
    atomic.check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic.check_output(self._path)
    self.path, self._settings, self._key = str(folder / STATE), settings, key
    holds_rows = self._path.is_file() and self._path.stat().st_size
    if holds_rows and not os.path.exists(self.path):  # state is saved before any row
      raise errors.UserError(
        f'{self._path} is of a run that did not follow (there is no {self.path}): give '
        'a new folder'
      )
    self._lock = atomic.locked(folder)
    self._lock.__enter__()
    self._file = open(self._path, 'ab')  # noqa: SIM115
    self._written: set[Any] = set()
    self._rows = hashlib.sha256()  # of all that counts in the file

  def load(self) -> dict[str, Any] | None:
    """State that was saved; rows that were written since are known afterwards.

    Raises UserError where it is damaged, or of other logs or flags.
    """
    if not os.path.exists(self.path):
      return None
    try:
      saved = json.loads(pathlib.Path(self.path).read_bytes())
      manifests.check_seal(saved)
      version, settings, size = (saved[k] for k in ('version', 'settings', 'bytes'))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
      raise errors.UserError(
        f'{self.path} is damaged: {error!r}; give a new folder'
      ) from error
    both = dict.fromkeys([*settings, *self._settings])  # what is left out is off
    changed = [k for k in both if settings.get(k) != self._settings.get(k)]
    if version != VERSION or changed:
      what = ', '.join(changed) or 'version'
      raise errors.UserError(
        f'{self.path} is of another {what}: give a new folder, or what was given before'
      )
    data = self._path.read_bytes()
    end = data.rfind(b'\n') + 1
    try:
      if hashlib.sha256(data[:size]).hexdigest() != saved['rows']:
        raise ValueError('it is not what was written')
      for line in data[size:end].splitlines():
        self._written.add(self._key(json.loads(line)))
    except (LookupError, TypeError, ValueError, RecursionError) as error:
      raise errors.UserError(
        f'{self._path} is damaged: {error!r}; give a new folder'
      ) from error
    self._file.truncate(end)  # half a line, of a process that was killed
    self._rows.update(data[:end])
    return saved

  def append(self, row: dict[str, Any]) -> bool:
    """Writes a row; False where it stands there already."""
    if self._written and self._key(row) in self._written:
      return False
    line = (atomic.to_json(row) + '\n').encode('utf-8', 'replace')
    self._file.write(line)
    self._file.flush()
    self._rows.update(line)
    return True

  def save(self, content: dict[str, Any]) -> None:
    """Saves state in one step."""
    os.fsync(self._file.fileno())
    about = {
      'version': VERSION,
      'settings': self._settings,
      'bytes': self._file.tell(),
      'rows': self._rows.hexdigest(),
    }
    saved = manifests.sealed(about | content)
    atomic.write_text(self.path, atomic.to_json(saved) + '\n')

  def close(self) -> None:
    """Gives the folder to others."""
    self._file.close()
    self._lock.__exit__(None, None, None)


def open_tails(
  files: Sequence[str],
  named: Sequence[str],
  read: streams.Options | None,
  note: Callable[[str], Any],
) -> list[Tail]:
  """A tail for each file that can grow; says which compressed ones are left out.

  Args:
    named: paths that the user gave: these are not left out, but refused.
    read: see `Tail`.

  Raises:
    UserError: there is none, or a compressed file was named.
  """
  grow = [path for path in files if path in named or not path.endswith(COMPRESSED)]
  if left_out := len(files) - len(grow):
    left = clean.counted(left_out, 'compressed file')
    note(f'left out: {left}, which cannot grow')
  if not grow:
    raise errors.UserError(f'{", ".join(named)}: no log that can grow')
  return [Tail(path, i, read) for i, path in enumerate(grow)]


class Live:
  """Reads logs as they grow, until a signal comes or standard input ends.

  Those who inherit from it say what becomes of records (`add`), of quiet (`rest`) and
  of the end (`end`).

  Args:
    note: called with each sentence about the logs.
    beat: called every tenth of a second.
  """

  def __init__(
    self, tails: list[Tail], note: Callable[[str], Any], beat: Callable[[Any], Any]
  ):
    self.tails, self.note, self._beat = tails, note, beat
    self._named: list[Tail] = []  # whose format was told
    self.journal: Journal | None = None
    self.stopped = 0  # the signal that came

  def add(self, frame: pl.DataFrame, tail: Tail) -> None:
    """Takes what has come to a file, and says to the tail when it is counted."""
    raise NotImplementedError

  def rename(self, old: str, new: str) -> None:
    """Gives places in a file that was rotated its new name."""
    raise NotImplementedError

  def rest(self) -> None:
    """Called after each look at the files."""

  def end(self) -> None:
    """Judges what is left."""
    raise NotImplementedError

  def run(self) -> None:
    """Follows; SIGINT and SIGTERM end it, a second SIGINT at once."""
    heard = {s: signal.signal(s, self._stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
      while not self.stopped:
        got = sum(self._take(tail) for tail in self.tails)
        if self.ended:
          break
        self.rest()
        self._beat(self)
        if not got:
          time.sleep(POLL)
      for tail in self.tails:
        self._take(tail, last=True)
      self.end()
    finally:
      for number, handler in heard.items():
        signal.signal(number, handler)
      if self.journal:
        self.journal.close()

  @property
  def ended(self) -> bool:
    """Whether nothing more can come: standard input was read to its end."""
    return all(tail.ended for tail in self.tails)

  @property
  def positions(self) -> list[dict[str, Any]]:
    """Where another process goes on."""
    return [tail.position for tail in self.tails]

  def go_on(self, positions: list[dict[str, Any]] | None) -> None:
    """Begins where another process was; None: at the beginning of the files."""
    for i, tail in enumerate(self.tails):
      if positions is None:
        tail.begin()
      else:
        tail.go_on(positions[i])
      self._rename(tail)

  def _stop(self, number: int, _: Any) -> None:
    self.stopped = number
    signal.signal(number, signal.default_int_handler)  # a second one does not wait

  def _rename(self, tail: Tail) -> None:
    tail.look()
    for old, new in tail.renamed:
      self.rename(old, new)
    tail.renamed.clear()

  def _take(self, tail: Tail, last: bool = False) -> int:
    """Adds what has come to a file; the number of records."""
    total = 0
    for frame in tail.poll(last):
      total += len(frame)
      self._rename(tail)
      self.add(frame, tail)
      if self.stopped and not last:
        break
    self._rename(tail)
    if tail.entry.format and tail not in self._named:
      self._named.append(tail)
      self.note(f'{tail.path}: {tail.entry.format}, {tail.entry.encoding}')
    for text in tail.notes:
      self.note(text)
    tail.notes.clear()
    return total
