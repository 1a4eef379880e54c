"""Files and folders that are there whole or not at all, and never in the way of others.

Everything is written beside its place under a name of this process, and takes its
place in one step when it is whole. After an error, or a kill, what was there before
is as it was; what a killed process left is removed by the next one that writes there.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import math
import os
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from metalog_jax import errors

Path = str | os.PathLike

# C1 controls, marks of direction, separators of lines; JSON escapes the C0 itself.
_UNSAFE = re.compile('[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]')
_PARTIAL, _OLD = 'partial', 'old'
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.ENAMETOOLONG, errno.EBUSY)  # and no permission, folder


def write_text(path: Path, text: str) -> None:
  """Writes a text file as UTF-8, atomically; raises UserError where it cannot."""
  with writing(path) as partial:
    # A lone surrogate becomes its escape, as JSON writes it.
    partial.write_bytes(text.encode('utf-8', 'backslashreplace'))


def write_json(path: Path, value: Any) -> None:
  """Writes strict JSON (`to_json`), atomically; raises UserError where it cannot."""
  write_text(path, to_json(value, indent=1) + '\n')


def to_json(value: Any, indent: int | None = None) -> str:
  """The value as strict JSON: NaN and infinities are null, which any reader takes.

  What could drive a terminal or turn its text around is written as escapes.

  Args:
    value: of dicts, sequences, strings, numbers, paths, NumPy scalars and arrays.
  """
  strict = _strict(value)
  text = json.dumps(strict, indent=indent, allow_nan=False, ensure_ascii=False)
  return _UNSAFE.sub(lambda match: f'\\u{ord(match[0]):04x}', text)


def _strict(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _strict(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_strict(item) for item in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if hasattr(value, 'tolist'):  # NumPy, without importing it
    return _strict(value.tolist())
  return str(value) if isinstance(value, os.PathLike) else value


@contextlib.contextmanager
def writing(path: Path) -> Iterator[pathlib.Path]:
  """Gives a file to write, which takes the place of `path` at the end of the block.

  The file given has the suffix of `path`, and is removed after an error. Folders that
  lack above `path` are made. Raises UserError as `check_output`, or on a full disk.
  """
  path = pathlib.Path(path)
  check_output(path)
  with _saying(path), _partial(path, path.suffix, pathlib.Path.touch) as partial:
    remove_leftovers(path, before=partial.name)
    yield partial
    if path.exists():
      shutil.copymode(path, partial)
    os.replace(partial, path)


def check_output(path: Path, inputs: Iterable[Path] = (), flag: str = '--out') -> None:
  """Refuses a file that should not be written, before any work is done for it.

  Raises UserError where `path` is one of the files `inputs` under any name, a link, a
  folder, or a special file such as a pipe; or where no file can be made in its folder.
  The message says to change `flag`.
  """
  path = pathlib.Path(path)
  if path.is_symlink():
    link = f'a link to {os.readlink(path)}, which would be replaced'
    wrong = f'is {link}: give {flag} the file itself'
  elif path.is_dir():
    wrong = f'is a folder: give {flag} the name of a file'
  elif path.exists() and not path.is_file():
    wrong = f'is a special file: give {flag} an ordinary one'
  elif path.exists() and any(
    os.path.samefile(item, path) for item in inputs if os.path.exists(item)
  ):
    wrong = f'is read too and would be lost: change {flag}'
  else:
    return check_folder(path.parent, flag)
  raise errors.UserError(f'{path} {wrong}')


def check_folder(folder: Path, flag: str = '--out') -> None:
  """Refuses (UserError) a folder that nothing can be written to, nor be made."""
  nearest = pathlib.Path(os.path.abspath(folder))
  while not os.path.lexists(nearest):
    nearest = nearest.parent
  if not nearest.is_dir():
    wrong = f'{nearest} is no folder'
  elif not os.access(nearest, os.W_OK | os.X_OK):
    wrong = f'no permission in {nearest}'
  else:
    return
  raise errors.UserError(f'cannot write {folder}: {wrong}; change {flag}')


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[pathlib.Path]:
  """Gives an empty folder that takes the place of `folder` at the end of the block.

  Until then the old folder is as it was, and after an error it stays so. Old and new
  are exchanged in one step where the system can (Linux), so that there is a folder at
  every moment. A link to a folder stays, and the folder that it leads to is replaced.
  Raises UserError where another process is writing it, or it cannot be written.
  """
  folder = pathlib.Path(folder).resolve()
  if folder.exists() and not folder.is_dir():
    raise errors.UserError(f'{folder} is no folder; change --out')
  check_folder(folder.parent)
  with _saying(folder), _partial(folder, '', pathlib.Path.mkdir) as partial:
    if remove_leftovers(folder, before=partial.name):
      raise errors.UserError(f'{folder} is being written by another process')
    yield partial
    _put_in_place(partial, folder)  # after an exchange, the old folder is `partial`


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
  """Holds a folder until this process ends; raises UserError where another holds it.

  Where the file system has no locks, nothing is held.
  """
  handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    if _lock(handle) is False:
      raise errors.UserError(f'{folder} is in use by another process')
    yield
  finally:
    os.close(handle)


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
  """Waits until no other process holds a file, and holds it, to read and replace it.

  Where there is no such file, an empty one is made. The one held is the one that is
  there: who waited for one that was replaced meanwhile waits for the next one.
  """
  path = pathlib.Path(path)
  check_output(path)
  while True:
    with _saying(path):
      handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      _lock(handle, wait=True)
      if _is_at(path, handle):
        yield
        return
    finally:
      os.close(handle)


def _is_at(path: pathlib.Path, handle: int) -> bool:
  """Whether an open file is the one at `path`."""
  with contextlib.suppress(FileNotFoundError):
    return os.path.samestat(os.fstat(handle), os.stat(path))
  return False


@contextlib.contextmanager
def _partial(
  path: pathlib.Path, suffix: str, make: Callable[[pathlib.Path], Any]
) -> Iterator[pathlib.Path]:
  """A file or folder beside `path` for a while, locked, so that it is no leftover."""
  path.parent.mkdir(parents=True, exist_ok=True)
  while True:
    partial = path.with_name(f'.{path.name}.{_token()}.{_PARTIAL}{suffix}')
    make(partial)
    with contextlib.suppress(FileNotFoundError):
      handle = os.open(partial, os.O_RDONLY)
      _lock(handle, wait=True)
      if partial.exists():
        break
      os.close(handle)  # taken for a leftover before it was locked
  try:
    yield partial
  finally:
    _remove(partial)
    os.close(handle)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def _lock(handle: int, wait: bool = False) -> bool | None:
  """Whether a file or folder is now locked; None where there are no locks."""
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    return False
  except OSError:
    return None
  return True


def _token() -> str:
  """Unique, and in order of time."""
  return f'{time.time_ns():020}-{os.getpid()}{secrets.token_hex(2)}'


def remove_leftovers(path: pathlib.Path, before: str = '') -> bool:
  """Removes what killed processes left of `path`; writing it does so, too.

  True where another process is writing `path` that began before the one whose partial
  file or folder has the name `before`.
  """
  form = re.compile(
    rf'\.{re.escape(path.name)}\.(?:\d{{20}}-\w+\.)?({_PARTIAL}|{_OLD})'
    rf'(?:{re.escape(path.suffix)})?'
  )
  in_use = False
  for name in sorted(os.listdir(path.parent)):
    match = form.fullmatch(name)
    if not match or name == before:
      continue
    leftover = path.with_name(name)
    if match[1] == _OLD and not path.exists():
      os.rename(leftover, path)  # killed between two renames
      continue
    try:
      handle = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
      continue  # gone meanwhile, or a link
    free = _lock(handle)
    if free:
      _remove(leftover)
    in_use |= free is False and name < before
    os.close(handle)
  return in_use


def _put_in_place(partial: pathlib.Path, folder: pathlib.Path) -> None:
  """Moves a folder to its place; what was there is at `partial` then, or gone."""
  if not folder.exists():
    os.rename(partial, folder)
  elif not _exchange(partial, folder):
    old = folder.with_name(f'.{folder.name}.{_token()}.{_OLD}')
    os.rename(folder, old)
    try:
      os.rename(partial, folder)
    except OSError:
      os.rename(old, folder)
      raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: pathlib.Path, other: pathlib.Path) -> bool:
  """Exchanges two folders in one step; False where the system cannot.

  Python has no call for it: Linux's is renameat2 with RENAME_EXCHANGE.
  """
  renameat2 = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)
  if renameat2 is None:
    return False
  arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
  if renameat2(*arguments, _RENAME_EXCHANGE) == 0:
    return True
  number = ctypes.get_errno()
  if number in _NO_EXCHANGE:
    return False
  raise OSError(number, os.strerror(number), str(other))


@contextlib.contextmanager
def _saying(path: pathlib.Path) -> Iterator[None]:
  """Refusals of the system become errors of the user that name what was written."""
  try:
    yield
  except OSError as error:
    ours = error.filename is None or path.name in os.fsdecode(error.filename)
    refused = isinstance(error, PermissionError | NotADirectoryError)
    said = re.search(r'(?:os error|errno) (\d+)', str(error), re.IGNORECASE)
    number = error.errno or (int(said[1]) if said else 0)  # polars and Arrow tell it so
    refused |= number in _REFUSED
    if number not in _FULL and not (ours and refused):
      raise
    why = os.strerror(number) if number else str(error)
    raise errors.UserError(f'cannot write {path}: {why}') from error
