"""Records of several files in time order, as a stream of bounded memory.

The rule: a file's records stay in their order. A record is placed by the latest time
so far in its file, so a clock that runs back, a late line and a record without a time
stay behind the record above them. Equal times go by the order of the files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import polars as pl

OPEN = 200  # files read at once; more wait, and their records come late
KEY, RANK = '.key', '.rank'  # columns: the latest time so far, and the file's place
_END = np.iinfo(np.int64).max


class _Source:
  """One file: its frame at hand, and what of it was given out."""

  def __init__(self, frames: Iterable[pl.DataFrame], rank: int):
    self._frames, self.rank = iter(frames), rank
    self.frame: pl.DataFrame | None = pl.DataFrame()
    self.keys = np.zeros(0, np.int64)
    self.fill()

  def fill(self) -> None:
    while self.frame is not None and not len(self.keys):
      self.frame = next(self._frames, None)
      if self.frame is not None and len(self.frame):
        self.keys = self.frame[KEY].to_numpy()

  @property
  def last(self) -> int:
    return int(self.keys[-1]) if self.frame is not None else _END

  def take(self, limit: int, side: Literal['left', 'right']) -> pl.DataFrame:
    assert self.frame is not None
    count = int(np.searchsorted(self.keys, limit, side))
    taken, self.frame = self.frame[:count], self.frame[count:]
    self.keys = self.keys[count:]
    self.fill()
    return taken.with_columns(pl.lit(self.rank).alias(RANK))


def merge(
  files: Sequence[tuple[int, Callable[[], Iterable[pl.DataFrame]]]],
) -> Iterator[pl.DataFrame]:
  """Yields frames whose records go on in order of (key, file, line).

  Args:
    files: of each the key of its first record, and what opens it, in the order of
      those keys. Its frames have a column `KEY` that never falls.
  """
  if len(files) == 1:
    yield from files[0][1]()
    return
  waiting = list(enumerate(files))[::-1]
  sources: list[_Source] = []
  while waiting or sources:
    while waiting and len(sources) < OPEN:
      rank, (first, open_file) = waiting[-1]
      if sources and first > min(source.last for source in sources):
        break
      waiting.pop()
      source = _Source(open_file(), rank)
      sources += [source] if source.frame is not None else []
    sources = [source for source in sources if source.frame is not None]
    if not sources:
      continue
    limit = min(source.last for source in sources)
    through = min(s.rank for s in sources if s.last == limit)
    taken = []
    for source in sorted(sources, key=lambda s: s.rank):
      taken.append(source.take(limit, 'right' if source.rank <= through else 'left'))
    yield pl.concat(taken, how='diagonal').sort(KEY, RANK, maintain_order=True)
    sources = [source for source in sources if source.frame is not None]
