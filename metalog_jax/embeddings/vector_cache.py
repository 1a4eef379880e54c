"""Encoded texts on disk, found again by the content of text, weights and settings.

A folder for each model with its settings, in it a file for each call that had
something new: the digests of its texts [n, 32], the rows that each of them has [n], and
all rows one after another [N, D]. Files are whole or not there, and never change.
"""

import hashlib
import logging
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from metalog_jax import errors

VARIABLE = 'METALOG_CACHE'  # the environment's: where to keep what can be made again
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def root() -> pathlib.Path:
  """$METALOG_CACHE, or metalog_jax in the user's cache folder."""
  if chosen := os.environ.get(VARIABLE):
    return pathlib.Path(chosen)
  folder = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(folder) / 'metalog_jax'


class Cache:
  """What texts became under one model and one set of settings.

  Args:
    key: a hash of all but the text that the result depends on.
  """

  def __init__(self, key: str):
    self.folder = root() / 'encoder' / key[:32]

  def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows [n, D] of those of `texts` that are kept; damaged files do not count."""
    wanted = {_digest(text): text for text in texts}
    found: dict[str, np.ndarray] = {}
    for path in sorted(self.folder.glob('*.npz')):
      try:
        found |= _read(path, wanted)
      except _DAMAGE as error:
        logging.warning('%s is damaged and not used (%s)', path, error)
    return found

  def put(self, rows: Mapping[str, np.ndarray]) -> None:
    """Keeps `rows`; a folder that cannot be written to costs a warning alone."""
    digests = [_digest(text) for text in rows]
    content = {
      'texts': np.frombuffer(b''.join(digests), np.uint8).reshape(-1, 32),
      'lengths': np.array([len(values) for values in rows.values()]),
      'values': np.concatenate(list(rows.values())).astype(np.float32),
    }
    name = hashlib.sha256(b''.join(digests)).hexdigest()[:32]
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      _write(self.folder / f'{name}.npz', content)
    except OSError as error:
      logging.warning('encoded texts are not kept (%s): set %s', error, VARIABLE)


def _write(path, content):
  """All of it, or nothing; several processes may write the same file at once."""
  with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
    try:
      np.savez(file, **content)
      file.flush()
      os.replace(file.name, path)
    except BaseException:
      os.unlink(file.name)
      raise


def _read(path, wanted):
  """The rows of the wanted texts in one file."""
  with np.load(path, allow_pickle=False) as file:
    digests = [row.tobytes() for row in file['texts']]
    here = [(i, wanted[d]) for i, d in enumerate(digests) if d in wanted]
    if not here:
      return {}
    ends = np.cumsum(file['lengths'])
    values = file['values']
    if len(ends) != len(digests) or ends[-1] != len(values):
      raise errors.UserError(f'{len(digests)} texts and {len(values)} rows do not fit')
    return {text: values[ends[i] - file['lengths'][i] : ends[i]] for i, text in here}


def _digest(text: str) -> bytes:
  return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()
