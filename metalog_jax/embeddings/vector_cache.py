"""Encoded texts on disk, found again by the content of text, weights and settings.

A folder for each model with its settings, in it a file for each call that had
something new: the digests of its texts [n, 32] and their vectors [n, D]. Files are
whole or not there, and never change.
"""

import hashlib
import logging
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from metalog_jax import atomic, errors

VARIABLE = 'METALOG_CACHE'  # the environment's: where to keep what can be made again
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def root() -> pathlib.Path:
  """$METALOG_CACHE, or metalog_jax in the user's cache folder."""
  if chosen := os.environ.get(VARIABLE):
    return pathlib.Path(chosen)
  folder = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(folder) / 'metalog_jax'


class Cache:
  """The vectors of texts under one model and one set of settings.

  Args:
    key: a hash of all but the text that a vector depends on.
  """

  def __init__(self, key: str):
    self.folder = root() / 'encoder' / key[:32]

  def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The vectors [D] of those of `texts` that are kept; damaged files do not count."""
    wanted = {_digest(text): text for text in texts}
    vectors: dict[str, np.ndarray] = {}
    for path in sorted(self.folder.glob('[!.]*.npz')):
      try:
        vectors |= _read(path, wanted)
      except _DAMAGE as error:
        logging.warning('%s is damaged and not used (%s)', path, error)
    return vectors

  def put(self, vectors: Mapping[str, np.ndarray]) -> None:
    """Keeps vectors; a folder that cannot be written to costs a warning alone."""
    digests = b''.join(map(_digest, vectors))
    path = self.folder / f'{hashlib.sha256(digests).hexdigest()[:32]}.npz'
    try:
      with atomic.writing(path) as partial:
        np.savez(
          partial,
          texts=np.frombuffer(digests, np.uint8).reshape(-1, 32),
          values=np.stack(list(vectors.values())),
        )
    except (OSError, errors.UserError) as error:
      logging.warning('encoded texts are not kept (%s): set %s', error, VARIABLE)


def _read(path: pathlib.Path, wanted: Mapping[bytes, str]) -> dict[str, np.ndarray]:
  """The vectors of the wanted texts in one file."""
  with np.load(path, allow_pickle=False) as file:
    digests = [row.tobytes() for row in file['texts']]
    if wanted.keys().isdisjoint(digests):
      return {}
    values = file['values']
  return {
    wanted[digest]: vector
    for digest, vector in zip(digests, values, strict=True)
    if digest in wanted
  }


def _digest(text: str) -> bytes:
  return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()
