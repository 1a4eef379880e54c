"""Files of word vectors: GloVe text, word2vec text and binary.

A file is streamed once and only rows that are asked for are parsed and kept, so
that a table of gigabytes costs the memory of its few hundred rows. (gensim's loader
reads whole tables, trusts their headers, and names no line of a damaged file.)
"""

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from metalog_jax import errors
from metalog_jax.logs import files

# A word and how to parse its vector: [D] float32.
_Row = tuple[str, Callable[[], np.ndarray]]

_FOREIGN = ('.kv', '.model', '.pkl', '.pickle', '.npy', '.npz', '.zip')
_FOREIGN_STARTS = (b'\x80', b'PK', b'\x93NUMPY')
_HEAD = 1 << 12  # bytes that tell what a file is
_MAX_LINE = 1 << 20  # bytes; what has no line end (or word end) so far is no table


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
  fields = first.split()
  has_header = len(fields) == 2 and all(field.isdigit() for field in fields)
  header = (int(fields[0]), int(fields[1])) if has_header else None
  if header and any(byte < 9 for byte in body[:_HEAD]):
    rows = _binary_rows(path, itertools.chain([body], blocks), *header)
  else:
    rows = _text_rows(path, itertools.chain([head], blocks), header)
  vectors: dict[str, np.ndarray] = {}
  dim = 0
  for word, parse in rows:
    dim = dim or len(parse())  # the first row is checked whether or not it is wanted
    if word in wanted and word not in vectors:
      vectors[word] = parse()
  return list(vectors), np.array(list(vectors.values()), np.float32).reshape(-1, dim)


def _text_rows(
  path: pathlib.Path, blocks: Iterable[bytes], header: tuple[int, int] | None
) -> Iterator[_Row]:
  dim = header[1] if header else None
  total = 0
  for number, line in enumerate(_lines(path, blocks), 1):
    line = line.rstrip(b' \r')
    if not line or (header and number == 1):
      continue
    dim = line.count(b' ') if dim is None else dim
    total += 1
    yield _text_row(f'{path}, line {number}', line, dim)
  if not total or (header and total != header[0]):
    expected = f'its first line says {header[0]}' if header else 'there should be some'
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


def _text_row(where: str, line: bytes, dim: int) -> _Row:
  """A line's word and how to parse its numbers; GloVe 840B has words with spaces."""
  count = line.count(b' ')
  if count < dim or not dim:
    raise errors.UserError(
      f'{where}: {count} numbers where word vectors have {dim or "some"}: '
      + _shown(line)
    )
  word, *numbers = line.rsplit(b' ', dim)
  if b' ' in word and _is_number(word.rsplit(b' ', 1)[1]):
    raise errors.UserError(
      f'{where}: over {dim} numbers, unlike line 1: {_shown(line)}'
    )

  def parse() -> np.ndarray:
    try:
      row = np.array([float(number) for number in numbers], np.float32)
    except ValueError as error:
      raise errors.UserError(f'{where}: {error}: {_shown(line)}') from None
    return _finite(where, row)

  return word.decode('utf-8', 'replace'), parse


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
      word = data[start:space].lstrip(b'\n').decode('utf-8', 'replace')
      start = space + 1 + size
      yield word, functools.partial(_binary_row, where, data[space + 1 : start])
    data = data[start:]
  if total != count or data.strip(b'\n'):
    raise errors.UserError(
      f'{path}: {total} whole vectors where its first line says {count}'
    )


def _binary_row(where: str, data: bytes) -> np.ndarray:
  return _finite(where, np.frombuffer(data, '<f4').astype(np.float32))


def _finite(where: str, row: np.ndarray) -> np.ndarray:
  if not np.isfinite(row).all():
    raise errors.UserError(f'{where}: not all numbers are finite')
  return row


def _shown(line: bytes) -> str:
  return repr(line[:60].decode('utf-8', 'backslashreplace'))
