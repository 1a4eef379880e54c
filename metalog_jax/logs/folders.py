"""Folders that are there whole or not at all."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import IO

from metalog_jax import errors

_LOCK = 'lock'  # in a folder while it is being written


@contextlib.contextmanager
def replacing(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Gives an empty folder that takes the place of `folder` at the end of the block.

  Until then the old folder is as it was, and after an error it stays so.

  Raises:
    UserError: another process is writing it.
    OSError: the folder cannot be written.
  """
  folder = pathlib.Path(os.path.abspath(folder))
  try:
    partial, lock = _make_partial(folder)
  except OSError as error:
    raise OSError(f'cannot write {folder}: {error.strerror}; change --out') from error
  with lock:
    try:
      yield partial
      _replace(partial, folder)
    except OSError as error:
      if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise
      raise OSError(f'cannot write {folder}: no space left there') from error
    finally:
      shutil.rmtree(partial, ignore_errors=True)


def _make_partial(folder: pathlib.Path) -> tuple[pathlib.Path, IO]:
  """The folder to write in, empty but for a lock that dies with its process."""
  partial = folder.parent / f'.{folder.name}.partial'
  partial.mkdir(parents=True, exist_ok=True)
  lock = open(partial / _LOCK, 'w')
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    lock.close()
    raise errors.UserError(f'{folder} is being written by another process') from None
  for path in partial.iterdir():  # left there by a process that was killed
    if path.is_dir():
      shutil.rmtree(path)
    elif path.name != _LOCK:
      path.unlink()
  return partial, lock


def _replace(partial: pathlib.Path, folder: pathlib.Path) -> None:
  (partial / _LOCK).unlink()
  if not folder.exists():
    os.rename(partial, folder)
    return
  old = folder.parent / f'.{folder.name}.old'
  shutil.rmtree(old, ignore_errors=True)
  os.rename(folder, old)
  try:
    os.rename(partial, folder)
  except OSError:
    os.rename(old, folder)
    raise
  shutil.rmtree(old, ignore_errors=True)
