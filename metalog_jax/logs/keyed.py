"""Lines of keys and values: JSON, logfmt, Docker's JSON, and tables with a header."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence

from metalog_jax import errors
from metalog_jax.logs import multiline

Columns = dict[str, list[str | None]]

_KEYS = {  # the usual names of keys, the likeliest first, in small letters
  'time': (
    'timestamp time ts @timestamp __realtime_timestamp t @t datetime date_time asctime '
    'date created_at created eventtime event_time log_time logtime time_local instant '
    'timemillis timegenerated epoch _source_realtime_timestamp when timeunixnano'
    ' observedtimeunixnano instant.epochsecond timecreated'
  ).split()
  + ['date and time', 'date/time'],
  'level': (
    'level severity lvl levelname loglevel log_level log.level @l severity_text '
    'severitytext leveldisplayname sev priority syslog_severity s'
  ).split(),
  'message': (
    'message msg @m @mt content body body.stringvalue text event log short_message '
    'description summary error exception'
  ).split(),
}
_NESTED = {  # within objects, fewer: `request.time` is likelier a duration
  'time': 'timestamp @timestamp $date datetime created_at ts'.split(),
  'level': 'level severity levelname loglevel'.split(),
  'message': 'message msg'.split(),
}
_STACK = re.compile(r'(?:stack|stack_?trace|exc_info|exception|traceback|backtrace)$')
_CLOCK = re.compile(r'\s*\d{1,2}:\d\d(?::|$)')  # a time of day
_DATE = re.compile(r'(?=.*\d)[\w ,./-]{6,24}')
_MOST_KEYS = 64  # columns of a block
_DEEPEST = 5  # objects within objects
INSIDE = '.inside'  # column of a table: the line is within its record
# Columns of published tables that say nothing, or give the answer away.
_LEFT_OUT = {'lineid', 'eventid', 'eventtemplate', 'parameterlist'}


def chosen(keys: Sequence[str]) -> dict[str, str]:
  """Role -> name of texts `ROLE=NAME`; raises UserError, naming `--key`, for others."""
  names = {}
  for text in keys:
    role, _, name = text.partition('=')
    if role not in _KEYS or not name:
      raise errors.UserError(
        f'--key={text}: write ROLE=NAME, such as message=txt; roles are '
        f'{", ".join(_KEYS)}'
      )
    names[role] = name
  return names


class Keyed:
  """Reads lines of keys and values as columns: time, level, message and the others.

  Args:
    load: a line to its keys and values; None where it is no such line.
    keys: names of keys by role (`time`, `level`, `message`), before the usual ones.
  """

  def __init__(
    self,
    load: Callable[[str], dict | None],
    keys: Mapping[str, str] | None = None,
  ):
    names = {role: name.lower() for role, name in (keys or {}).items()}
    self.load = load
    self._roles = {
      role: [names[role]] if role in names else usual for role, usual in _KEYS.items()
    }
    self._cache: dict[tuple[str, ...], tuple[list, list, str | None]] = {}

  def __call__(self, lines: list[str]) -> Columns:
    return self.columns([self.load(line) for line in lines])

  def keys(self, lines: list[str]) -> set[str]:
    """The keys of lines, in small letters."""
    return {key.lower() for line in lines for key in self.load(line) or ()}

  def columns(self, items: list[dict | None]) -> Columns:
    columns: Columns = {role: [None] * len(items) for role in self._roles}
    messages = columns['message']
    for row, item in enumerate(items):
      if item is None:
        continue
      roles, others, date = self._plan(tuple(item))
      for role, key in roles:
        value = item[key]
        columns[role][row] = value if type(value) is str else _as_text(value)
      if date and _CLOCK.match(clock := columns['time'][row] or ''):
        if _DATE.fullmatch((day := _as_text(item[date]) or '').strip()):
          columns['time'][row] = f'{day} {clock}'
      message = messages[row]
      if not message:
        said = [f'{key}={_as_text(item[key])}' for key, _, _ in others
                if not isinstance(item[key], int | float)]  # fmt: skip
        messages[row] = ' '.join(said) or '{}'
      elif '\n' in message:
        messages[row] = _first_line(message)
      for key, name, is_stack in others:
        value = item[key]
        if type(value) is not str:
          value = _as_text(value)
        if name in columns:
          columns[name][row] = value
        elif len(columns) < _MOST_KEYS:
          columns[name] = [None] * len(items)
          columns[name][row] = value
        if is_stack and value and '\n' in value:
          thrown, message = multiline.exception('\n' + value), messages[row] or ''
          if thrown and thrown not in message:
            messages[row] = f'{message} {thrown}'
    return columns

  def _plan(self, names: tuple[str, ...]) -> tuple[list, list, str | None]:
    """Of these keys, pairs (role, key), and of the others (key, column, is a stack).

    The last is the key of a date, where that of the time may be a time of day.
    """
    if names not in self._cache:
      if len(self._cache) > 10_000:
        self._cache.clear()
      roles = {role: key for role in self._roles if (key := self._find(role, names))}
      others = [
        (key, _column(key), bool(_STACK.search(key.lower())))
        for key in names
        if key not in roles.values()
      ]
      dated = re.sub('(?i)time$', 'date', roles.get('time', ''))
      date = next((n for n in names if n.lower() == dated.lower()), None)
      date = None if date == roles.get('time') else date
      self._cache[names] = list(roles.items()), others, date
    return self._cache[names]

  def _find(self, role: str, names: tuple[str, ...]) -> str | None:
    by_name = {name.lower(): name for name in reversed(names)}
    for wanted in self._roles[role]:
      if wanted in by_name:
        return by_name[wanted]
    for wanted in _NESTED[role] if self._roles[role] is _KEYS[role] else ():
      for name, key in by_name.items():
        if name.rpartition('.')[2] == wanted:
          return key
    return None


def _column(key: str) -> str:
  """The column of a key; those of roles, and of a dot at the beginning, are ours."""
  return f'{key}_' if key in _KEYS or key.startswith('.') else key


def _first_line(text: str) -> str:
  first, end, rest = text.strip().partition('\n')
  thrown = multiline.exception(text) if end else ''
  return f'{first} {thrown}' if thrown and thrown not in first else first


def _as_text(value) -> str | None:
  if isinstance(value, str) or value is None:
    return value
  if isinstance(value, list) and value and all(type(v) is int for v in value):
    if all(0 <= v < 256 for v in value):  # journald's bytes
      return bytes(value).decode('utf-8', 'backslashreplace')
  try:
    return json.dumps(value, ensure_ascii=False)
  except RecursionError:
    return '(nested too deeply)'


def _flatten(item: dict, prefix: str = '', depth: int = 1) -> dict:
  if not prefix and dict not in map(type, item.values()):
    return item
  flat: dict = {}
  for key, value in item.items():
    if isinstance(value, dict) and value and depth < _DEEPEST:
      flat |= _flatten(value, f'{prefix}{key}.', depth + 1)
    else:
      flat[prefix + key] = value
  return flat


def load_json(line: str) -> dict | None:
  """The object of a line, those within it as `outer.inner`."""
  line = line.strip()
  if not (line.startswith('{') and line.endswith('}')):
    return None
  try:
    item = json.loads(line)
  except (ValueError, RecursionError):
    return None
  if not item:
    return None
  item = _flatten(item)
  if '\\u' in line:  # half a surrogate pair is no text
    item = {_escaped(key): _escaped(_as_text(value)) for key, value in item.items()}
  return item


def _escaped(text: str | None) -> str | None:
  return text and text.encode('utf-8', 'backslashreplace').decode()


_PAIR = re.compile(r'([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')


def load_logfmt(line: str) -> dict | None:
  """Pairs `key=value`; None for fewer than two, or where other text stands between."""
  item: dict[str, str] = {}
  place, line = 0, line.strip()
  while place < len(line):
    match = _PAIR.match(line, place)
    if not match:
      return None
    key, value = match.groups()
    if value.startswith('"'):
      value = re.sub(r'\\(.)', lambda m: {'n': '\n', 't': '\t'}.get(m[1], m[1]),
                     value[1:-1])  # fmt: skip
    item.setdefault(key, value)
    place = match.end()
  return item if len(item) > 1 else None


def load_ltsv(line: str) -> dict | None:
  """Pairs `key:value` with tabs between."""
  pairs = [pair.partition(':') for pair in line.split('\t')]
  if len(pairs) < 2 or not all(re.fullmatch(r'[\w.-]+', key) for key, _, _ in pairs):
    return None
  return {key: value for key, colon, value in pairs if colon}


def docker(lines: list[str]) -> Columns:
  """Docker's json-file: what was said is in `log`, without its end where it goes on."""
  columns: Columns = {
    n: [None] * len(lines) for n in 'time message stream part'.split()
  }
  for row, line in enumerate(lines):
    item = load_json(line)
    if item and isinstance(item.get('log'), str) and 'time' in item:
      said = item['log']
      columns['time'][row] = _as_text(item['time'])
      columns['stream'][row] = _as_text(item.get('stream'))
      columns['part'][row] = 'F' if said.endswith('\n') else 'P'
      columns['message'][row] = said.rstrip('\r\n')
  return columns


class Table:
  """Reads lines of a table with a header, such as loghub's CSV files.

  A record may go over several lines, inside quotes. The header belongs to the record
  below it. Of columns with equal names the first counts.
  """

  def __init__(
    self, header: str, delimiter: str, keys: Mapping[str, str] | None = None
  ):
    self._header, self._delimiter = header, delimiter
    names = [n.strip() for n in next(csv.reader([header], delimiter=delimiter))]
    self.names = names
    self._keyed = Keyed(lambda line: None, keys)

  def __call__(self, lines: list[str]) -> Columns:
    items: list[dict | None] = [None] * len(lines)
    inside: list[str | None] = ['1'] * len(lines)
    begin = int(lines[:1] == [self._header])
    place = begin
    while place < len(lines):
      end = self._end(lines, place)
      row = self._row('\n'.join(lines[place:end]))
      at = 0 if place == begin else place
      items[at], inside[at] = row, None
      place = end
    return {**self._keyed.columns(items), INSIDE: inside}

  def keys(self, lines: list[str]) -> set[str]:
    """The columns, in small letters."""
    return {name.lower() for name in self.names}

  def _end(self, lines: list[str], place: int) -> int:
    """The line after the record's last: where its quotes are closed."""
    quotes = 0
    for end in range(place, min(place + 100, len(lines))):
      quotes += lines[end].count('"')
      if quotes % 2 == 0:
        return end + 1
    return place + 1

  def _row(self, text: str) -> dict | None:
    try:
      values = next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
    except csv.Error:
      return None
    extra = len(values) - len(self.names)
    if extra > 0:  # commas of a last column without quotes
      last = self._delimiter.join(values[-extra - 1 :])
      values = [*values[: -extra - 1], last]
    if extra < 0:
      return None
    item: dict[str, str] = {}
    for name, value in zip(self.names, values):
      if name.lower() not in _LEFT_OUT:
        item.setdefault(name, value)
    return _join_time(item)


def _join_time(item: dict[str, str]) -> dict[str, str]:
  """Date and time of day, in columns of their own, as one value."""
  by_name = {name.lower(): name for name in item}
  if 'timestamp' in by_name or 'time' not in by_name:
    return item
  parts = [by_name[n] for n in ('month', 'date', 'day', 'time') if n in by_name]
  if len(parts) > 1:
    values = [item.pop(name).strip() for name in parts]
    if values[0].isdigit() and values[-1].isdigit():
      values = [value.zfill(6) for value in values]  # HDFS: 81109,203518
    item['time'] = ' '.join(values)
  return item


def table(lines: list[str], keys: Mapping[str, str] | None = None) -> Table | None:
  """A reader of the table that these lines begin; None where the first is no header."""
  if not lines:
    return None
  header = lines[0]
  delimiter = max(',;\t', key=header.count)
  try:
    names = next(csv.reader([header], delimiter=delimiter), [])
  except csv.Error:
    return None
  names = [name.strip().lower() for name in names]
  known = [any(n in usual or n == (keys or {}).get(role, '').lower() for n in names)
           for role, usual in _KEYS.items()]  # fmt: skip
  plain = all(re.fullmatch(r'[\w .@()/-]{0,40}', name) for name in names)
  if len(names) < 2 or not plain or not known[2] or not (known[0] or 'date' in names):
    return None
  return Table(header, delimiter, keys)
