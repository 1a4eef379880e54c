"""Lines of raw logs by their numbers, as they stand: what verdicts quote."""

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from metalog_jax import errors
from metalog_jax.logs import files, records, systems

LONGEST = 2000  # characters of a line that are quoted


class Quotes:
  """Texts of some lines, which are read once more and kept in a temporary file.

  Args:
    options: what was read, and how.
    manifest: of the System that was made of it.
    numbers: [n] int64 of lines over all inputs, from 1, ascending.
  """

  def __init__(
    self, options: systems.Options, manifest: dict[str, Any], numbers: np.ndarray
  ):
    self._offset_of: dict[int, int] = {}
    self._file = tempfile.TemporaryFile()
    read = _records if options.system == 'auto' else _lines
    paths = [item['path'] for item in manifest['inputs'] if item['lines']]
    try:
      for number, text in read(options, paths, numbers):
        self._offset_of[number] = self._file.tell()
        self._file.write(
          text[:LONGEST].replace('\0', ' ').encode('utf-8', 'replace') + b'\0'
        )
    except (OSError, errors.UserError):
      pass  # the logs are gone, or are other ones now: what is missing is None
    self._file.seek(0)

  def __getitem__(self, number: int) -> str | None:
    """The text of a line; None where it cannot be read again, as of standard input."""
    offset = self._offset_of.get(number)
    if offset is None:
      return None
    self._file.seek(offset)
    return self._file.read(4 * LONGEST + 1).split(b'\0', 1)[0].decode()

  def __enter__(self) -> 'Quotes':
    return self

  def __exit__(self, *_: object) -> None:
    self._file.close()


Texts = Iterator[tuple[int, str]]


def _lines(options: systems.Options, paths: list[str], numbers: np.ndarray) -> Texts:
  if '-' in paths:
    return
  for chunk in files.read_chunks(paths, len):
    data = np.frombuffer(chunk.data, np.uint8)
    ends = np.flatnonzero(data == ord('\n'))
    first, last = np.searchsorted(numbers, (chunk.number, chunk.number + len(ends)))
    for number in numbers[first:last].tolist():
      i = number - chunk.number
      start = int(ends[i - 1]) + 1 if i else 0
      text = chunk.data[start : min(int(ends[i]), start + 4 * LONGEST)]
      yield number, text.decode('utf-8', 'backslashreplace').rstrip('\r')


def _records(options: systems.Options, paths: list[str], numbers: np.ndarray) -> Texts:
  if '-' in paths:
    return
  number = 1
  for block in records.read(options.logs, options.format or 'auto'):
    starts = number + np.cumsum(block.lines, dtype=np.int64) - block.lines
    for i in np.flatnonzero(np.isin(starts, numbers)).tolist():
      yield int(starts[i]), block.text[i]
    number += int(block.lines.sum())
