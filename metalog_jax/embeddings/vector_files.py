"""Files of word vectors: GloVe text, word2vec text and binary.

A file is streamed once and only rows that are asked for are parsed and kept, so
that a table of gigabytes costs the memory of its few hundred rows. (gensim's loader
reads whole tables, trusts their headers, and names no line of a damaged file.)
"""

import itertools
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from metalog_jax import errors
from metalog_jax.logs import files

_FOREIGN = ('.kv', '.model', '.pkl', '.pickle', '.npy', '.npz', '.zip')
_FOREIGN_STARTS = (b'\x80', b'PK', b'\x93NUMPY')
_HEAD = 1 << 12  # bytes that tell what a file is
_MAX_LINE = 1 << 20  # bytes; what has no line end (or word end) so far is no table


class _Row(NamedTuple):
  """A word and its vector, not yet parsed."""

  where: str  # file and line, for messages
  word: bytes
  numbers: list[bytes] | bytes  # as text, or D little-endian float32

  def parse(self) -> np.ndarray:
    """The vector, [D] float32."""
    try:
      if isinstance(self.numbers, bytes):
        vector = np.frombuffer(self.numbers, '<f4').astype(np.float32)
      else:
        vector = np.array([float(number) for number in self.numbers], np.float32)
    except ValueError as error:
      raise errors.UserError(f'{self.where}: {str(error)[:100]}') from None
    if not np.isfinite(vector).all():
      raise errors.UserError(f'{self.where}: not all numbers are finite')
    return vector


def read(path: pathlib.Path, wanted: Collection[str]) -> tuple[list[str], np.ndarray]:
  """Reads the vectors of some words; one that comes twice keeps its first vector.

  Args:
    path: GloVe text (no header), word2vec text or binary; compressed by suffix.
    wanted: the words to keep, where the file has them.

  Returns:
    The words, in the file's order, and their table [words, D] float32.

  Raises:
    UserError: not such a file, damaged, or of varying dimension; names file and line.
  """
  vectors: dict[str, np.ndarray] = {}
  dim = 0
  for row in _rows(path):
    dim = dim or len(row.parse())  # the first is checked whether or not it is wanted
    word = row.word.decode('utf-8', 'replace')
    if word in wanted and word not in vectors:
      vectors[word] = row.parse()
  return list(vectors), np.array(list(vectors.values()), np.float32).reshape(-1, dim)


def _rows(path: pathlib.Path) -> Iterator[_Row]:
  """All rows of a file, whose format its first bytes tell."""
  blocks = files.read_blocks(os.fspath(path))
  head = b''
  while len(head) < _HEAD and (block := next(blocks, b'')):
    head += block
  if not head:
    raise errors.UserError(f'{path}: empty, no word vectors (--vectors)')
  if path.suffix in _FOREIGN or head.startswith(_FOREIGN_STARTS):
    raise errors.UserError(
      f'{path}: a pickle, an array or an archive; --vectors takes vectors as text or '
      'as save_word2vec_format writes them'
    )
  first, _, body = head.partition(b'\n')
  header = first.split()
  count = dim = None
  if len(header) == 2 and all(field.isdigit() for field in header):
    count, dim = map(int, header)
    if any(byte < 9 for byte in body[:_HEAD]):
      yield from _binary_rows(path, itertools.chain([body], blocks), count, dim)
      return
  yield from _text_rows(path, itertools.chain([head], blocks), count, dim)


def _text_rows(
  path: pathlib.Path, blocks: Iterable[bytes], count: int | None, dim: int | None
) -> Iterator[_Row]:
  """A word and D numbers a line; word2vec's first line says how many of each."""
  total = 0
  for number, line in enumerate(_lines(path, blocks), 1):
    line = line.rstrip(b' \r')
    if not line or (count is not None and number == 1):
      continue
    spaces = line.count(b' ')
    dim = spaces if dim is None else dim
    where = f'{path}, line {number}'
    if spaces < dim or not dim:
      raise errors.UserError(
        f'{where}: {spaces} numbers where word vectors have {dim or "some"}: '
        f'{line[:60].decode("utf-8", "backslashreplace")!r}'
      )
    word, *numbers = line.rsplit(b' ', dim)
    # GloVe 840B has words with spaces, but none that end in a number.
    if b' ' in word and _is_number(word.rsplit(b' ', 1)[1]):
      raise errors.UserError(f'{where}: over {dim} numbers, unlike line 1')
    total += 1
    yield _Row(where, word, numbers)
  if not total or count not in (None, total):
    expected = f'its first line says {count}' if count else 'there should be some'
    raise errors.UserError(f'{path}: {total} word vectors where {expected}')


def _lines(path: pathlib.Path, blocks: Iterable[bytes]) -> Iterator[bytes]:
  rest = b''
  for block in blocks:
    *lines, rest = (rest + block).split(b'\n')
    yield from lines
    if len(rest) > _MAX_LINE:
      raise errors.UserError(
        f'{path}: a line of over {_MAX_LINE} bytes, no word vectors'
      )
  yield rest


def _is_number(field: bytes) -> bool:
  try:
    float(field)
  except ValueError:
    return False
  return True


def _binary_rows(
  path: pathlib.Path, blocks: Iterable[bytes], count: int, dim: int
) -> Iterator[_Row]:
  """word2vec's format: word, space, D little-endian float32, maybe a line end."""
  size, total, data = 4 * dim, 0, b''
  for block in blocks:
    data, start = data + block, 0
    while (space := data.find(b' ', start)) >= 0 and space + 1 + size <= len(data):
      total += 1
      where = f'{path}, vector {total}'
      if total > count or space - start > _MAX_LINE:
        raise errors.UserError(
          f'{where}: damaged, the first line says {count} of {dim}'
        )
      word = data[start:space].lstrip(b'\n')
      start = space + 1 + size
      yield _Row(where, word, data[space + 1 : start])
    data = data[start:]
  if total != count or data.strip(b'\n'):
    raise errors.UserError(
      f'{path}: {total} whole vectors where its first line says {count}'
    )
