"""Lines of the simulated systems, in the public formats of four real ones."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

HOSTS = tuple(
  f'10.{20 + n % 7}.{n * 37 % 251}.{n * 11 % 253 + 1}:{50010 + n % 3 * 10}'
  for n in range(400)
)
VARIABLES = {  # in a message -> its text, given 31 random bits and the session id
  'id': lambda bits, session: session,
  'num': lambda bits, session: str(bits % 4096),
  'ip': lambda bits, session: HOSTS[bits % 400],
  'hex': lambda bits, session: f'0x{bits:08x}',
}
SPREAD = 0x9E3779B97F4A7C15  # an odd factor that fills 64 bits
LEVELS = {'lost': 'WARN', 'fatal': 'ERROR'}  # by role; all others: INFO
ALERTS = {  # what a Blue Gene or Thunderbird alert carries in its first column
  'unrecovered': 'NOTREGAINED',
  'fatal': 'FATALERR',
  'retries': 'RETRYSTORM',
  'incomplete': 'CUTSHORT',
  'skipped': 'STEPMISSING',
  'misordered': 'WRONGORDER',
  'odd': 'STRANGE',
}


class Message(NamedTuple):
  """A message ready to be filled in."""

  component: str
  level: str
  pattern: str  # with %s for each variable
  variables: tuple[Callable[[int, str], str], ...]


class Event(NamedTuple):
  """Where and when a message is said."""

  micros: int  # since the epoch
  session: str
  bits: int  # 62 random bits that the session keeps
  alert: str  # '-' or an alert tag


@dataclasses.dataclass(frozen=True)
class Format:
  """How a system writes its log down."""

  log: str  # file name
  labels: str | None  # header of the labels file; None: alerts stand in the lines
  epoch: int  # seconds; when the log begins
  name: Callable[[int, int], str]  # number of a session and its bits -> session id
  prefix: Callable[[Event, Message], str]  # all of a line before its message


def messages(lexicon: Mapping[str, str]) -> list[Message]:
  """Compiles messages 'Component: text with {variables}', in their order."""
  return [_message(name, text) for name, text in lexicon.items()]


def _message(name: str, text: str) -> Message:
  component, pattern = text.split(': ', 1)
  variables = []
  for part in pattern.split('{')[1:]:
    variables.append(VARIABLES[part.split('}')[0]])
  for variable in VARIABLES:
    pattern = pattern.replace('{' + variable + '}', '%s')
  level = LEVELS.get(name.split('.')[0], 'INFO')
  return Message(component, level, pattern, tuple(variables))


def clock(pattern: str) -> Callable[[int], str]:
  """Formats whole seconds (UTC) and remembers the last: lines come in order."""
  last = [-1, '']

  def show(second: int) -> str:
    if second != last[0]:
      last[:] = second, time.strftime(pattern, time.gmtime(second))
    return last[1]

  return show


def _uuid(bits: int, salt: int) -> str:
  word = f'{bits * SPREAD + salt:032x}'
  return '-'.join((word[:8], word[8:12], word[12:16], word[16:20], word[20:]))


def _hdfs() -> Callable[[Event, Message], str]:
  show = clock('%y%m%d %H%M%S')

  def prefix(event, message):
    when = show(event.micros // 1_000_000)
    return f'{when} {event.bits % 4000} {message.level} {message.component}: '

  return prefix


def _bgl():
  day, moment = clock('%Y.%m.%d'), clock('%Y-%m-%d-%H.%M.%S')

  def prefix(event, message):
    second, micro = divmod(event.micros, 1_000_000)
    level = {'WARN': 'WARNING', 'ERROR': 'FATAL'}.get(message.level, message.level)
    node = event.session
    return (
      f'{event.alert} {second} {day(second)} {node} {moment(second)}.{micro:06d} '
      f'{node} RAS {message.component} {level} '
    )

  return prefix


def _openstack():
  day, born = clock('%Y-%m-%d %H:%M:%S'), clock('%Y-%m-%d_00:00:01')

  def prefix(event, message):
    second, micro = divmod(event.micros, 1_000_000)
    service = message.component.split('.')[1]
    level = message.level.replace('WARN', 'WARNING')
    return (
      f'nova-{service}.log.1.{born(second)} {day(second)}.{micro // 1000:03d} '
      f'{2000 + event.bits % 7} {level} {message.component} '
      f'[req-{_uuid(event.bits, 1)} - - - - -] [instance: {event.session}] '
    )

  return prefix


def _thunderbird():
  day, date, moment = clock('%Y.%m.%d'), clock('%b %d'), clock('%H:%M:%S')

  def prefix(event, message):
    second = event.micros // 1_000_000
    when = date(second).replace(' 0', ' ')  # Nov 9, but Nov 10
    pid = '' if message.component == 'kernel' else f'[{event.bits % 32000}]'
    node = event.session
    return (
      f'{event.alert} {second} {day(second)} {node} {when} {moment(second)} '
      f'{node}/{node} {message.component}{pid}: '
    )

  return prefix


def _bgl_node(number: int, bits: int) -> str:
  rest, chip = divmod(number * 40_503 % (1 << 16) + (number >> 16 << 16), 2)
  rest, card = divmod(rest, 16)
  rest, board = divmod(rest, 16)
  rack, midplane = divmod(rest, 2)
  return f'R{rack:02d}-M{midplane}-N{board:X}-C:J{card + 2:02d}-U{1 + 10 * chip:02d}'


FORMATS = {
  'blockstore': lambda: Format(
    'blockstore.log',
    'BlockId,Label',
    1_226_262_930,
    lambda number, bits: f'blk_{bits * SPREAD % (1 << 64) - (1 << 63)}',
    _hdfs(),
  ),
  'supercomputer': lambda: Format(
    'supercomputer.log', None, 1_117_838_570, _bgl_node, _bgl()
  ),
  'cloud': lambda: Format(
    'cloud.log',
    'InstanceId,Label',
    1_494_892_804,
    lambda number, bits: _uuid(bits, 0),
    _openstack(),
  ),
  'cluster': lambda: Format(
    'cluster.log',
    None,
    1_131_566_461,
    lambda number, bits: f'{"abcde"[number % 5]}n{number // 5 + 1}',
    _thunderbird(),
  ),
}
