"""How lines of a log are laid out: one table, and a layout learned from a sample.

A layout cuts lines into columns: `time`, `level`, `message` and others that its
pattern names. A new format is one entry of `LAYOUTS`.
"""

import collections
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable

import polars as pl

from metalog_jax import errors
from metalog_jax.logs import multiline, times

Columns = dict[str, list[str | None]]


@dataclasses.dataclass(frozen=True)
class Layout:
  """One way of writing a line.

  Args:
    name: as reports and `--format` call it.
    pattern: with the groups `message`, and `time`, `level` and others where they are
      there; '' where `parse` reads the lines.
    parse: lines to columns; `message` is None where a line does not fit.
    example: a line that fits.
    shape: the time's, of `times.SHAPES`, where the pattern has `{time}`; '' for any.
  """

  name: str
  pattern: str = ''
  parse: Callable[[list[str]], Columns] | None = None
  example: str = ''
  shape: str = ''
  alone: bool = False  # a line that does not fit is a record, if it looks like one

  @functools.cached_property
  def regex(self) -> str:
    shapes = [self.shape] if self.shape else []
    time = f'(?P<time>{times.pattern(*shapes)})'
    return times.ascii_only(self.pattern.replace('{time}', time))

  def columns(self, text: pl.Series) -> pl.DataFrame:
    """Columns [n] of strings; `message` is null where a line does not fit."""
    if self.parse:
      read = self.parse(text.to_list())
      return pl.DataFrame(read, schema=dict.fromkeys(read, pl.String))
    table = text.str.extract_groups(self.regex).struct.unnest()
    if 'message' not in table.columns:
      table = table.with_columns(message=pl.lit(''))
    return table


# Levels: words anywhere, letters and numbers where a layout says that one is there.
LEVELS = (
  'TRACE DEBUG DBG INFO INF INFORMATION NOTICE WARNING WARN WRN ERROR ERR SEVERE '
  'CRITICAL CRIT FATAL FTL PANIC ALERT EMERGENCY EMERG FINE FINER FINEST CONFIG'
  'VERBOSE VRB LOG AUDIT SUCCESS HINT DETAIL STATEMENT'
).split()
_SAME = {
  **dict(I='INFO', W='WARN', E='ERROR', F='FATAL', D='DEBUG', V='VERBOSE', T='TRACE'),
  **dict(A='ALERT', C='CRITICAL', N='NOTICE', DBG='DEBUG', INF='INFO', WRN='WARN'),
  **dict(ERR='ERROR', FTL='FATAL', CRIT='CRITICAL', EMERG='EMERGENCY', VRB='VERBOSE'),
  **dict(INFORMATION='INFO', WARNING='WARN'),
  **{'10': 'TRACE', '20': 'DEBUG', '30': 'INFO', '40': 'WARN', '50': 'ERROR'},
  **{'60': 'FATAL', '0': 'EMERGENCY', '1': 'ALERT', '2': 'CRITICAL', '3': 'ERROR'},
  **{'4': 'WARN', '5': 'NOTICE', '6': 'INFO', '7': 'DEBUG'},
}
LEVEL = '(?i:' + '|'.join(sorted(LEVELS, key=len)[::-1]) + ')'


def levels(text: pl.Series) -> pl.Series:
  """Levels in capitals and in full, '' where there is none."""
  upper = text.fill_null('').str.strip_chars(' []()<>|:').str.to_uppercase()
  return upper.replace(_SAME)


# --- A layout learned from a sample: what stands around the time. ---

_TOKENS = {  # what may stand between the time and the message, as written
  'level': rf'[\[(<|]?(?P<level>{LEVEL})[\])>|]?(?:[\s:|,-]+|$)',
  'letter': r'\[?(?P<level>[TDIWEFVC])\]?[\s:|,/-]+',
  'bracket': r'\[(?P<thread>[^\[\]]{0,100})\][\s:|,-]*',
  'paren': r'\((?P<context>[^()]{1,60})\)[\s:|,-]*',
  'number': r'(?P<pid>\d{1,7})[\s:|,-]+',
  'name': r'(?P<logger>[A-Za-z_$][\w.$/<>#@-]{0,100}(?:::?[\w.$/<>#@-]{1,60}){0,8}'
  r'(?:\[\w{0,40}\])?)(?: {0,20}: |:\s|:$|\s+-+ | ?\| ?)',
  'dotted': r'(?P<logger>[A-Za-z_]\w{0,40}(?:(?:\.|::)[\w$]{1,60}){1,12})\s+',
  'dash': r'[-|:–]+\s+',
}
_ONCE = {'level': 'level', 'letter': 'level', 'name': 'logger', 'dotted': 'logger'}
_GROUP = {
  'bracket': ('thread', 'extra'),
  'number': ('pid', 'tid'),
  'paren': ('context',),
}
_SEPARATOR = r'[\])>]?[\s|,:;-]{0,20}'
_ENOUGH = 0.6  # of the lines: what stands there is a column


def _peel(text: str) -> list[str]:
  """The kinds of token that a text begins with."""
  kinds: list[str] = []
  seen: collections.Counter[str] = collections.Counter()
  while len(kinds) < 7:
    for kind, token in _TOKENS.items():
      once = _ONCE.get(kind, kind)
      limit = len(_GROUP.get(kind, ('',))) if kind != 'dash' else 3
      if seen[once] >= limit:
        continue
      if kind in ('bracket', 'paren', 'number') and seen['level'] and seen['logger']:
        continue  # likelier the message's
      if match := re.match(token, text):
        break
    else:
      break
    kinds.append(kind)
    seen[once] += 1
    text = text[match.end() :]
  return kinds


def _common(peeled: list[list[str]]) -> list[str]:
  """The kinds that most have, one after the other."""
  kinds: list[str] = []
  rest = peeled
  while True:
    rest = [p for p in rest if len(p) > len(kinds) and p[: len(kinds)] == kinds]
    counts = collections.Counter(p[len(kinds)] for p in rest)
    best, count = counts.most_common(1)[0] if counts else ('', 0)
    if count < max(_ENOUGH * len(peeled), 1):
      return kinds
    kinds.append(best)


def _pattern_of(kinds: list[str], optional: bool) -> str:
  seen: collections.Counter[str] = collections.Counter()
  parts = []
  for kind in kinds:
    token = _TOKENS[kind]
    if kind in _GROUP:
      group = _GROUP[kind][seen[kind]]
      token = token.replace(f'<{_GROUP[kind][0]}>', f'<{group}>')
    seen[kind] += 1
    parts.append(f'(?:{token})?' if optional else token)
  return ''.join(parts)


def learn(lines: Iterable[str]) -> Layout | None:
  """A layout of lines that have a time near their beginning; None where few have."""
  lines = list(lines)
  found = [(line, place) for line in lines if (place := times.find(line))]
  if not found:
    return None
  votes = collections.Counter((p.shape, _before(line[: p.start])) for line, p in found)
  (shape, before), count = votes.most_common(1)[0]
  if count < 0.1 * len(lines) or shape == 'clock' and count < 0.5 * len(lines):
    return None
  chosen = [(line, p) for line, p in found if p.shape == shape]
  chosen = [(line, p) for line, p in chosen if _before(line[: p.start]) == before]
  after = [re.sub('^' + _SEPARATOR, '', line[p.end :], count=1) for line, p in chosen]
  skip = {_ONCE.get(kind, kind) for kind in before or ()}
  kinds = [k for k in _common([_peel(text) for text in after])
           if _ONCE.get(k, k) not in skip or k == 'dash']  # fmt: skip
  if before is None:
    head = r'(?P<before>.{0,60}?)'
  else:
    head = r'[\[(<|"]?' + _pattern_of(list(before), optional=False) + r'[\[(<|"]?'
  body = _pattern_of(kinds, optional=True)
  pattern = rf'(?s)^{head}{{time}}{_SEPARATOR}{body}(?P<message>.*)$'
  columns = [
    _ONCE.get(kind, kind) for kind in (*(before or ()), *kinds) if kind != 'dash'
  ]
  name = ', '.join(('time', *dict.fromkeys(columns)))
  return Layout(f'{shape} {name}', pattern, shape=shape)


def _before(text: str) -> tuple[str, ...] | None:
  """The tokens before the time; None where there is other text."""
  text = re.sub(r'^[\[(<|"]', '', text, count=1)
  kinds: list[str] = []
  while text and text not in '[(<|"':
    for kind in ('level', 'letter', 'bracket', 'name', 'dotted', 'dash'):
      match = re.match(_TOKENS[kind], text)
      if match and _ONCE.get(kind, kind) not in map(lambda k: _ONCE.get(k, k), kinds):
        break
    else:
      return None
    kinds.append(kind)
    text = text[match.end() :]
  return tuple(kinds)


# --- JSON lines. ---

_TIME_KEYS = (
  'time timestamp ts @timestamp t datetime date eventtime event_time asctime '
  'created_at created @t time_local timegenerated timemillis instant epoch log_time '
  'logtime'
).split()
_LEVEL_KEYS = (
  'level severity lvl levelname loglevel log_level log.level @l severity_text priority'
).split()
_MESSAGE_KEYS = (
  'message msg @m @mt body text event log short_message description error exception'
).split()


def _flatten(item: dict, prefix: str = '', depth: int = 0) -> dict:
  flat = {}
  for key, value in item.items():
    if isinstance(value, dict) and depth < 4:
      flat |= _flatten(value, f'{prefix}{key}.', depth + 1)
    else:
      flat[prefix + key] = value
  return flat


def _as_text(value) -> str | None:
  if value is None or isinstance(value, str):
    return value
  return json.dumps(value, ensure_ascii=False)


class Keyed:
  """Reads records of keys and values: which of them are time, level and message.

  Args:
    load: a line to its keys and values; None where it is no such line.
    keys: names of keys by role (`time`, `level`, `message`), before the usual ones.
  """

  def __init__(self, load: Callable[[str], dict | None], keys: dict[str, str] | None):
    keys = keys or {}
    self._load = load
    self._roles = {
      role: [keys[role].lower()] if role in keys else usual
      for role, usual in dict(
        time=_TIME_KEYS, level=_LEVEL_KEYS, message=_MESSAGE_KEYS
      ).items()
    }

  def __call__(self, lines: list[str]) -> Columns:
    columns: Columns = {
      name: [None] * len(lines) for name in ('time', 'level', 'message')
    }
    for row, line in enumerate(lines):
      item = self._load(line)
      if item is None:
        continue
      by_name = {key.lower(): key for key in item}
      for role, names in self._roles.items():
        key = next((by_name[n] for n in names if n in by_name), None) or next(
          (by_name[n] for n in by_name if n.rpartition('.')[2] in names), None
        )
        value = item.pop(key) if key is not None else None
        by_name.pop(key.lower(), None) if key else None
        columns[role][row] = _as_text(value)
      if columns['message'][row] is None:
        rest = {k: v for k, v in item.items() if not isinstance(v, (int, float))}
        columns['message'][row] = ' '.join(
          f'{k}={_as_text(v)}' for k, v in rest.items()
        )
      for key, value in item.items():
        if key not in columns and len(columns) < 64:
          columns[key] = [None] * len(lines)
        if key in columns:
          columns[key][row] = _as_text(value)
    return columns


def load_json(line: str) -> dict | None:
  line = line.strip()
  if not (line.startswith('{') and line.endswith('}')):
    return None
  try:
    item = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return _flatten(item)


PLAIN = Layout('plain', r'(?s)^(?P<message>.*)$', example='anything at all')
LAYOUTS = (PLAIN,)


def choose(lines: list[str], keys: dict[str, str] | None = None) -> Layout:
  """The layout that most lines of a sample fit; those that continue do not count."""
  text = pl.Series('line', lines, dtype=pl.String)
  text = text.filter(~multiline.continues(text))
  candidates = [Layout('json', parse=Keyed(load_json, keys), alone=True)]
  learned = learn(text.to_list())
  candidates += [learned] if learned else []
  best, best_score = PLAIN, 0.1
  for layout in candidates:
    fits = layout.columns(text)['message'].is_not_null()
    score = fits.sum() / max(len(text), 1)
    if score > best_score:
      best, best_score = layout, score
  return best


def named(format: str, keys: dict[str, str] | None, lines: list[str]) -> Layout:
  """The layout that `--format` names, or its regex with a group `message`.

  Raises UserError for neither.
  """
  known = {layout.name: layout for layout in LAYOUTS}
  known['json'] = Layout('json', parse=Keyed(load_json, keys), alone=True)
  if format in known:
    return known[format]
  if '(?P<' not in format:
    raise errors.unknown_choice('--format', format, ['auto', *known])
  try:
    groups = set(re.compile(format).groupindex)
    pl.Series(['']).str.extract_groups(format)
  except (re.error, pl.exceptions.ComputeError) as error:
    raise errors.UserError(f'--format={format}: {error}') from None
  format = format.replace('(?P<content>', '(?P<message>')
  if not groups & {'message', 'content'}:
    raise errors.UserError(f'--format={format}: name the message, (?P<message>...)')
  return Layout('custom', format)
