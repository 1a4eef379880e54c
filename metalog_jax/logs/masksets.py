"""What is masked in a system's lines, and how Drain then groups them.

Every system has a `MaskSet` by parser, which is `default` (groups best) or
`paper` (the configuration of MetaLog's release, which has the wildcard `[*]`;
drain3 0.9.9, which it used, groups exactly as 0.9.11 does).

`default` masks thoroughly and then merges only nearly equal lines: a message of
fewer than eight tokens joins a template only where it equals it.

Patterns are Python regular expressions, applied in order to what the earlier ones
left. Masked in bulk are those that keep to this dialect; others work, slowly:
- look-around is `LEFT`, `RIGHT`, and one `(?<=literal)` at the very start;
- no back-references, no `\\b`, `\\w`, `\\d`, `\\s`, no flags, no empty match;
- `_` is spelled out: a range such as `[!-~]` does not contain it.
"""

import dataclasses
from typing import Any

LEFT = '(?<![A-Za-z0-9])'
RIGHT = '(?![A-Za-z0-9])'


@dataclasses.dataclass(frozen=True)
class MaskSet:
  """Masks and Drain settings; every field is part of the template hash."""

  rules: tuple[tuple[str, str], ...]  # (pattern, mask name), in order
  prefix: str = '<'
  suffix: str = '>'
  sim_th: float = 0.87  # least share of equal tokens to join a template
  depth: int = 3  # the first depth - 3 tokens must agree
  max_children: int = 100  # of a node of Drain's tree
  max_clusters: int | None = None  # least recently used go first; arrival mode only
  delimiters: tuple[str, ...] = ()  # split tokens at these too
  numeric_tokens: bool = True  # a token holding a digit is no path in the tree
  grouping: str = 'drain'  # or 'vocabulary': see `grouping`

  def as_json(self) -> dict[str, Any]:
    """As files keep it; what 0.1.0 did not know is left out where it is not used."""
    content = dataclasses.asdict(self)
    if self.grouping == 'drain':
      del content['grouping']
    return content

  @property
  def wildcard(self) -> str:
    return f'{self.prefix}*{self.suffix}'


def _word(pattern: str) -> str:
  """The pattern where it neither follows nor precedes a letter or digit."""
  return LEFT + pattern + RIGHT


def _list(pattern: str, gap: str) -> str:
  """One or more of the pattern: a list is masked as if it were one value."""
  return f'{pattern}(?:{gap}{pattern})*'


_QUAD = r'(?:[0-9]{1,3}\.){3}[0-9]{1,3}'
_ADDRESS = '/?' + _word(_QUAD) + '(?::[0-9]+)?'
_INTEGER = _word('[-+]?[0-9]+')
# Anything hexadecimal that holds a digit, or is long; decimal numbers too.
_HEX = _word(
  '[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+[a-fA-F][0-9a-fA-F]*'
  '|[a-fA-F]+[0-9][0-9a-fA-F]*|[a-f]{8,}|[A-F]{8,})'
)
_NUMBER = _word('[-+]?[0-9]+(?:[.,][-+]?[0-9]+)*')
_DIGITS = '[0-9]+'  # glued to letters
_UUID = _word('[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}')
_PATH = LEFT + '(?:/[A-Za-z0-9_.+~@%$*:=?&#-]+){2,}/?'
_CARD = _word('[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5,}')  # network card, chip
_CLOCK = '[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?'
_MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
_DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
_DATE = _word(
  f'(?:{_DAY},? )?{_MONTH} +[0-9]{{1,2}},? +(?:{_CLOCK} *)?'
  '(?:(?:[A-Z]{3,4} )?(?:19|20)[0-9]{2})?'
)
_LABEL = '[A-Za-z0-9_-]+'
_DOMAIN = '(?:com|net|org|edu|gov|mil|info|local|localdomain|lan)'
_COUNTRY = (
  '(?:ac|at|au|be|br|ca|ch|cn|cz|de|dk|es|eu|fi|fr|hk|it|jp|kr|mx|nl|no|nz|pl|pt|ru'
  '|se|sg|tr|tw|ua|uk|us|za)'
)
_UNIT = (
  '(?:[mun]?s|secs?|seconds?|mins?|minutes?|hours?|hrs?|days?'
  '|millis|milliseconds?|microseconds?)'
)

# What varies in logs in general; `general_masks` has more, for systems of no name.
_GENERAL = (
  (r'[A-Za-z][A-Za-z0-9+.-]*://[^ \t"\'<>()\[\]{},;]+', 'URL'),
  ('(?<=user ) *[A-Za-z0-9_.@-]+', 'USER'),
  (r'(?:[A-Za-z]:|\\\\)\\[^ \t"\'<>,;|]+', 'PATH'),  # Windows
  (_PATH, 'PATH'),
  (
    LEFT + '[A-Za-z0-9_.+~-]+(?:/[A-Za-z0-9_.+~:-]*[A-Za-z][A-Za-z0-9_.+~:-]*){2,}',
    'PATH',
  ),
  (_UUID, 'ID'),
  ('(?:_[0-9]+)+(?:_[a-z])?(?:_[0-9]+)+', 'ID'),  # job_2005_01, task_2005_m_01
  (_CARD, 'HOST'),
  (_DATE, 'TIME'),
  (
    _word(
      f'[0-9]{{4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}(?:[T /-]{_CLOCK})?'
      '(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?'
    ),
    'TIME',
  ),
  (_word(f'[0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{2,4}}(?:[ :]{_CLOCK})?'), 'TIME'),
  (_word(rf'[A-Za-z0-9_.+-]+@{_LABEL}(?:\.{_LABEL})+'), 'HOST'),
  (_word(rf'(?:{_LABEL}\.)+[a-z]{{2,}}:[0-9]+'), 'HOST'),
  (
    _word(
      rf'(?:(?:{_LABEL}\.)+{_DOMAIN}(?:\.[a-z]{{2}})?|(?:{_LABEL}\.){{2,}}{_COUNTRY})'
    ),
    'HOST',
  ),
  (_ADDRESS, 'HOST'),
  (_word('(?:[0-9a-fA-F]{1,4}:{1,2}){3,7}[0-9a-fA-F]{1,4}'), 'HOST'),
  (r'<HOST> [\[(](?:<HOST>)?[\])]', 'HOST'),  # an address and its name, if known
  (_word(_CLOCK), 'TIME'),
  (
    _word(r'[0-9]+(?:\.[0-9]+)? ?(?:[KMGT]?i?B|[Bb]ytes?)')
    + r'(?: \([0-9.]+ ?[KMGT]i?B\))?',
    'SIZE',
  ),
  (rf'(?:{LEFT}|<)[0-9]+(?:\.[0-9]+)? ?{_UNIT}{RIGHT}', 'TIME'),
  (_word('[A-Za-z]+[0-9]+[A-Za-z]+[0-9]+[A-Za-z0-9]*'), 'ID'),  # jA9J1UvC012
  (_HEX, 'NUM'),
  (_NUMBER, 'NUM'),
  (_DIGITS, 'NUM'),
)

_HDFS = (
  (_list('blk_-?[0-9]+', ' '), 'BLOCK'),
  (_list(_ADDRESS, ',? '), 'IP'),
  ('(?:/[A-Za-z0-9_.+-]+){2,}', 'PATH'),
  (_word('[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)'), 'NUM'),
)
_BGL = (
  (_PATH, 'PATH'),
  (_CARD, 'ID'),
  (_DATE, 'TIME'),
  (_ADDRESS, 'IP'),
  (_HEX, 'NUM'),
  (_NUMBER, 'NUM'),
  (_DIGITS, 'NUM'),
)
_SYSLOG = (
  ('[A-Za-z0-9_.-]*#[0-9]+#[A-Za-z0-9_.-]*', 'NAME'),  # anonymized in the public sets
  ('(?<=synchronized to )[^,]+', 'HOST'),
  *_GENERAL,
  (_list('[a-z]+<NUM>', ' '), 'NODE'),
)
_OPENSTACK = (
  *((f'(?<="{verb} )[^" ]+', 'PATH') for verb in ('GET', 'POST', 'PUT', 'DELETE')),
  (_PATH, 'PATH'),
  (_UUID, 'ID'),
  (_list(_ADDRESS, ','), 'IP'),
  (_HEX, 'NUM'),
  (_NUMBER, 'NUM'),
  (_DIGITS, 'NUM'),
)

# The released configuration: its order, its names and its reach, such as ports
# above 60000 whose last digit is left over.
_OCTET = '(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])'
_PORT = '(?:6[0-5]{2}[0-3][0-5]|[1-5][0-9]{4}|[1-9][0-9]{1,3}|[0-9])'
_COMMAND = ('(?<=executed cmd )".+?"', 'CMD')
_PAPER = (
  ('blk_-?[0-9]+', 'ID'),
  (rf'{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}:{_PORT}', 'IPANDPORT'),
  (_word(_QUAD), 'IP'),
  (_word('(?:[0-9a-f]{6,} ?){3,}'), 'SEQ'),
  (_word('(?:[0-9A-F]{4} ?){4,}'), 'SEQ'),
  (_word('0x[a-f0-9A-F]+'), 'HEX'),
  (_INTEGER, 'NUM'),
  _COMMAND,
)
_PAPER_OPENSTACK = (
  ('(?:[0-9a-zA-Z]*-){4}[0-9a-zA-Z]*', 'SEQ'),
  (r'\{.*\}', 'SYM'),
  (r'(?:[0-9]+\.){3}[0-9]+(?::[0-9]+)?:?', 'SEQ'),
  ('[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}T(?:[0-9]{1,2}:){2}[0-9]{1,2}.[0-9]+', 'ID'),
  ('(?<=[^A-Za-z0-9])-?[+]?[0-9]+(?=[^A-Za-z0-9])|[0-9]+$', 'NUM'),
  _COMMAND,
)


def _paper(rules: tuple[tuple[str, str], ...], sim_th: float, depth: int) -> MaskSet:
  return MaskSet(rules, '[', ']', sim_th=sim_th, depth=depth, max_clusters=1024)


_PAPER_BGL = _paper(_PAPER, 0.1, 3)  # also for the systems that it does not know

HDFS = {'default': MaskSet(_HDFS), 'paper': _paper(_PAPER, 0.5, 4)}
BGL = {'default': MaskSet(_BGL), 'paper': _PAPER_BGL}
SYSLOG = {'default': MaskSet(_SYSLOG), 'paper': _PAPER_BGL}
OPENSTACK = {
  'default': MaskSet(_OPENSTACK, sim_th=0.95),
  'paper': _paper(_PAPER_OPENSTACK, 0.5, 5),
}
GENERAL = {'default': MaskSet(_GENERAL), 'paper': _paper(_PAPER, 0.5, 4)}
