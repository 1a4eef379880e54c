"""What becomes of lines: the bad ones by reason, with the first of each to show."""

import collections
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from metalog_jax import errors
from metalog_jax.logs import budgets, formats

NO_FIT = 'does not fit the format'
SHOWN = 10  # lines kept of each reason
TEXT = 200  # characters kept of each
ENOUGH = 1000  # lines without one that fits: the format is wrong


class Bad(NamedTuple):
  """Lines of a chunk that are bad for one reason."""

  number: int
  first: list[tuple[int, str]]  # line in its file, and its text; SHOWN at most

  @classmethod
  def at(
    cls, line: int, indices: Sequence[int] | pl.Series, texts: Sequence[str] | pl.Series
  ) -> 'Bad':
    """From indices in a chunk that begins at `line`."""
    shown = zip(indices[:SHOWN], texts[:SHOWN])
    return cls(len(indices), [(int(i) + line, text[:TEXT]) for i, text in shown])


class Tally(NamedTuple):
  """What became of the lines of a chunk."""

  path: str
  lines: int
  good: int
  skipped: dict[str, int]  # lines that are neither events nor bad, by reason
  bad: dict[str, Bad]  # by reason
  escaped: int = 0  # lines with bytes that are not UTF-8
  times: int = 0  # that could be read
  bad_times: Sequence[str] = ()  # that could not
  simulated: bool = False


class Account:
  """What became of the lines of a whole input, and how many bad ones are too many.

  Args:
    limit: of the lines that are not skipped, a share ('5%') or a count.
    format: what the lines should be; None for session files.
  """

  def __init__(self, limit: str = '5%', format: formats.Format | None = None):
    budgets.parse(limit, 'max_bad_lines')
    self.limit = limit
    self.format = format
    self.num_lines = self.num_escaped = self.num_times = self.num_bad_times = 0
    self.simulated = False
    self.skipped: collections.Counter[str] = collections.Counter()
    self.reasons: dict[str, dict[str, Any]] = {}
    self._bad_time = ''  # the first
    self._begun: set[str] = set()  # files with a line that fits

  @property
  def num_bad(self) -> int:
    return sum(reason['count'] for reason in self.reasons.values())

  def add(self, tally: Tally) -> None:
    """Counts the lines of a chunk, in order; UserError after many that do not fit."""
    bad, skipped = dict(tally.bad), dict(tally.skipped)
    continues = self.format is not None and self.format.continues
    if continues and tally.path in self._begun and NO_FIT in bad:
      # Whether a record began before this chunk is known here alone.
      count = skipped.get('continuation', 0)
      skipped['continuation'] = count + bad.pop(NO_FIT).number
    if tally.good:
      self._begun.add(tally.path)
    self.num_lines += tally.lines
    self.num_escaped += tally.escaped
    self.num_times += tally.times
    self.num_bad_times += len(tally.bad_times)
    self._bad_time = self._bad_time or next(iter(tally.bad_times), '')
    self.simulated |= tally.simulated
    self.skipped.update(skipped)
    for reason, (count, first) in bad.items():
      total = self.reasons.setdefault(reason, {'count': 0, 'first': []})
      total['count'] += count
      room = SHOWN - len(total['first'])
      total['first'] += [
        {'file': tally.path, 'line': line, 'text': text} for line, text in first[:room]
      ]
    if not self._begun and self.num_bad >= ENOUGH:
      self.check()

  def check(self) -> None:
    """Raises UserError for more bad lines than the limit, or if no time was read."""
    rest = self.num_lines - sum(self.skipped.values())
    if self.num_bad > budgets.resolve(self.limit, rest, math.floor):
      worst = max(self.reasons, key=lambda reason: self.reasons[reason]['count'])
      bad = [(name, b) for name, r in self.reasons.items() for b in r['first']]
      shown = [f'  {b["file"]}:{b["line"]}: {b["text"]!r} ({name})' for name, b in bad]
      hint = '' if self._begun else self._hint([b['text'] for _, b in bad])
      raise errors.UserError(
        f'{self.num_bad:,} of {rest:,} lines are bad, more than --max_bad_lines='
        f'{self.limit} (most of them: {worst}){hint}:\n' + '\n'.join(shown)
      )
    form = self.format
    none_read = self.num_bad_times and not self.num_times
    if none_read and form is not None and form.name == 'custom':
      raise errors.UserError(
        f'--time_format={form.time_format!r} reads none of the '
        f'{self.num_bad_times:,} times, such as {self._bad_time!r}'
      )

  def _hint(self, texts: list[str]) -> str:
    others = formats.guess(texts)
    if others:
      return f'; they look like --system={" or ".join(others)}'
    name = self.format.name if self.format else 'jsonl'
    return f'; not one line fits --system={name}'

  def report(self) -> dict[str, Any]:
    """What a manifest says of the lines."""
    return {
      'lines': self.num_lines,
      'bad_lines': self.num_bad,
      'bad': self.reasons,
      'skipped_lines': self.skipped,
      'escaped_lines': self.num_escaped,
      'bad_times': self.num_bad_times,
      'simulated': self.simulated,
    }
