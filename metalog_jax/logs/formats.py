"""Log formats, declared: what a line looks like and where its session and time are.

A format is a regular expression whose named groups bear the names of loghub's
columns in small letters, so that a loghub `*_structured.csv` file is the same
table by another way.
"""

import dataclasses
import datetime
import functools
import re
from collections.abc import Mapping

import polars as pl

from metalog_jax import errors
from metalog_jax.logs import general_masks, masksets


@dataclasses.dataclass(frozen=True)
class Key:
  """Where a session's name is: a column, or what a pattern finds in a column."""

  column: str  # a group of the format, or `path`, the name of the input file
  pattern: str = ''  # its first group, or the whole match
  many: bool = False  # every match counts: a line may belong to several sessions
  prefix: str = ''  # put before what was found


@dataclasses.dataclass(frozen=True)
class Format:
  """One format; `metalog prepare --system` chooses among `FORMATS`."""

  name: str
  line: str  # regex with named groups; `content` is the message
  entities: tuple[tuple[str, tuple[Key, ...]], ...] = ()
  # what lines may be grouped by, the default first; the first Key that finds wins
  columns: bool = False  # the groups are the line's columns, single spaces between,
  # and the line ends in (?P<content>.*)$
  head: str = ''  # regex taken off the front of `content`
  time: tuple[str, ...] = ()  # groups joined by a space
  time_format: str = ''  # as strptime's; '' reads numbers (epoch) and ISO 8601
  label: str = ''  # the group that holds the line's label
  alert: bool = False  # of that group, '-' is normal and anything else an alert
  window: str = '0'  # default --window
  continues: bool = False  # a line that does not fit continues the record above it
  masks: Mapping[str, masksets.MaskSet] = dataclasses.field(
    default_factory=lambda: masksets.GENERAL
  )  # by parser

  @functools.cached_property
  def columns_read(self) -> frozenset[str]:
    """The columns that say something; a file may have others."""
    keys = {key.column for _, keys in self.entities for key in keys}
    return frozenset({'content', self.label, *self.time, *keys} - {''})

  def keys(self, group: str) -> tuple[Key, ...]:
    """What lines are grouped by; '' for the default, `none` for nothing.

    Raises UserError where they cannot be grouped so.
    """
    for name, keys in self.entities:
      if group in ('', name):
        return keys
    if group in ('', 'none'):
      return ()
    names = [name for name, _ in self.entities] + ['none']
    raise errors.unknown_choice(f'--system={self.name} --group', group, names)


_UUID = r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
_REQUEST = Key('addr', r'req-[0-9a-f-]+')
_NODE = (('node', (Key('node'),)),)

HDFS = Format(
  'hdfs',
  line=r'^(?P<date>\d{6}) (?P<time>\d{6}) (?P<pid>\d+) (?P<level>[A-Z]+) '
  r'(?P<component>[^\s:]+:) (?P<content>.*)$',
  columns=True,
  entities=(('block', (Key('content', r'blk_-?\d+', many=True),)),),
  time=('date', 'time'),
  time_format='%y%m%d %H%M%S',
  masks=masksets.HDFS,
)

BGL = Format(
  'bgl',
  line=r'^(?P<label>\S+) (?P<timestamp>\d+) (?P<date>\d{4}\.\d\d\.\d\d) (?P<node>\S+) '
  r'(?P<time>\d{4}-\d\d-\d\d-\S+) (?P<noderepeat>\S+) (?P<type>\S+) (?P<component>\S+) '
  r'(?P<level>\S+)(?: |$)(?P<content>.*)$',
  columns=True,
  entities=_NODE,
  time=('timestamp',),
  label='label',
  alert=True,
  window='120',
  masks=masksets.BGL,
)

THUNDERBIRD = Format(
  'thunderbird',
  line=r'^(?P<label>\S+) (?P<timestamp>\d+) (?P<date>\d{4}\.\d\d\.\d\d) (?P<user>\S+) '
  r'(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) '
  r'(?P<location>\S+)(?: |$)(?P<content>.*)$',
  columns=True,
  head=r'^[^\s:\[]+(?:\[[^\]\s]*\])?:(?: |$)',
  entities=(('node', (Key('user'),)),),
  time=('timestamp',),
  label='label',
  alert=True,
  window='120',
  masks=masksets.SYSLOG,
)

OPENSTACK = Format(
  'openstack',
  line=r'^(?:(?P<logrecord>\S+) )??(?:(?P<date>\d{4}-\d\d-\d\d) (?P<time>[\d:.,]+) )?'
  r'\s*(?:(?P<pid>\d+) )?(?P<level>[A-Z]{4,8}) (?P<component>[a-z][\w.]+) '
  r'(?:\[(?P<addr>[^\]]*)\] )?(?P<content>.*)$',
  entities=(
    ('instance', (Key('content', rf'instance:? ({_UUID})'), _REQUEST)),
    ('request', (_REQUEST,)),
  ),
  time=('date', 'time'),
  continues=True,
  masks=masksets.OPENSTACK,
)

_APPLICATION = r'(?:application|appattempt|attempt|container|job|task)_(\d+_\d+)'
HADOOP = Format(
  'hadoop',
  line=r'^(?P<date>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d,\d{3}) (?P<level>[A-Z]+) '
  r'\[(?P<process>.*?)\] (?P<component>[^\s:]+): (?P<content>.*)$',
  entities=(
    (
      'application',
      tuple(Key(c, _APPLICATION, prefix='application_') for c in ('path', 'content')),
    ),
    ('container', tuple(Key(c, r'container_[\d_]+\d') for c in ('path', 'content'))),
  ),
  time=('date', 'time'),
  time_format='%Y-%m-%d %H:%M:%S,%f',
  continues=True,
)

FORMATS = {
  'hdfs': HDFS,
  'bgl': BGL,
  'thunderbird': THUNDERBIRD,
  'spirit': dataclasses.replace(THUNDERBIRD, name='spirit'),
  'openstack': OPENSTACK,
  'hadoop': HADOOP,
}
# What `logs.records` makes of any log: messages and times, cut into windows.
AUTO = Format('auto', line='', window='120', masks=general_masks.UNKNOWN)
SYSTEMS = (*FORMATS, 'auto', 'custom', 'jsonl')


def custom(pattern: str, time_format: str = '') -> Format:
  """A format from a user's regex.

  Groups: `content` is required; `session` or `node` name the session; `time` (or
  `timestamp`, and `date` before it) is the time; `label` is the line's label.
  Raises UserError where the pattern is no regex or has no group `content`.
  """
  flag = f'--format={pattern}'
  try:
    groups = set(re.compile(pattern).groupindex)
  except re.error as error:
    raise errors.UserError(f'{flag}: not a regular expression: {error}') from None
  if 'content' not in groups:
    raise errors.UserError(f'{flag}: name the group of the message, (?P<content>...)')
  time = [name for name in ('date', 'time', 'timestamp') if name in groups]
  if time_format:
    check_time_format(time_format)
    if not time:
      raise errors.UserError('--time_format needs a group (?P<time>...) in --format')
  return Format(
    'custom',
    line=pattern,
    entities=tuple((n, (Key(n),)) for n in ('session', 'node') if n in groups),
    time=tuple(time[:2]),
    time_format=time_format,
    label='label' if 'label' in groups else '',
    window='0' if 'session' in groups else '120',
    masks=general_masks.UNKNOWN,
  )


def seconds(text: pl.Series, time_format: str = '') -> pl.Series:
  """Times as float64 seconds since the epoch, [n]; null where unreadable.

  Args:
    text: [n] of one way of writing: numbers of any unit, ISO 8601 (UTC where it
      names no offset), or as `time_format` says.
    time_format: as Python's strptime's; '' for the others.
  """
  if time_format:
    text, ours = _for_polars(text, time_format)
    parsed = text.str.to_datetime(ours, strict=False, time_unit='us', ambiguous='null')
    return parsed.dt.epoch('us') / 1e6
  number = text.cast(pl.Float64, strict=False)
  # 10 digits are seconds, 13 milliseconds, 16 micro-, 19 nanoseconds.
  thousands = ((number.abs().log10() - 8) / 3).floor().clip(0, 3)
  written = _iso_seconds(text)
  return pl.select(pl.coalesce(number / 1000.0**thousands, written)).to_series()


def _iso_seconds(text: pl.Series) -> pl.Series:
  plain = text.str.replace(',', '.', literal=True).str.replace('T', ' ', literal=True)
  plain = plain.str.strip_suffix('Z')

  def read(local):
    time = local.str.to_datetime('%Y-%m-%d %H:%M:%S%.f', strict=False, time_unit='us')
    return time.dt.epoch('us') / 1e6

  utc = read(plain)
  if utc.null_count() == plain.null_count():
    return utc
  offset = r' ?([+-])(\d\d):?(\d\d)$'
  sign = plain.str.extract(offset, 1)
  hours, minutes = (
    (sign + plain.str.extract(offset, i)).cast(pl.Float64) for i in (2, 3)
  )
  moved = read(plain.str.replace(offset, '')) - hours * 3600 - minutes * 60
  return pl.select(pl.coalesce(utc, moved)).to_series()


def _for_polars(text: pl.Series, time_format: str) -> tuple[pl.Series, str]:
  """Python writes fractions of seconds '.%f' and ',%f'; polars has '%.f' alone."""
  if ',%f' in time_format:
    text = text.str.replace_all(',', '.', literal=True)
    time_format = time_format.replace(',', '.')
  return text, time_format.replace('.%f', '%.f').replace('%f', '%6f')


def check_time_format(time_format: str) -> None:
  """Writes two times by the format and reads them again, or raises UserError."""
  times = pl.Series([datetime.datetime(2026, 11, 28, 20, 32, 40),
                     datetime.datetime(1999, 1, 2, 3, 4, 5)])  # fmt: skip
  try:
    _, ours = _for_polars(pl.Series([''], dtype=pl.String), time_format)
    written = times.dt.replace_time_zone('UTC').dt.strftime(ours)
    read = seconds(written, time_format)
    why = '' if read.drop_nulls().n_unique() == 2 else 'it names no date or time'
  except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
    why = 'it is none of strptime'
  if why:
    raise errors.UserError(f'--time_format={time_format}: {why}')


def guess(lines: list[str]) -> list[str]:
  """The systems whose format most of these lines fit."""
  fits = {
    name: sum(bool(re.search(f.line, line)) for line in lines)
    for name, f in FORMATS.items()
  }
  return [name for name, count in fits.items() if count > len(lines) / 2]
