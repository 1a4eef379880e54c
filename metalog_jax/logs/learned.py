"""A layout learned from a sample: what stands before and after the time."""

import collections
import re
from collections.abc import Iterable

from metalog_jax.logs import levels, times

_TOKENS = {  # what may stand between the time and the message, as written
  'boxed': rf'\[\s*(?P<level>{levels.ANY})\s*\][\s:|,-]*',
  'level': rf'[\[(<|]?(?P<level>{levels.ANY})[\])>|]?(?:[\s:|,-]+|$)',
  'slash': rf'(?P<level>{levels.ANY})/(?P<worker>[^\]\s]{{1,60}})\][\s:]*',
  'slashed': rf'\[(?P<worker>[^\]/]{{1,60}})/(?P<level>{levels.ANY})\][\s:]*',
  'letter': r'\[?(?P<level>[TDIWEFVC])\]?[\s:|,/-]+',
  'request': r'\[(?P<request>-|req-[^\]]*)\]\s*',
  'bracket': r'\[(?P<thread>(?:[^\[\]]|\[[^\[\]]*\])*)\][\s:|,-]*',
  'paren': r'\((?P<context>[^()]{1,60})\)[\s:|,-]*',
  'source': r'(?P<source>[\w./@-]{1,100}\.\w{1,4}:\d{1,6})(?:\]|:)?\s+',
  'number': r'(?P<pid>\d{1,7})[\s:|,-]+',
  'name': r'(?P<logger>[A-Za-z_$][\w.$/<>#@-]{0,100}(?:::?[\w.$/<>#@-]{1,60}){0,8}'
  r'(?:\[[\w, .-]{0,60}\])?)(?:\s{0,40}:\s|:$|\s+-+ |\s{0,40}\|\s?)',
  'dotted': r'(?P<logger>[A-Za-z_]\w{0,40}(?:(?:\.|::)[\w$]{1,60}){1,12})\s+',
  'dash': r'[-|:–*]+\s+',
}
_ROLE = {
  **dict.fromkeys(('level', 'boxed', 'slash', 'slashed', 'letter'), 'level'),
  **dict.fromkeys(('name', 'dotted'), 'logger'),
}
# Where most lines have no level, some may.
_LEVEL = rf'(?:[\[(<]?(?P<level>{levels.ANY})(?:[\])>]:?|:)\s+)?'
_GROUPS = {
  'bracket': ('thread', 'extra'),
  'number': ('pid', 'tid'),
  'paren': ('context',),
}
_SEPARATOR = r'[\])>"\x27]?[\s|,:;-]{0,20}'
_OPENING = r'[\[(<|"\x27]?'
_MOST = 7  # tokens
_WORDS = re.compile(r'(?:[\w./:@|#\[\]-]+\s+){1,3}[\[(]?')  # names of sources
_ENOUGH = 0.6  # of the lines: what stands there is a column


def _peel(text: str) -> list[str]:
  """The kinds of token that a text begins with."""
  kinds: list[str] = []
  seen: collections.Counter[str] = collections.Counter()
  while len(kinds) < _MOST:
    for kind, token in _TOKENS.items():
      role = _ROLE.get(kind, kind)
      limit = len(_GROUPS.get(kind, ('',))) if kind != 'dash' else 3
      known = seen['level'] and seen['logger']
      if seen[role] >= limit or known and kind in ('bracket', 'paren', 'number'):
        continue  # the message's own
      if match := re.match(token, text):
        break
    else:
      break
    kinds.append(kind)
    seen[role] += 1
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


def _pattern(kinds: Iterable[str], optional: bool) -> str:
  seen: collections.Counter[str] = collections.Counter()
  parts = []
  for kind in kinds:
    token = _TOKENS[kind]
    if kind in _GROUPS:
      group = _GROUPS[kind][seen[kind]]
      token = token.replace(f'<{_GROUPS[kind][0]}>', f'<{group}>')
    seen[kind] += 1
    parts.append(f'(?:{token})?' if optional else token)
  return ''.join(parts)


def _before(text: str) -> tuple[str, ...] | None:
  """The tokens before the time; None where there is other text."""
  text = re.sub('^' + _OPENING, '', text, count=1)
  kinds: list[str] = []
  roles: list[str] = []
  while text and text not in '[(<|"':
    for kind in ('boxed', 'level', 'letter', 'bracket', 'name', 'dotted', 'dash'):
      match = re.match(_TOKENS[kind], text)
      if match and _ROLE.get(kind, kind) not in roles:
        break
    else:
      return None
    kinds.append(kind)
    roles.append(_ROLE.get(kind, kind))
    text = text[match.end() :]
  return tuple(kinds)


def learn(lines: list[str]) -> tuple[str, str, str] | None:
  """Name, pattern and time shape of lines that have a time near their beginning.

  The pattern has `{time}` where the time is. None where few lines have one. A column
  is what stands at that place in most lines; where it does not stand it is absent.
  """
  found = [(line, place) for line in lines if (place := times.find(line))]
  votes = collections.Counter((p.shape, _before(line[: p.start])) for line, p in found)
  if not votes:
    return None
  (shape, before), count = votes.most_common(1)[0]
  if count < (0.5 if shape in ('clock', 'epoch') else 0.1) * len(lines):
    return None
  after = [
    re.sub('^' + _SEPARATOR, '', line[p.end :], count=1)
    for line, p in found
    if (p.shape, _before(line[: p.start])) == (shape, before)
  ]
  roles = {_ROLE.get(kind, kind) for kind in before or ()} - {'dash'}
  kinds = [
    k for k in _common([_peel(t) for t in after]) if _ROLE.get(k, k) not in roles
  ]
  if before is None:
    texts = [line[: p.start] for line, p in found if _before(line[: p.start]) is None]
    words = sum(bool(_WORDS.fullmatch(text)) for text in texts)
    head = r'(?P<before>(?:\S+\s+){1,3}?[\[(]?)'
    head = head if words > 0.9 * len(texts) else '(?P<said>.{0,60}?)'
  else:
    head = _OPENING + _pattern(before, optional=False) + _OPENING
  body = _pattern(kinds, optional=True)
  if 'level' not in (*roles, *(_ROLE.get(kind) for kind in kinds)):
    body += _LEVEL
  columns = [
    _GROUPS[kind][0] if kind in _GROUPS else _ROLE.get(kind, kind)
    for kind in (*(before or ()), *kinds)
    if kind != 'dash'
  ]
  name = ', '.join((f'{shape} time', *dict.fromkeys(columns)))
  return name, rf'(?s)^{head}{{time}}{_SEPARATOR}{body}(?P<message>.*)$', shape
