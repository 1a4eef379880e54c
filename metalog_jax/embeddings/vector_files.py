"""Files of word vectors -> words and a table: GloVe text, word2vec text and binary.

A file is streamed once and only rows that are asked for are parsed and kept, so
that a table of gigabytes costs the memory of its few hundred rows.
"""

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from metalog_jax import errors
from metalog_jax.logs import files

Row = tuple[str, np.ndarray]  # word, [D] float32

_FOREIGN = ('.kv', '.model', '.pkl', '.pickle', '.npy', '.npz', '.zip')
_HEAD = 1 << 12  # bytes that tell what a file is
_MAX_LINE = 1 << 20  # bytes; what has no line end (or word end) so far is no table


def read(path: str | os.PathLike, wanted: frozenset[str] | None = None):
  """Read words and their vectors; a word that comes twice keeps its first vector.

  Args:
    path: GloVe text (no header), word2vec text or binary; compressed by suffix.
    wanted: the words to keep; None keeps all.

  Returns:
    words list[str], table [words, D] float32.

  Raises:
    UserError: not such a file, damaged, or of varying dimension; names file and line.
  """
  path = pathlib.Path(path)
  blocks = files.read_blocks(os.fspath(path))
  head = b''
  while len(head) < _HEAD and (block := next(blocks, b'')):
    head += block
  _refuse(path, head)
  first, _, body = head.partition(b'\n')
  header = _header(first)
  if header and any(byte < 9 for byte in body[:_HEAD]):
    rows = _binary(path, itertools.chain([body], blocks), *header)
  else:
    rows = _text(path, itertools.chain([head], blocks), header)
  found: dict[str, np.ndarray] = {}
  for number, (word, parse) in enumerate(rows):
    if number == 0:
      dim = len(parse())  # the first row is checked whether or not it is wanted
    if (wanted is None or word in wanted) and word not in found:
      found[word] = parse()
  return list(found), np.array(list(found.values()), np.float32).reshape(-1, dim)


def _refuse(path, head):
  if not head:
    raise errors.UserError(f'{path}: empty, no word vectors (--vectors)')
  starts = (b'\x80', b'PK', b'\x93NUMPY')
  if path.suffix in _FOREIGN or head.startswith(starts):
    raise errors.UserError(
      f'{path}: a pickle, an array or an archive; --vectors takes vectors as text or '
      'as save_word2vec_format writes them'
    )


def _header(line):
  """(words, dimensions) of a word2vec header; None where the line is no header."""
  fields = line.split()
  if len(fields) == 2 and all(field.isdigit() for field in fields):
    return int(fields[0]), int(fields[1])
  return None


def _text(path, blocks, header) -> Iterator:
  dim = header[1] if header else None
  total = 0
  for number, line in enumerate(_lines(path, blocks), 1):
    line = line.rstrip(b' \r')
    if not line or (header and number == 1):
      continue
    where = f'{path}, line {number}'
    dim = line.count(b' ') if dim is None else dim
    total += 1
    yield _split(where, line, dim)
  if not total or (header and total != header[0]):
    said = f'its first line says {header[0]}' if header else 'there should be some'
    raise errors.UserError(f'{path}: {total} word vectors where {said}')


def _lines(path, blocks: Iterable[bytes]) -> Iterator[bytes]:
  rest = b''
  for block in blocks:
    *lines, rest = (rest + block).split(b'\n')
    yield from lines
    if len(rest) > _MAX_LINE:
      raise errors.UserError(
        f'{path}: a line of over {_MAX_LINE} bytes, no word vectors'
      )
  yield rest


def _split(where, line, dim):
  """A line's word and how to parse its numbers; GloVe 840B has words with spaces."""
  got = line.count(b' ')
  if got < dim or not dim:
    raise errors.UserError(
      f'{where}: {got} numbers where word vectors have {dim or "some"}: {_shown(line)}'
    )
  word, *numbers = line.rsplit(b' ', dim)
  if b' ' in word and _is_number(word.rsplit(b' ', 1)[1]):
    raise errors.UserError(
      f'{where}: over {dim} numbers, unlike line 1: {_shown(line)}'
    )

  def parse():
    try:
      return _finite(where, np.array([float(number) for number in numbers], np.float32))
    except ValueError as error:
      raise errors.UserError(f'{where}: {error}: {_shown(line)}') from None

  return word.decode('utf-8', 'replace'), parse


def _is_number(field):
  try:
    float(field)
  except ValueError:
    return False
  return True


def _binary(path, blocks, count, dim) -> Iterator:
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
      yield word, _floats(where, data[space + 1 : start])
    data = data[start:]
  if total != count or data.strip(b'\n'):
    raise errors.UserError(
      f'{path}: {total} whole vectors where its first line says {count}'
    )


def _floats(where, data):
  return lambda: _finite(where, np.frombuffer(data, '<f4').astype(np.float32))


def _finite(where, row):
  if not np.isfinite(row).all():
    raise errors.UserError(f'{where}: not all numbers are finite')
  return row


def _shown(line):
  return repr(line[:60].decode('utf-8', 'backslashreplace'))
