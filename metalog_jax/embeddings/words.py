"""Template -> words, in the two ways that MetaLog is known to do it.

A template becomes tokens, and each token the words that have word vectors of their
own. `paper` has one word a token; `reference`, the released code's way, weighs tokens
and averages the words inside each.
"""

import itertools
import re
from typing import Literal, NamedTuple

Style = Literal['paper', 'reference']

_REFERENCE_SPLIT = re.compile(r'[,!:=\[\]()$\s./#|\\]+')
# Over classes: d digit, l lower case, C all else (capitals, symbols), '-' a break.
_REFERENCE_WORDS = re.compile(r'C+(?=Cl)|C?l+|C+|d')


class Token(NamedTuple):
  """A part of a template."""

  name: str  # what document frequency counts; in `reference` as written, with case
  words: tuple[str, ...]


def tokens(template: str, style: Style = 'paper') -> list[Token]:
  """The tokens of a template.

  `paper`: every maximal run of letters, split at camel case, in lower case; what
  holds no letter (wildcards, numbers, symbols) is removed and the name of a mask
  (`<NUM>`) is a word. MetaLog (Zhang et al., ICSE 2024), section on GCSE.
  `reference`: split at the released code's delimiters, tokens that start with `_`
  or `-` dropped, digits and symbols kept; a token's words come from `sub_words`.

  >>> [token.name for token in tokens('PacketResponder <*> for block blk_<*>')]
  ['packet', 'responder', 'for', 'block', 'blk']
  >>> [token.words for token in tokens('addStoredBlock: [*] on IPs', 'reference')]
  [('add', 'stored', 'block'), ('*',), ('on',), ('i', 'ps')]
  """
  if style == 'paper':
    runs = itertools.groupby(template, str.isalpha)
    letters = [''.join(run) for is_letters, run in runs if is_letters]
    return [Token(word, (word,)) for run in letters for word in _camel_words(run)]
  parts = _REFERENCE_SPLIT.split(template)
  return [Token(p, tuple(sub_words(p))) for p in parts if p and p[0] not in '_-']


def words(template: str, style: Style = 'paper') -> list[str]:
  """All words of a template, repeats kept, in order."""
  return [word for token in tokens(template, style) for word in token.words]


def sub_words(token: str) -> list[str]:
  """Splits a token as the released code does.

  Words break at `-` and `_`; each digit is a word; a capital after a lower-case
  letter starts a word; a run of capitals before a lower-case letter gives it its
  last one. Any other symbol behaves like a capital.
  """
  classes = ''.join(map(_char_class, token))
  return [
    token[m.start() : m.end()].lower() for m in _REFERENCE_WORDS.finditer(classes)
  ]


def _char_class(char: str) -> str:
  if char in '-_':
    return '-'
  if char.isdigit():
    return 'd'
  return 'l' if char.islower() else 'C'


def _camel_words(letters: str) -> list[str]:
  """Splits a run of letters at camel case: IOException -> io, exception."""
  cuts = [i for i in range(1, len(letters)) if _starts_word(letters, i)]
  return [
    letters[a:b].lower() for a, b in zip([0, *cuts], [*cuts, len(letters)], strict=True)
  ]


def _starts_word(letters: str, i: int) -> bool:
  before, here, after = letters[i - 1], letters[i], letters[i + 1 : i + 2]
  return here.isupper() and (before.islower() or (before.isupper() and after.islower()))
