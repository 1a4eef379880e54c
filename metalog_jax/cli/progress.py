"""How far a program has read its input, said on stderr."""

import os
import stat
import sys
import time
from collections.abc import Iterable

import tqdm


def say_what_is_waited_for(paths: Iterable[str]) -> None:
  """Names the pipes among the inputs: opening one waits for somebody to write it."""
  for path in paths:
    if os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode):
      print(f'{path} is a named pipe: waiting for its writer', file=sys.stderr)


class Bytes:
  """Bytes read: a bar on a terminal, else a line every few seconds, on stderr."""

  def __init__(self, paths: Iterable[str], every: float = 10.0):
    say_what_is_waited_for(paths)
    self._total = sum(os.path.getsize(p) for p in paths if os.path.isfile(p))
    self._every, self._last = every, time.monotonic()
    self._done = 0
    self._bar = None

  def __enter__(self) -> 'Bytes':
    if sys.stderr and sys.stderr.isatty():
      total = self._total or None
      self._bar = tqdm.tqdm(
        total=total, unit='B', unit_scale=True, desc='read', leave=False
      )
    return self

  def __call__(self, num_bytes: int) -> None:
    self._done += num_bytes
    if self._bar is not None:
      self._bar.update(num_bytes)
    elif time.monotonic() - self._last > self._every:
      self._last = time.monotonic()
      share = f' of {self._total / 1e6:,.0f}' if self._total else ''
      print(f'read {self._done / 1e6:,.0f}{share} MB', file=sys.stderr, flush=True)

  def __exit__(self, *error) -> None:
    if self._bar is not None:
      self._bar.close()
