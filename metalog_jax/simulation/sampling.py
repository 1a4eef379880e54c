"""Draws one session: its messages, and what is wrong with it.

A healthy session may suffer faults as long as the last word on each is that it
was regained. The kind `unrecovered` holds the same messages, equally often, in
another order: the last word is that it was lost. So neither the messages nor
their counts tell the two apart; their meaning and order do.
"""

from typing import NamedTuple

from metalog_jax.simulation import grammar as grammars

HEALTHY = 'healthy'

# kind -> (share of the anomalies, does its meaning carry over to other systems?)
KINDS = {
  'unrecovered': (0.74, True),  # a fault that comes, or comes back, and stays
  'fatal': (0.10, True),  # an error event that says so in plain words
  'retries': (0.06, True),  # repeated steps: attempts without end
  'incomplete': (0.05, True),  # missing steps: the session never finishes
  'skipped': (0.02, False),  # a missing step that only this system must take
  'misordered': (0.015, False),  # two steps the wrong way round
  'odd': (0.015, False),  # an unseen event in words that no other system uses
}
FAULTY = 0.5  # share of the healthy sessions that suffer a passing fault
NEAR = 3  # between two words on a fault there are fewer other messages than this
BARE = 0.5  # share of the unrecovered faults on which nothing but the loss is said
SECOND = 0.25  # of these (and of the unrecovered ones), with another one before


class Plan(NamedTuple):
  """A session before it has a time: which messages, and the one to alert on."""

  messages: list[str]  # names in `lexicon(grammar)`
  alert: int  # position of the message at which the anomaly shows; -1 if none
  kind: str


def lexicon(grammar: grammars.Grammar) -> dict[str, str]:
  """Every message of a system by name: steps, lost.N, regained.N, fatal.N, odd.N."""
  words = dict(grammar.steps)
  for number, fault in enumerate(grammar.faults):
    words[f'lost.{number}'] = fault.lost
    words[f'regained.{number}'] = fault.regained
  for role in ('fatal', 'odd'):
    for number, message in enumerate(getattr(grammar, role)):
      words[f'{role}.{number}'] = message
  return words


def session(
  grammar: grammars.Grammar, draw: grammars.Draw, age: float, anomalous: bool
) -> Plan:
  """Draws a session at an age of the system between 0 and 1."""
  kind = _kind(draw) if anomalous else HEALTHY
  opening = grammar.opening(draw, age)
  work = grammar.work(draw, age)
  closing = grammar.closing(draw, age)
  if kind == 'unrecovered' or draw() < FAULTY:
    work = _suffer(grammar, work, draw, age, kind == 'unrecovered')
  messages = opening + work + closing
  if kind in _SPOIL:
    return Plan(*_SPOIL[kind](grammar, draw, opening, work, closing), kind)
  return Plan(messages, len(messages) - 1 if anomalous else -1, kind)


def _kind(draw) -> str:
  mark = draw()
  for kind, (share, _) in KINDS.items():
    mark -= share
    if mark < 0:
      return kind
  return 'unrecovered'


def _suffer(grammar, work, draw, age, stays):
  """Puts faults into the work; the last one stays, or all of them pass."""
  known = [n for n, fault in enumerate(grammar.faults) if fault.since <= age]
  numbers = grammars.shuffled(known, draw)[: 1 + (draw() < SECOND)]
  messages = list(work)
  start = 0
  for last, number in enumerate(numbers, 1 - len(numbers)):
    spot = start + int(draw() * (len(messages) - start + 1))
    for name in _episode(number, draw, stays and last == 0):
      messages.insert(spot, name)
      spot = min(spot + 1 + int(draw() * NEAR), len(messages))
    start = spot
  return messages


def _episode(number, draw, stays):
  """What is said of one fault: if it stays, the last word is that it was lost."""
  lost, regained = f'lost.{number}', f'regained.{number}'
  before = [lost] * (1 + int(draw() * 3)) + [regained] * (1 + (draw() < 0.3))
  if not stays:
    return before
  if draw() < BARE:
    return before[: before.count(lost)]
  return before[::-1]


def _fatal(grammar, draw, opening, work, closing):
  at = len(opening) + max(len(work) - int(draw() * NEAR), 0)
  messages, at = _event('fatal', grammar.fatal, draw, opening + work + closing, at)
  return _event('fatal', grammar.fatal, draw, messages, at + 1)


def _odd(grammar, draw, opening, work, closing):
  at = len(opening) + int(draw() * (len(work) + 1))
  return _event('odd', grammar.odd, draw, opening + work + closing, at)


def _event(role, texts, draw, messages, at):
  name = f'{role}.{int(draw() * len(texts))}'
  return messages[:at] + [name] + messages[at:], at


def _retries(grammar, draw, opening, work, closing):
  names = grammars.shuffled(grammar.attempts, draw)
  count = 7 + int(draw() * 4)
  at = len(opening) + int(draw() * (len(work) + 1))
  messages = opening + work + closing
  storm = [names[turn % len(names)] for turn in range(count)]
  return messages[:at] + storm + messages[at:], at + count - 1


def _incomplete(grammar, draw, opening, work, closing):
  keep = 1 + int(draw() * len(work))
  return opening + work[:keep], len(opening) + keep - 1


def _skipped(grammar, draw, opening, work, closing):
  name = grammar.mandatory[int(draw() * len(grammar.mandatory))]
  messages = [one for one in opening + work + closing if one != name]
  return messages, len(messages) - 1


def _misordered(grammar, draw, opening, work, closing):
  first, second = grammar.ordered
  messages = opening + work + closing
  one, two = messages.index(first), messages.index(second)
  messages[one], messages[two] = second, first
  return messages, two


_SPOIL = {
  'fatal': _fatal,
  'retries': _retries,
  'incomplete': _incomplete,
  'skipped': _skipped,
  'misordered': _misordered,
  'odd': _odd,
}
