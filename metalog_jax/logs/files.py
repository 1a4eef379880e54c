"""Files as chunks of whole lines: decompressed, hashed and numbered on the way.

Nothing here knows what a line means. Memory is bounded by the chunk, whatever
the files hold: a line without an end is cut, and dropped by the reader.
"""

import bz2
import glob
import hashlib
import itertools
import lzma
import os
import pathlib
import signal
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import zstandard

from metalog_jax import errors

CHUNK = 8 << 20  # bytes
MAX_LINE = 1 << 20  # bytes of a line that are kept
BLOCK = 1 << 16  # bytes read at once
MAX_TEXT = 1 << 28  # bytes of a file that is read whole
_PIECE = 1 << 10  # compressed bytes taken at once: 33 MB decompressed at most (zstd)
_MAX_PIECE = 1 << 22  # decompressed bytes taken at once, of the others
_DECOMPRESSORS = {
  '.gz': lambda: zlib.decompressobj(wbits=31),
  '.bz2': bz2.BZ2Decompressor,
  '.xz': lzma.LZMADecompressor,
  '.zst': lambda: zstandard.ZstdDecompressor().decompressobj(),
}
COMPRESSED = tuple(_DECOMPRESSORS)  # endings of names
_DAMAGE = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, ValueError)


class Chunk(NamedTuple):
  """Some whole lines of one file."""

  data: bytes
  path: str
  number: int  # of its first line, from 1 over all inputs
  line: int  # of its first line, from 1 in its file
  header: bytes  # the first line of a structured file, else empty


class Input(NamedTuple):
  """What a file turned out to be; a manifest lists them."""

  path: str
  sha256: str
  bytes: int
  lines: int


class _Stored:
  """A file's bytes as they go by."""

  def __init__(self, progress: Callable[[int], Any] = bool):
    self._sha, self._size, self._progress = hashlib.sha256(), 0, progress

  def add(self, block: bytes) -> None:
    self._sha.update(block)
    self._size += len(block)
    self._progress(len(block))

  def as_input(self, path: str, lines: int) -> Input:
    return Input(path, self._sha.hexdigest(), self._size, lines)


def expand(paths: Sequence[str], leave_out: Sequence[str] = ()) -> list[str]:
  """Files, patterns and folders to files: a folder gives its logs, sorted.

  Raises UserError for a path that does not exist, a folder without a log, or a link in
  a folder that leads out of it: who writes logs does not choose what else is read.
  """
  expanded = []
  for path in paths:
    here = pathlib.Path(path)
    if path == '-' or here.is_file() or here.is_fifo() or here.is_char_device():
      expanded.append(path)
      continue
    if here.is_dir():
      names = [*here.rglob('*')]
      inside = [p for p in names if p.is_file() and _is_log(p.name)]
      links = [p for p in names if p.is_dir() and leaves(p, here)]
      linked = (p for p in links if any(_is_log(log.name) for log in p.rglob('*')))
      out = next(itertools.chain((p for p in inside if leaves(p, here)), linked), None)
      if out:
        raise errors.UserError(f'{out} is a link out of {path}: name it in --logs')
    else:
      inside = [pathlib.Path(p) for p in glob.glob(path, recursive=True)]
    skip = [p for p in leave_out if p and os.path.exists(p)]
    inside = [p for p in inside if not any(os.path.samefile(p, s) for s in skip)]
    if not inside:
      what = 'holds no *.log file' if here.is_dir() else 'does not exist'
      raise errors.UserError(f'{path} {what}: check --logs')
    expanded += sorted(map(str, inside))
  return expanded


def leaves(file: pathlib.Path, folder: pathlib.Path) -> bool:
  """Whether a file of a folder is a link to what is not in it."""
  there = pathlib.Path(os.path.realpath(file))
  return file.is_symlink() and not there.is_relative_to(os.path.realpath(folder))


def _is_log(name: str) -> bool:
  return not name.startswith('.') and '.log.' in f'{name}.'


def uncompressed(path: str) -> str:
  """The path without the ending of a compressed file."""
  stem, suffix = os.path.splitext(path)
  return stem if suffix in COMPRESSED else path


def is_structured(path: str) -> bool:
  """Whether the name is that of a loghub `*_structured.csv` file."""
  return uncompressed(path).endswith('_structured.csv')


def read_blocks(
  path: str,
  seen: Callable[[bytes], Any] = len,
  size: int = BLOCK,
  opener: Callable[[str], BinaryIO] | None = None,
) -> Generator[bytes]:
  """Yields the decompressed content; `seen` is given the bytes as they are stored.

  Raises UserError for compressed data that are cut short or damaged.
  """
  make = _DECOMPRESSORS.get(os.path.splitext(path)[1])
  if path == '-':
    raw = sys.stdin.buffer
    signal.siginterrupt(signal.SIGINT, True)  # else polars makes Ctrl-C wait for input
  else:
    raw = opener(path) if opener else open(path, 'rb')
  with raw:
    engine: Any = make() if make else None
    while block := raw.read(size):
      seen(block)
      if not engine:
        yield block
        continue
      try:
        engine = yield from _decompress(engine, block, make)
      except _DAMAGE as error:
        raise errors.UserError(f'{path}: damaged compressed data: {error}') from None
    if engine and not engine.eof:
      raise errors.UserError(
        f'{path}: compressed data end too early: the file was cut short'
      )


def _decompress(engine, block, make):
  """Yields what `block` holds, in bounded pieces; may be several streams in a row."""
  for start in range(0, len(block), _PIECE):
    piece = block[start : start + _PIECE]
    while piece:
      if engine.eof:
        piece = piece.lstrip(b'\0')  # padding between streams
        if not piece:
          break
        engine = make()
      if hasattr(engine, 'needs_input'):  # bz2 and xz
        yield engine.decompress(piece, _MAX_PIECE)
        while not (engine.eof or engine.needs_input):
          yield engine.decompress(b'', _MAX_PIECE)
      else:
        yield engine.decompress(piece)
      piece = engine.unused_data if engine.eof else b''
  return engine


def read_text(path: str, flag: str) -> tuple[str, Input]:
  """A whole small file, which `flag` names; bytes that are not UTF-8 are escaped.

  Raises UserError for no such file, a folder, damaged data, or more than 268 MB.
  """
  stored, parts, size = _Stored(), [], 0
  try:
    for part in read_blocks(path, stored.add):
      parts.append(part)
      size += len(part)
      if size > MAX_TEXT:
        raise errors.UserError(
          f'{path} holds more than {MAX_TEXT:,} bytes: check {flag}'
        )
  except FileNotFoundError:
    raise errors.UserError(f'{path} does not exist: check {flag}') from None
  except IsADirectoryError:
    raise errors.UserError(f'{path} is a folder: check {flag}') from None
  data = b''.join(parts).removeprefix(b'\xef\xbb\xbf')
  lines = data.count(b'\n') + (not data.endswith(b'\n'))
  return data.decode('utf-8', 'backslashreplace'), stored.as_input(path, lines)


def read_chunks(
  paths: Sequence[str],
  done: Callable[[Input], Any],
  chunk_bytes: int = 0,
  progress: Callable[[int], Any] = bool,
) -> Iterator[Chunk]:
  """Yields all lines of all files in order; `done` is given every finished file.

  Args:
    chunk_bytes: about the size of a chunk; 0 for CHUNK.
    progress: called with the number of stored bytes read since the last call.

  Raises:
    UserError: damaged data, a file that is not text, or no line in any file.
  """
  total = 0
  for path in paths:
    inputs: list[Input] = []
    yield from read_file(path, inputs.append, total + 1, chunk_bytes, progress)
    total += inputs[0].lines
    done(inputs[0])
  if not total:
    raise empty(paths)


def read_file(
  path: str,
  done: Callable[[Input], Any],
  number: int = 1,
  chunk_bytes: int = 0,
  progress: Callable[[int], Any] = bool,
  opener: Callable[[str], BinaryIO] | None = None,
) -> Iterator[Chunk]:
  """Yields the lines of one file; see `read_chunks`.

  Args:
    number: of its first line over all inputs.
    opener: gives the stored bytes of a path; None: a local file's.
  """
  chunk_bytes = chunk_bytes or CHUNK
  stored, lines, header = _Stored(progress), 0, b''
  blocks = read_blocks(path, stored.add, min(BLOCK, chunk_bytes), opener)
  for data in _whole_lines(path, blocks, chunk_bytes):
    if is_structured(path) and not lines:
      header = data[: data.index(b'\n') + 1]
    yield Chunk(data, path, number + lines, lines + 1, header)
    lines += data.count(b'\n')
  done(stored.as_input(path, lines))


def empty(paths: Sequence[str]) -> errors.UserError:
  """The error for inputs without a line."""
  return errors.UserError(f'{", ".join(paths)}: no line to read, the input is empty')


def _whole_lines(path, blocks, chunk_bytes) -> Iterator[bytes]:
  """Joins and cuts blocks at line ends; the last line always gets its end."""
  parts, size = [], 0
  for i, block in enumerate(blocks):
    parts.append(block if i else check_start(path, block))
    size += len(block)
    if size < chunk_bytes:
      continue
    data = b''.join(parts)
    end = data.rfind(b'\n') + 1
    if end:
      yield data[:end]
    rest = data[end:]
    parts = [rest if len(rest) <= MAX_LINE else rest[: MAX_LINE + 1]]
    size = 0 if len(rest) > MAX_LINE else len(rest)
  rest = b''.join(parts)
  if rest:
    yield rest if rest.endswith(b'\n') else rest + b'\n'


def check_start(path: str, block: bytes) -> bytes:
  """The first block without a byte order mark; UserError where it is UTF-16."""
  if block[:2] in (b'\xff\xfe', b'\xfe\xff'):
    raise errors.UserError(
      f'{path} is UTF-16: convert it first (iconv -f UTF-16 -t UTF-8)'
    )
  return block.removeprefix(b'\xef\xbb\xbf')
