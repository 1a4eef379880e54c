"""What varies in the messages of systems nobody has described: masks by kind.

A message becomes its *form*: ids, addresses, paths, times, sizes and numbers are
replaced by the name of their kind. Values of small vocabularies are not: a number
that is called a status, a code or a level is put aside by `values`, and words that
say how something went (`is_state`) are never taken for variables.

Rules keep to the dialect of `masksets` and treat all digits alike, so that messages
are masked once for all their numbers.
"""

import re
from collections.abc import Sequence

import polars as pl

from metalog_jax import errors
from metalog_jax.logs import masksets

KEPT, VALUE = '\ue000', '\ue001'  # stand for a text put aside; in no other text
VALUE_NAME = '<VAL>'

_CONSONANT = '[b-df-hj-np-tv-z0-9]'  # what Kubernetes makes names of
_NAMED = (
  '(?i:status|state|code|exit|rc|ret|retcode|errno|err|error|signal|level|severity'
  '|priority|result|returned|sqlstate)'
)
_NUMBER = r'(-?[0-9]{1,5}(?:\.[0-9]+)?)\b{end-half}'
# A number of a small vocabulary, last in the match, after what says so.
VALUES = (
  '((?:'
  # status=502, exit code: -1, returned 3, "status": 502
  rf'(?:^|[^A-Za-z0-9?&/]){_NAMED}(?:[_ -]?(?i:code|status|no|number))?"?'
  r'(?: is |[ :=(]+)"?'
  # "GET /x HTTP/1.1" 502, GET /x 502
  r'|HTTP/[0-9.]+"? '
  r'|(?:^|[^A-Za-z0-9])(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) [^ "]+"? (?:[-=]>? )?'
  '))' + _NUMBER
)


def _adapt(rules: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
  """The general rules where every digit is 0 and a text put aside is no part."""
  changes = (
    ('(?:19|20)[0-9]{2}', '[0-9]{4}'),
    (',;]+', f',;{KEPT}{VALUE}]+'),
    (
      '(?:/[A-Za-z0-9_.+~@%$*:=?&#-]+){2,}/?',
      '(?:/[A-Za-z0-9_.+~@%$*:=?&#-]+)+/[A-Za-z0-9_.+~@%$*:=?&#-]*[A-Za-z0-9_+~@%$*-]/?',
    ),
  )
  adapted = []
  for pattern, name in rules:
    for old, new in changes:
      pattern = pattern.replace(old, new)
    adapted.append((pattern, name))
  return tuple(adapted)


_FIRST = (
  (
    masksets.LEFT
    + rf'(?:[a-z][a-z0-9]*-)+{_CONSONANT}{{8,10}}-{_CONSONANT}{{5}}'
    + masksets.RIGHT,
    'POD',
  ),
  (
    masksets.LEFT
    + r'[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F]'
    + masksets.RIGHT,
    'ID',
  ),  # a PCI address
)
RULES = (*_FIRST, *_adapt(masksets.GENERAL['default'].rules))
MASKS = masksets.MaskSet(RULES)

_STATES = frozenset(
  """
  true false yes no not on off up down ok okay success successful successfully fail
  fails failure error errors warn warning critical fatal info debug notice trace done
  begin end start stop open close closed lost found set unset reset sent shut dead
  alive active inactive online offline ready unready busy idle healthy unhealthy valid
  invalid full empty null none nil in out read write left right enter exit
  get head post put delete options patch connect before after without
  """.split()
)
_PARTICIPLE = re.compile(r'[A-Za-z]{2,}(?:ed|ing)')


def is_state(word: str) -> bool:
  """Whether a word of a small vocabulary is one that must not be lost."""
  return word.lower() in _STATES


def may_be_state(word: str) -> bool:
  """Whether it may be one by its ending, as `started` is, and `alfred`."""
  return _PARTICIPLE.fullmatch(word) is not None


def check_regex(flag: str, pattern: str) -> None:
  """Raises UserError for what is no regular expression or has no bounded time.

  Patterns run on an engine without back-tracking: their time is linear in the text,
  and a program above its size limit is refused.
  """
  try:
    pl.Series(['']).str.replace_all(pattern, 'x')
  except pl.exceptions.PolarsError as error:
    why = str(error).strip().splitlines()[-1].removeprefix('error: ')
    raise errors.UserError(
      f'{flag}: not a regular expression we can run in bounded time: {why}'
      ' (no look-around, no back-references, no huge repetition)'
    ) from None
  if pl.Series(['']).str.contains(pattern).item():
    raise errors.UserError(f'{flag}: it matches the empty text; ask for a character')


def user_masks(masks: Sequence[str]) -> tuple[tuple[str, str], ...]:
  """`NAME=REGEX` texts as (regex, NAME); raises UserError naming `--mask`."""
  rules = []
  for mask in masks:
    name, equals, pattern = mask.partition('=')
    if not equals or not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) or not pattern:
      raise errors.UserError(
        f'--mask={mask}: write NAME=REGEX, such as ORDER=ord-[0-9]+'
      )
    check_regex(f'--mask={mask}', pattern)
    rules.append((pattern, name.upper()))
  return tuple(rules)
