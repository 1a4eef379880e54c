"""How lines of a log are laid out: one table, in which a new format is one entry.

A layout cuts lines into columns: `time`, `level`, `message` and others that its
pattern names. `choosing` takes the one that a file fits.
"""

import dataclasses
import functools
import re
from collections.abc import Callable

import numpy as np
import polars as pl

from metalog_jax.logs import keyed, levels, times

# The rest of a line is cut off faster than it is matched.
_MOST_FIELDS = 100
_MESSAGE, _HEAD = '(?P<message>.*)$', 'head_'


@dataclasses.dataclass(frozen=True)
class Layout:
  """One way of writing a line.

  Args:
    name: as reports and `--format` call it.
    pattern: a regex with the groups `message`, and `time`, `level` and others where
      they are there; `{time}` stands for a time. '' where `parse` reads the lines.
    shape: how the time is written, of `times.SHAPES`; several have spaces between.
    example: lines that fit.
    parse: lines to columns; `message` is None where a line does not fit.
    said: columns that make the message.
    wraps: the message is a line of a layout of its own, whose parts may be halves.
    second: a regex for the line below, which has the level and the message.
    alone: a line that does not fit is a record, unless it looks like a continuation.
  """

  name: str
  pattern: str = ''
  shape: str = ''
  example: str = ''
  parse: Callable[[list[str]], keyed.Columns] | None = None
  said: tuple[str, ...] = ()
  wraps: bool = False
  second: str = ''
  alone: bool = False

  @functools.cached_property
  def regex(self) -> str:
    """As polars compiles it."""
    time = f'(?P<time>{times.pattern(*self.shape.split())})'
    regex = times.ascii_only(self.pattern.replace('{time}', time))
    if regex.startswith('(?s)^') and regex.endswith(_MESSAGE):
      regex = f'^(?P<{_HEAD}>{regex[5 : -len(_MESSAGE)]})'
    return regex

  def columns(self, text: pl.Series) -> pl.DataFrame:
    """Columns [n] of strings; `message` is null where a line does not fit."""
    if self.parse:
      read = self.parse(text.to_list())
      return pl.DataFrame(read, schema=dict.fromkeys(read, pl.String))
    table = text.str.extract_groups(self.regex).struct.unnest()
    if _HEAD in table.columns:
      message = text.str.strip_prefix(table[_HEAD]).alias('message')
      table = table.drop(_HEAD).with_columns(message)
    if self.said:
      said = pl.concat_str(self.said, separator=' ')
      table = table.with_columns(message=said).drop(self.said[0])
    return table


class Custom(Layout):
  """A user's regex as it is; `date` and `time`, or `timestamp`, are the time."""

  @property
  def regex(self) -> str:
    return self.pattern

  def columns(self, text: pl.Series) -> pl.DataFrame:
    table = super().columns(text)
    names = [name for name in ('date', 'time', 'timestamp') if name in table.columns]
    time = [pl.concat_str(names[:2], separator=' ').alias('time')] if names else []
    return table.with_columns(time)


_PID = r'(?:\[(?P<pid>[^\]]*)\])?'
_QUOTED = r'"{name}(?:[^"\\]|\\.)*)"'.replace('{name}', '(?P<{}>')

LAYOUTS = (  # of two that fit equally well, the first is taken
  Layout(
    'hdfs',
    r'(?s)^{time} (?P<pid>\d+) (?P<level>[A-Z]+) (?P<logger>[^\s:]+): ?'
    r'(?P<message>.*)$',
    'short',
    '081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 ends',
  ),
  Layout(
    'bgl',
    r'(?s)^(?P<label>\S+) (?P<time>\d{10}) \d{4}\.\d\d\.\d\d (?P<host>\S+) '
    r'\d{4}-\d\d-\d\d-[\d.]+ \S+ (?P<type>\S+) (?P<logger>\S+) (?P<level>\S+)(?: |$)'
    r'(?P<message>.*)$',
    'epoch',
    '- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 '
    'R02-M1-N0-C:J12-U11 RAS KERNEL INFO cache parity error corrected',
  ),
  *(
    Layout(
      name,
      r'(?s)^(?P<label>\S+) (?P<time>\d{10}) \d{4}\.\d\d\.\d\d (?P<host>\S+) '
      r'[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d (?P<location>\S+)'
      rf'(?: (?P<program>[^\s:\[]+){_PID}:)?(?: |$)(?P<message>.*)$',
      'epoch',
      '- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: '
      'session closed for user root',
    )
    for name in ('thunderbird', 'spirit')
  ),
  *(
    Layout(
      'openstack',
      rf'(?s)^{head}(?P<level>[A-Z]{{4,8}}) '
      r'(?P<logger>[a-z][\w.]*) \[(?P<request>req-[^\]]*|-)\] (?P<message>.*)$',
      'stamp',
      f'{example}INFO nova.api [req-38101a0b-2096-447d-96ea - - -] GET status: 200',
    )
    for head, example in (  # the first is loghub's, and read faster
      (r'(?P<source>\S+) {time} (?P<pid>\d+) ', 'nova.log 2017-05-16 00:00:00.008 25 '),
      (r'(?:(?:(?P<source>\S+) )?{time} )?\s*(?:(?P<pid>\d+) )?', ''),
    )
  ),
  Layout(
    'hadoop',
    r'(?s)^{time} (?P<level>[A-Z]+) \[(?P<thread>.*?)\] '
    r'(?P<logger>org\.apache\.[^\s:]+): (?P<message>.*)$',
    'stamp',
    '2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster'
    ': Created MRAppMaster for application appattempt_1445144423722_0020_000001',
  ),
  Layout(
    'cri',
    r'(?s)^{time} (?P<stream>stdout|stderr) (?P<part>[PF])(?::\S*)?(?: |$)'
    r'(?P<message>.*)$',
    'iso',
    '2026-01-02T15:04:05.123456789Z stdout F ready to serve',
    wraps=True,
  ),
  Layout(
    'docker',
    example='{"log":"ready\\n","stream":"stdout","time":"2026-01-02T15:04:05Z"}',
    parse=keyed.docker,
    wraps=True,
  ),
  Layout(
    'klog',
    r'(?s)^(?P<level>[IWEF]){time} +(?P<pid>\d+) (?P<source>[^\s\]]+:\d+)\] ?'
    r'(?P<message>.*)$',
    'klog compact',
    'I0102 15:04:05.123456       1 controller.go:42] synced pods',
  ),
  Layout(
    'syslog 5424',
    r'(?s)^<(?P<priority>\d{1,3})>\d{1,2} (?:{time}|-) (?P<host>\S+) (?P<program>\S+) '
    r'(?P<pid>\S+) (?P<msgid>\S+) '
    r'(?P<data>-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+) ?\x{FEFF}?'
    r'(?P<message>.*)$',
    'iso',
    '<165>1 2026-01-02T15:04:05.003Z host app 123 ID47 [x@1 a="b]"] disk is full',
  ),
  Layout(
    'syslog',
    r'(?s)^(?:<(?P<priority>\d{1,3})>)?{time} (?P<host>[^\s:\[\]]+) '
    rf'(?:(?P<program>[^\s:\[]{{1,64}}){_PID}: ?)?(?P<message>.*)$',
    'date syslog',
    'Jan  2 15:04:05 host sshd[1234]: Accepted publickey for root',
  ),
  Layout(
    'syslog iso',
    r'(?s)^(?:<(?P<priority>\d{1,3})>)?{time} (?P<host>[^\s:\[\]]+) '
    rf'(?P<program>[^\s:\[]{{1,64}}){_PID}: (?P<message>.*)$',
    'iso',
    '2026-01-02T15:04:05.123456+01:00 host sshd[1234]: Accepted publickey for root',
  ),
  Layout(
    'access',
    r'(?s)^(?:(?P<vhost>\S+:\d+) )?(?P<client>\S+) \S+ (?P<user>\S+) \[{time}\] '
    + _QUOTED.format('request')
    + r' (?P<status>\d{3}|-) (?P<size>\d+|-)'
    rf'(?: {_QUOTED.format("referer")} {_QUOTED.format("agent")})?'
    r'(?:(?: "[^"]*"){0,2} "?(?:rt=|request_time=)?"?(?P<request_time>\d+\.\d{3,6})\b)?'
    r'(?P<rest>.*)$',
    'common',
    '10.0.0.1 - - [02/Jan/2026:15:04:05 +0000] "GET /x HTTP/1.1" 502 12 "-" "curl/8"',
    said=('request', 'status'),
  ),
  Layout(
    'iis',
    r'(?s)^{time} (?:(?P<site>W3SVC\d+) (?:(?P<host>\S+) )?)?(?P<server>[\da-fA-F.:]+) '
    r'(?P<method>[A-Z]+) (?P<stem>[/*]\S*) \S+ (?P<port>\d+) (?P<user>\S+) '
    r'(?P<client>[\da-fA-F.:]+) (?:\S+ ){1,5}?(?P<status>\d{3}) (?P<substatus>\d+) '
    r'(?P<win32>\d+)(?P<message>.*)$',
    'stamp',
    '2026-01-02 15:04:05 10.0.0.5 GET /x - 443 - 10.0.0.1 curl/8 - 503 0 0 12',
    said=('method', 'stem', 'status'),
  ),
  Layout(
    'apache error',
    r'(?s)^\[{time}\] \[(?:(?P<logger>[\w.-]*):)?(?P<level>[a-z]+\d?)\] '
    r'(?:\[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\] )?'
    r'(?:\[(?:client|remote) (?P<client>[^\]]*)\] )?(?P<message>.*)$',
    'ctime',
    '[Fri Jan 02 15:04:05.902022 2026] [core:error] [pid 35:tid 43] '
    '[client 10.0.0.1:80] AH00135: Invalid method',
  ),
  Layout(
    'nginx error',
    r'(?s)^{time} \[(?P<level>[a-z]+)\] (?P<pid>\d+)#(?P<tid>\d+): '
    r'(?:\*(?P<connection>\d+) )?(?P<message>.*)$',
    'iso',
    '2026/01/02 15:04:05 [error] 12#34: *5 upstream timed out, client: 10.0.0.1',
  ),
  Layout(
    'postgresql',
    r'(?s)^{time}:? ?(?:(?P<client>[^\[\]\s]+) )?\[(?P<pid>\d+)[^\]]*\]:?\s+'
    r'(?:(?P<session>[^:]{1,120}?):? )??(?P<level>LOG|ERROR|FATAL|PANIC|WARNING|NOTICE'
    r'|INFO|DEBUG\d?|STATEMENT|DETAIL|HINT|CONTEXT|QUERY|LOCATION):\s+(?P<message>.*)$',
    'iso',
    '2026-01-02 15:04:05.123 UTC [42] app@shop ERROR:  deadlock detected',
  ),
  Layout(
    'mysql',
    r'(?s)^{time} +(?P<thread>\d+) \[(?P<level>[A-Z][a-z]+)\] '
    r'(?:\[(?P<code>MY-\d+)\] )?(?:\[(?P<logger>\w+)\] )?(?P<message>.*)$',
    'iso',
    '2026-01-02T15:04:05.123456Z 8 [Warning] [MY-010055] [Server] IP address unknown',
  ),
  Layout(
    'redis',
    r'(?s)^(?P<pid>\d+):(?P<role>[XCSM]) {time} (?P<level>[.*#-]) (?P<message>.*)$',
    'common',
    '12:M 02 Jan 2026 15:04:05.123 * Ready to accept connections',
  ),
  Layout(
    'cbs',
    r'(?s)^{time}, (?P<level>[A-Z]\w+) +(?P<logger>[A-Z]\w+) +(?P<message>.*)$',
    'iso',
    '2026-01-02 15:04:05, Info                  CBS    Loaded Servicing Stack v6.1',
  ),
  Layout(
    'logcat',
    r'(?s)^{time} +(?P<pid>\d+) +(?P<tid>\d+) (?P<level>[VDIWEFA]) '
    r'(?P<logger>[^:]{0,80}?) *: ?(?P<message>.*)$',
    'yearless iso',
    '01-02 15:04:05.123  1702  2395 D WindowManager: printFreezingDisplayLogs',
  ),
  Layout(
    'dmesg',
    r'(?s)^(?:<\d+>)?\[ *(?P<time>\d+\.\d{3,6})s?\](?:\[ *[TC]\d+\])? ?'
    r'(?P<message>.*)$',
    'uptime',
    '[   12.345678] usb 1-1: new high-speed USB device number 2',
  ),
  Layout(
    'audit',
    r'(?s)^type=(?P<type>\S+) msg=audit\({time}:(?P<serial>\d+)\): ?(?P<message>.*)$',
    'epoch',
    'type=SYSCALL msg=audit(1767366245.123:242): arch=c000003e success=no',
    said=('type', 'message'),
  ),
  Layout(
    'erlang',
    r'^=(?P<level>[A-Z]+) REPORT==== {time} ===(?P<message>)$',
    'common',
    '=ERROR REPORT==== 2-Jan-2026::15:04:05 ===\nclosing connection',
  ),
  Layout(
    'java logging',
    r'^{time} (?P<logger>[\w.$]+)(?: (?P<method>[\w$<>]+))?(?P<message>)$',
    'date common',
    'Jan 02, 2026 3:04:05 PM com.example.Shop run\nINFO: started in 5 s',
    second=r'^(?P<level>[A-Z]{4,8}): (?P<message>.*)$',
  ),
  Layout(
    'ruby',
    r'(?s)^[DIWEFAU], \[{time} #(?P<pid>\d+)\] +(?P<level>\w+) -- (?P<program>[^:]*): ?'
    r'(?P<message>.*)$',
    'iso',
    'I, [2026-01-02T15:04:05.123456 #42]  INFO -- : Completed 200 OK in 5ms',
  ),
  Layout(
    'env_logger',
    r'(?s)^\[{time} (?P<level>[A-Z]+) +(?P<logger>[^\]\s]+)\] (?P<message>.*)$',
    'iso',
    '[2026-01-02T15:04:05Z INFO  shop::cart] item added',
  ),
  Layout(
    'dotnet',
    r'(?s)^(?:\[?{time}\]?[\s|:-]{0,5})?(?P<level>trce|dbug|info|warn|fail|crit): '
    r'(?P<logger>\S{1,200})\[(?P<code>-?\d+)\] ?(?P<message>.*)$',
    'iso iso-apart slashes common date clock',
    example='info: Microsoft.Hosting.Lifetime[14]\n      Now listening on: http://[::]',
  ),
  Layout(
    'logrus terminal',
    r'(?s)^(?P<level>DEBU|INFO|WARN|ERRO|FATA|PANI)\[(?P<elapsed>\d{4,})\] ?'
    r'(?P<message>.*)$',
    example='INFO[0003] listening on :8080                            port=8080',
  ),
  Layout(
    'python',
    r'(?s)^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<logger>[\w.]+):'
    r'(?P<message>.*)$',
    example='WARNING:root:disk is nearly full',
  ),
  Layout('json', example='{"ts":1772352000.5,"level":"info","msg":"ready"}', alone=True,
         parse=keyed.Keyed(keyed.load_json)),
  Layout('logfmt', example='time=2026-01-02T15:04:05Z level=info msg="it is ready" n=5',
         alone=True, parse=keyed.Keyed(keyed.load_logfmt)),
  Layout('ltsv', example='time:2026-01-02T15:04:05Z\tstatus:502\tmessage:bad gateway',
         alone=True, parse=keyed.Keyed(keyed.load_ltsv)),
)  # fmt: skip
LEVEL_FIRST = Layout(
  'level',
  rf'(?s)^[\[<(]?\s?(?P<level>{levels.ANY})(?:\s*[\])>][\s:|-]*|[:|][\s:|-]*| +- +)'
  r'(?P<message>.*)$',
  example='[ERROR] cannot open the file',
)
LEVEL_WORD = Layout(
  'level word',
  r'(?s)^(?P<level>TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|SEVERE|CRITICAL|FATAL'
  r'|PANIC|ALERT) +(?P<message>.*)$',
  example='ERROR cannot open the file',
)


class Fields(Layout):
  """W3C's extended log format, whose `#Fields:` name the columns; '-' is none.

  Lines that begin with # belong to the record above, the first of a file to that below.
  """

  def columns(self, text: pl.Series) -> pl.DataFrame:
    table = super().columns(text)
    names = [name for name in ('date', 'time') if name in table.columns]
    if names:
      time = pl.concat_str(names, separator=' ').alias('time')
      table = table.with_columns(time).drop(n for n in names if n != 'time')
    said = [n for n in ('cs_method', 'cs_uri_stem', 'sc_status') if n in table.columns]
    if said:
      words = [pl.col(name) for name in said]
      if said[-1] == 'sc_status' and 'cs_method' not in said:
        words.insert(-1, pl.lit('status'))
      table = table.with_columns(message=pl.concat_str(words, separator=' '))
    inside = text.str.starts_with('#')
    first = (~inside).arg_max() or 0
    if first:  # the header is of the record below
      order = np.arange(len(text))
      order[0], order[first] = first, 0
      table, inside = table[order], inside[order]
    table = table.with_columns(pl.when(pl.all() != '-').then(pl.all()))
    mark = inside.cast(pl.String).replace('false', None).alias(keyed.INSIDE)
    return table.with_columns(mark)


def fields(lines: list[str]) -> Fields | None:
  """The layout that a line `#Fields:` of a sample names; None without one."""
  header = next((line for line in lines if line.startswith('#Fields:')), '')
  names = [re.sub(r'(?a)\W+', '_', name).strip('_') for name in header.split()[1:]]
  is_named = all(
    re.fullmatch('(?!message$)[A-Za-z][A-Za-z0-9_]{0,60}', n) for n in names
  )
  if not 1 < len(names) <= _MOST_FIELDS or len(set(names)) < len(names) or not is_named:
    return None
  rows = [line for line in lines if not line.startswith('#')]
  gap, value = ('\t', r'[^\t]*') if '\t' in ''.join(rows[:1]) else (' +', r'\S+')
  row = gap.join(rf'(?P<{name}>"[^"]*"|{value})' for name in names)
  return Fields('w3c', rf'(?s)^(?P<message>{row})\s*$')


PLAIN = Layout('plain', r'(?s)^(?P<message>.*)$', example='anything at all')
LAST = (LEVEL_FIRST, LEVEL_WORD)  # after what a sample teaches
BY_NAME = {layout.name: layout for layout in (*LAYOUTS, *LAST, PLAIN)}
