"""Puts the messages of simulated systems into lines, as real systems write theirs."""

import functools
import operator
import string
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from metalog_jax.simulation import grammar as grammars

_HOSTS = tuple(
  f'10.{20 + n % 7}.{n * 37 % 251}.{n * 11 % 253 + 1}:{50010 + n % 3 * 10}'
  for n in range(400)
)
_SPREAD = 0x9E3779B97F4A7C15  # an odd factor that fills 64 bits


class Event(NamedTuple):
  """Where and when a message is said."""

  micros: int  # since the epoch
  session: str  # id
  bits: int  # 62 random bits that stay the same for a session
  alert: str  # '-' or an alert tag


class Message(NamedTuple):
  """A message of a system, ready to be filled in."""

  pattern: str  # the line with %s for each field and each variable
  fields: tuple[Callable[[Event], str], ...]
  variables: tuple[Callable[[int, str], str], ...]

  def line(self, event: Event, bits: Sequence[int]) -> str:
    """The line of an event; `bits` are 31 random bits for each variable."""
    fields = [field(event) for field in self.fields]
    values = [v(some, event.session) for v, some in zip(self.variables, bits)]
    return self.pattern % (*fields, *values)


@functools.cache
def _clock(pattern: str) -> Callable[[Event], str]:
  """Shows the time of events (UTC, whole seconds) and remembers the last second."""
  last = -1, ''

  def show(event: Event) -> str:
    nonlocal last
    shown, second = last, event.micros // 1_000_000
    if shown[0] != second:
      shown = last = second, time.strftime(pattern, time.gmtime(second))
    return shown[1]

  return show


def _uuid(bits: int, salt: int) -> str:
  word = f'{bits * _SPREAD + salt:032x}'
  return '-'.join((word[:8], word[8:12], word[12:16], word[16:20], word[20:]))


def _card(number: int, bits: int) -> str:
  """Where a compute chip of a Blue Gene/L sits: rack, midplane, node card, chip."""
  rest, chip = divmod(number * 40_503 % (1 << 16) + (number >> 16 << 16), 2)
  rest, card = divmod(rest, 16)
  rest, board = divmod(rest, 16)
  rack, midplane = divmod(rest, 2)
  return f'R{rack:02d}-M{midplane}-N{board:X}-C:J{card + 2:02d}-U{1 + 10 * chip:02d}'


# Form of a session's id -> the id, given the session's number and its bits.
SESSION_IDS: dict[str, Callable[[int, int], str]] = {
  'block': lambda number, bits: f'blk_{bits * _SPREAD % (1 << 64) - (1 << 63)}',
  'card': _card,
  'instance': lambda number, bits: _uuid(bits, 0),
  'node': lambda number, bits: f'{"abcde"[number % 5]}n{number // 5 + 1}',
}
# Variable in a message -> its text, given 31 random bits and the session's id.
VARIABLES: dict[str, Callable[[int, str], str]] = {
  'id': lambda bits, session: session,
  'num': lambda bits, session: str(bits % 4096),
  'ip': lambda bits, session: _HOSTS[bits % 400],
  'hex': lambda bits, session: f'0x{bits:08x}',
}
# Field {name:option} in a line's prefix -> a function of the event, given the option.
# {component}, {service} (its second part) and {level} depend on the message alone.
PREFIX_FIELDS: dict[str, Callable[[str], Callable[[Event], str]]] = {
  'id': lambda _: operator.attrgetter('session'),
  'alert': lambda _: operator.attrgetter('alert'),
  'second': lambda _: lambda event: str(event.micros // 1_000_000),
  'milli': lambda _: lambda event: f'{event.micros // 1000 % 1000:03d}',
  'micro': lambda _: lambda event: f'{event.micros % 1_000_000:06d}',
  'time': _clock,
  'process': lambda count: lambda event: str(event.bits % int(count)),
  'request': lambda _: lambda event: _uuid(event.bits, 1),
}


def messages(grammar: grammars.Grammar) -> list[Message]:
  """All messages of a system, in the order of `grammar.messages`."""
  return [_message(grammar.log, *item) for item in grammar.messages.items()]


def _message(log: grammars.Log, name: str, message: str) -> Message:
  component, text = message.split(': ', 1)
  role = name.split('.')[0]  # lost, regained, fatal, odd, or the name of a step
  constants = {
    'component': component,
    'service': component.partition('.')[2].partition('.')[0],
    'level': log.levels.get(role, log.levels.get('other', '')),
  }
  pattern, fields, variables = '', [], []
  prefix = log.prefixes.get(component, log.prefixes['default'])
  for literal, field, option, _ in string.Formatter().parse(prefix):
    pattern += literal
    if field in constants:
      pattern += constants[field]
    elif field is not None:
      pattern += '%s'
      fields.append(PREFIX_FIELDS[field](option or ''))
  for literal, variable, _, _ in string.Formatter().parse(text + '\n'):
    pattern += literal
    if variable is not None:
      pattern += '%s'
      variables.append(VARIABLES[variable])
  return Message(pattern, tuple(fields), tuple(variables))
