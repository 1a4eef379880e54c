"""Lines that do not fit: counted by reason, the first few of each kept to show."""

from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import budgets, formats

NO_FIT = 'does not fit the format'
SHOWN = 10  # lines kept of each reason
TEXT = 200  # characters kept of each
ENOUGH = 1000  # lines without one that fits: the format is wrong


class Found:
  """The bad lines of one chunk."""

  def __init__(self, first_line: int = 1):
    self.first_line = first_line
    self.reasons: dict[str, tuple[int, list[tuple[int, str]]]] = {}

  def add(self, reason: str, index: np.ndarray, text: pl.Series) -> None:
    """Adds lines by their index in the chunk."""
    shown = text[:SHOWN].str.slice(0, TEXT).to_list()
    lines = [(int(i) + self.first_line, t) for i, t in zip(index, shown)]
    self.reasons[reason] = len(index), lines


class BadLines:
  """The bad lines of a whole input, and how many are too many.

  Args:
    limit: of the lines that are not skipped, a share ('5%') or a count.
    system: the format's name, to say so where nothing fits.
  """

  def __init__(self, limit: str = '5%', system: str = ''):
    budgets.parse(limit)
    self.limit = limit
    self.system = system
    self.num_lines = 0
    self.num_escaped = 0
    self.skipped: dict[str, int] = {}
    self.reasons: dict[str, dict[str, Any]] = {}
    self._begun: set[str] = set()  # files with a line that fits

  @property
  def count(self) -> int:
    return sum(reason['count'] for reason in self.reasons.values())

  def add(self, path: str, lines: Any, continues: bool = False) -> None:
    """Counts the lines (`readers.Lines`) of a chunk; chunks must come in order.

    Raises:
      UserError: many lines and not one that fits.
    """
    reasons = dict(lines.bad.reasons)
    skipped = dict(lines.skipped)
    if continues and path in self._begun and NO_FIT in reasons:
      # Whether a record began before this chunk is known here alone.
      skipped.setdefault('continuation', 0)
      skipped['continuation'] += reasons.pop(NO_FIT)[0]
    if len(lines.number):
      self._begun.add(path)
    self.num_lines += lines.num_lines
    self.num_escaped += lines.escaped
    for reason, count in skipped.items():
      self.skipped[reason] = self.skipped.get(reason, 0) + count
    for reason, (count, shown) in reasons.items():
      mine = self.reasons.setdefault(reason, {'count': 0, 'first': []})
      mine['count'] += count
      room = SHOWN - len(mine['first'])
      mine['first'] += [{'file': path, 'line': n, 'text': t} for n, t in shown[:room]]
    if not self._begun and self.count >= ENOUGH:
      self.check()

  def check(self) -> None:
    """Raises ValueError, showing the lines, where there are more than the limit."""
    rest = self.num_lines - sum(self.skipped.values())
    if self.count <= budgets.at_most(self.limit, rest):
      return
    worst = max(self.reasons, key=lambda reason: self.reasons[reason]['count'])
    kept = [(name, bad) for name, r in self.reasons.items() for bad in r['first']]
    shown = [f'  {b["file"]}:{b["line"]}: {b["text"]!r} ({name})' for name, b in kept]
    hint = '' if self._begun else self._hint([bad['text'] for _, bad in kept])
    raise errors.UserError(
      f'{self.count:,} of {rest:,} lines are bad, more than --max_bad_lines='
      f'{self.limit} (most of them: {worst}){hint}:\n' + '\n'.join(shown)
    )

  def _hint(self, texts: list[str]) -> str:
    others = formats.guess(texts)
    if others:
      return f'; they look like --system={" or ".join(others)}'
    return f'; not one line fits --system={self.system}'

  def report(self) -> dict[str, Any]:
    """What a manifest says of the lines."""
    return {
      'lines': self.num_lines,
      'bad_lines': self.count,
      'bad': self.reasons,
      'skipped_lines': self.skipped,
      'escaped_lines': self.num_escaped,
    }
