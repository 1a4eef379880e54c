"""Expressions that only Python's engine knows, with a limit of time for each text.

Look-around and back-references need back-tracking, whose time can double with every
letter. The engine looks at signals as it works, so a timer can end it.
"""

import re
import signal
import threading
from collections.abc import Iterable, Iterator

from metalog_jax import errors

LIMIT = 2.0  # seconds of computing after which a text is given up, up to twice as many


class TooSlow(Exception):
  """A text takes longer than LIMIT; `index` is its place among the texts."""

  def __init__(self, index: int):
    super().__init__(index)
    self.index = index


def search(pattern: str, texts: Iterable[str]) -> Iterator[re.Match[str] | None]:
  """What the pattern finds in each text.

  Raises:
    TooSlow: a text takes too long.
    UserError: this is not the main thread of its process, which alone gets signals.
  """
  if threading.current_thread() is not threading.main_thread():
    raise errors.UserError(
      f'{pattern}: look-around and back-references have no bound of time here, in a '
      'thread: write it without them, or with a class of characters in their place'
    )
  compiled = re.compile(pattern)
  place = seen = -1

  def look(*_: object) -> None:
    nonlocal seen
    if place == seen:
      raise TooSlow(place)
    seen = place

  before = signal.signal(signal.SIGVTALRM, look)
  signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT, LIMIT)
  try:
    for place, text in enumerate(texts):  # noqa: B007 (look reads it)
      yield compiled.search(text)
  finally:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)
