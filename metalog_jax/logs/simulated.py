"""Logs that `metalog simulate` wrote are called simulated, wherever they are now.

Results on them are not results on real logs, and every report says so.
"""

import os
import pathlib

_TRUTH = b'SessionId,Label,Kind,'  # begins truth.csv, which `simulate` leaves beside
# How the sessions of each simulated system begin: no public log has these words.
_MARKS = (
  b' INFO store.Master: allocated blk_',
  b' RAS KERNEL INFO node booted with image 0x',
  b'] create call from tenant ',
  b' kernel: node up with ',
)


def beside(path: str | os.PathLike) -> bool:
  """Whether the truth of a simulated log lies beside a file."""
  truth = pathlib.Path(path).with_name('truth.csv')
  if not truth.is_file():
    return False
  with open(truth, 'rb') as file:
    return file.read(len(_TRUTH)) == _TRUTH


def has_marks(data: bytes) -> bool:
  """Whether some lines hold what only simulated ones do."""
  return any(mark in data for mark in _MARKS)
