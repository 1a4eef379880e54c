"""Draws one session: its messages, and what is wrong with it.

Anomalies show as those of real systems do: most hold an event that no healthy session
has, others lack one, repeat one too often, or differ in order alone. A few healthy
sessions suffer faults too, as long as the last word on each is that it was regained;
the kind `unrecovered` may hold the same messages, the last word being that it was lost.
"""

import bisect
import itertools
from collections.abc import Callable
from typing import NamedTuple

from metalog_jax.simulation.grammar import Draw, Grammar, skewed

HEALTHY = 'healthy'


class Kind(NamedTuple):
  """A kind of anomaly; how often it occurs is in the grammars."""

  is_shared: bool  # does its meaning carry over to other systems?
  alert: str  # the tag in the lines of systems that write alerts


KINDS = {
  # a fault that comes, or comes back, and stays
  'unrecovered': Kind(True, 'NOTREGAINED'),
  # an error event that says so in plain words
  'fatal': Kind(True, 'FATALERR'),
  # repeated steps: attempts without end
  'retries': Kind(True, 'RETRYSTORM'),
  # missing steps: the session never finishes
  'incomplete': Kind(True, 'CUTSHORT'),
  # a missing step that only this system must take
  'skipped': Kind(False, 'STEPMISSING'),
  # two steps the wrong way round
  'misordered': Kind(False, 'WRONGORDER'),
  # an unseen event in words that no other system uses
  'odd': Kind(False, 'STRANGE'),
}
_FAULTY = 0.015  # share of the healthy sessions that suffer a passing fault
_NEAR = 3  # between two words on a fault there are fewer other messages than this
_BARE = 0.7  # share of the unrecovered faults on which nothing but the loss is said
_SECOND = 0.25  # of the sessions with faults, the share with two


class Plan(NamedTuple):
  """A session before it has a time: which messages, and the one to alert on."""

  messages: list[str]  # names in `grammar.messages`
  alert: int  # position of the message at which the anomaly shows; -1 if none
  kind: str  # HEALTHY, or in KINDS


class _Parts(NamedTuple):
  """A session before anything is wrong with it but faults."""

  opening: list[str]
  work: list[str]
  closing: list[str]

  @property
  def all(self) -> list[str]:
    return self.opening + self.work + self.closing

  def place_in_work(self, draw: Draw) -> int:
    """A position in `all` before, between or after the messages of the work."""
    return len(self.opening) + int(draw() * (len(self.work) + 1))


def session(grammar: Grammar, draw: Draw, age: float, anomalous: bool) -> Plan:
  """Draws a session at an age of the system between 0 and 1."""
  kind = _kind(grammar, draw) if anomalous else HEALTHY
  parts = _Parts(
    grammar.opening(draw, age), grammar.work(draw, age), grammar.closing(draw, age)
  )
  stays = kind == 'unrecovered'
  if stays or draw() < _FAULTY:
    parts = parts._replace(work=_with_faults(grammar, parts.work, draw, age, stays))
  if kind in _SPOIL:
    messages, alert = _SPOIL[kind](grammar, draw, parts)
    return Plan(messages, alert, kind)
  return Plan(parts.all, len(parts.all) - 1 if anomalous else -1, kind)


def _kind(grammar: Grammar, draw: Draw) -> str:
  edges = list(itertools.accumulate(grammar.kinds.values()))[:-1]
  return list(grammar.kinds)[bisect.bisect(edges, draw())]


def _with_faults(grammar, work, draw, age, stays) -> list[str]:
  """Puts faults into the work; the last one stays, or all of them pass."""
  known = [n for n, fault in enumerate(grammar.faults) if fault.since <= age]
  count = 1 + (draw() < _SECOND)
  numbers = {known[skewed(len(known), draw)]: None for _ in range(count)}
  messages, last = list(work), list(numbers)[-1]
  start = 0
  for number in numbers:
    place = start + int(draw() * (len(messages) - start + 1))
    for name in _fault_messages(number, draw, stays and number == last):
      messages.insert(place, name)
      place = min(place + 1 + int(draw() * _NEAR), len(messages))
    start = place
  return messages


def _fault_messages(number: int, draw: Draw, stays: bool) -> list[str]:
  """What is said of one fault: if it stays, the last word is that it was lost."""
  lost = [f'lost.{number}'] * (1 + (draw() < 0.2))
  regained = [f'regained.{number}'] * (1 + (draw() < 0.1))
  if not stays:
    return lost + regained
  return lost if draw() < _BARE else regained + lost


# Each of these gives the messages of an anomalous session and the position to alert on.
def _fatal(grammar, draw, parts):
  place = len(parts.opening) + max(len(parts.work) - int(draw() * _NEAR), 0)
  name = f'fatal.{skewed(len(grammar.fatal), draw)}'
  said = [name] * (2 + int(draw() * 3))
  return parts.all[:place] + said + parts.all[place:], place


def _odd(grammar, draw, parts):
  place = parts.place_in_work(draw)
  name = f'odd.{skewed(len(grammar.odd), draw)}'
  return parts.all[:place] + [name] + parts.all[place:], place


def _retries(grammar, draw, parts):
  names = grammar.attempts
  count = 7 + int(draw() * 4)
  place = parts.place_in_work(draw)
  storm = [names[turn % len(names)] for turn in range(count)]
  messages = parts.all[:place] + storm + parts.all[place:]
  return messages, place + count - 1


def _incomplete(grammar, draw, parts):
  messages = parts.opening + parts.work[: 1 + int(draw() * len(parts.work) / 2)]
  return messages, len(messages) - 1


def _skipped(grammar, draw, parts):
  skipped = grammar.mandatory[int(draw() * len(grammar.mandatory))]
  messages = [name for name in parts.all if name != skipped]
  return messages, len(messages) - 1


def _misordered(grammar, draw, parts):
  first, second = grammar.ordered
  messages = parts.all
  place, later = messages.index(first), messages.index(second)
  messages[place], messages[later] = second, first
  return messages, later


_SPOIL: dict[str, Callable[[Grammar, Draw, _Parts], tuple[list[str], int]]] = {
  'fatal': _fatal,
  'retries': _retries,
  'incomplete': _incomplete,
  'skipped': _skipped,
  'misordered': _misordered,
  'odd': _odd,
}
