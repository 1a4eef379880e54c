"""How far a program has read its input, told on stderr."""

import os
import sys
import time


class Bytes:
  """Bytes read: a bar on a terminal, else a line every few seconds, on stderr."""

  def __init__(self, paths, every: float = 10.0):
    self._total = sum(os.path.getsize(p) for p in paths if os.path.isfile(p))
    self._every, self._last = every, time.monotonic()
    self._done = 0
    self._bar = None

  def __enter__(self):
    if sys.stderr.isatty():
      import tqdm

      self._bar = tqdm.tqdm(
        total=self._total or None, unit='B', unit_scale=True, desc='read', leave=False
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
