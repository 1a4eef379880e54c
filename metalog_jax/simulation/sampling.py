"""Draws one session: its messages, and what is wrong with it.

A healthy session may suffer faults as long as the last word on each is that it
was regained. The kind `unrecovered` holds the same messages, equally often, in
another order: the last word is that it was lost. So neither the messages nor
their counts tell the two apart; their meaning and order do.
"""

from collections.abc import Callable
from typing import NamedTuple

from metalog_jax.simulation.grammar import Draw, Grammar, shuffled

HEALTHY = 'healthy'


class Kind(NamedTuple):
  """A kind of anomaly."""

  share: float  # of the anomalies
  is_shared: bool  # does its meaning carry over to other systems?
  alert: str  # the tag in the lines of systems that write alerts


KINDS = {
  # a fault that comes, or comes back, and stays
  'unrecovered': Kind(0.74, True, 'NOTREGAINED'),
  # an error event that says so in plain words
  'fatal': Kind(0.10, True, 'FATALERR'),
  # repeated steps: attempts without end
  'retries': Kind(0.06, True, 'RETRYSTORM'),
  # missing steps: the session never finishes
  'incomplete': Kind(0.05, True, 'CUTSHORT'),
  # a missing step that only this system must take
  'skipped': Kind(0.02, False, 'STEPMISSING'),
  # two steps the wrong way round
  'misordered': Kind(0.015, False, 'WRONGORDER'),
  # an unseen event in words that no other system uses
  'odd': Kind(0.015, False, 'STRANGE'),
}
_FAULTY = 0.5  # share of the healthy sessions that suffer a passing fault
_NEAR = 3  # between two words on a fault there are fewer other messages than this
_BARE = 0.5  # share of the unrecovered faults on which nothing but the loss is said
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
  kind = _kind(draw) if anomalous else HEALTHY
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


def _kind(draw: Draw) -> str:
  mark = draw()
  for name, kind in KINDS.items():
    mark -= kind.share
    if mark < 0:
      return name
  return 'unrecovered'


def _with_faults(grammar, work, draw, age, stays) -> list[str]:
  """Puts faults into the work; the last one stays, or all of them pass."""
  known = [n for n, fault in enumerate(grammar.faults) if fault.since <= age]
  numbers = shuffled(known, draw)[: 1 + (draw() < _SECOND)]
  messages = list(work)
  start = 0
  for number in numbers:
    place = start + int(draw() * (len(messages) - start + 1))
    for name in _fault_messages(number, draw, stays and number == numbers[-1]):
      messages.insert(place, name)
      place = min(place + 1 + int(draw() * _NEAR), len(messages))
    start = place
  return messages


def _fault_messages(number: int, draw: Draw, stays: bool) -> list[str]:
  """What is said of one fault: if it stays, the last word is that it was lost."""
  lost = [f'lost.{number}'] * (1 + int(draw() * 3))
  regained = [f'regained.{number}'] * (1 + (draw() < 0.3))
  if not stays:
    return lost + regained
  return lost if draw() < _BARE else regained + lost


# Each of these gives the messages of an anomalous session and the position to alert on.
def _fatal(grammar, draw, parts):
  place = len(parts.opening) + max(len(parts.work) - int(draw() * _NEAR), 0)
  messages = _with_event('fatal', grammar.fatal, draw, parts.all, place)
  return _with_event('fatal', grammar.fatal, draw, messages, place + 1), place + 1


def _odd(grammar, draw, parts):
  place = parts.place_in_work(draw)
  return _with_event('odd', grammar.odd, draw, parts.all, place), place


def _with_event(role, texts, draw, messages, place):
  name = f'{role}.{int(draw() * len(texts))}'
  return messages[:place] + [name] + messages[place:]


def _retries(grammar, draw, parts):
  names = shuffled(grammar.attempts, draw)
  count = 7 + int(draw() * 4)
  place = parts.place_in_work(draw)
  storm = [names[turn % len(names)] for turn in range(count)]
  messages = parts.all[:place] + storm + parts.all[place:]
  return messages, place + count - 1


def _incomplete(grammar, draw, parts):
  messages = parts.opening + parts.work[: 1 + int(draw() * len(parts.work))]
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
