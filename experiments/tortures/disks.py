"""Small disks in memory, that can be full and read-only; for root on Linux."""

import contextlib
import ctypes
import os
import pathlib
from collections.abc import Callable, Iterator

_NEWNS, _PRIVATE, _REC = 0x20000, 1 << 18, 1 << 14  # of Linux' sched.h and mount.h
_RDONLY, _REMOUNT = 1, 32


@contextlib.contextmanager
def small(place: pathlib.Path) -> Iterator[Callable[[int], None]]:
  """Mounts a disk at an empty folder, for this process and those that it starts.

  Gives what sets the disk's size in bytes. Raises OSError where it may not.
  """
  _call('unshare', _NEWNS)
  _call('mount', None, b'/', None, _PRIVATE | _REC, None)
  _call('mount', b'none', bytes(place), b'tmpfs', 0, b'size=256m')

  def resize(size: int) -> None:
    options = f'size={max(size, 4096)}'.encode()
    _call('mount', None, bytes(place), None, _REMOUNT, options)

  try:
    yield resize
  finally:
    _call('umount2', bytes(place), 2)  # at once, whoever has files open there


def turn(place: pathlib.Path, readonly: bool) -> None:
  """Makes a disk read-only, or writable again; where files are being written, waits."""
  for _ in range(2000):
    with contextlib.suppress(BlockingIOError, OSError):
      _call('mount', None, bytes(place), None, _REMOUNT | _RDONLY * readonly, None)
      return
  raise OSError(f'{place} is being written all the time')


def used(place: pathlib.Path) -> int:
  """Bytes on a disk."""
  about = os.statvfs(place)
  return (about.f_blocks - about.f_bfree) * about.f_frsize


def _call(name: str, *arguments: int | bytes | None) -> None:
  library = ctypes.CDLL(None, use_errno=True)
  if getattr(library, name)(*arguments):
    number = ctypes.get_errno()
    raise OSError(number, f'{name}: {os.strerror(number)}')
