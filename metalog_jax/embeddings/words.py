"""Template -> words, in the two ways that MetaLog is known to do it.

A template becomes a list of tokens and each token a tuple of words that have
word vectors of their own. `paper` has one word a token; `reference`, the
released code's way, weighs tokens and averages the words inside each.
"""

import itertools
import re
from typing import Literal

Style = Literal['paper', 'reference']

_REFERENCE_SPLIT = re.compile(r'[,!:=\[\]()$\s./#|\\]+')
# Over classes: d digit, l lower case, C all else (capitals, symbols), '-' a break.
_REFERENCE_WORDS = re.compile(r'C+(?=Cl)|C?l+|C+|d')


def tokens(template: str, style: Style = 'paper') -> list[tuple[str, ...]]:
  """The tokens of a template, each as the tuple of its words.

  `paper`: every maximal run of letters, split at camel case, in lower case; what
  holds no letter (wildcards, numbers, symbols) is removed and the name of a mask
  (`<NUM>`) is a word. MetaLog (Zhang et al., ICSE 2024), section on GCSE.
  `reference`: split at the released code's delimiters, tokens that start with `_`
  or `-` dropped, digits and symbols kept; a token's words come from `sub_words`.

  >>> tokens('PacketResponder <*> for block blk_<*> terminating')[:3]
  [('packet',), ('responder',), ('for',)]
  >>> tokens('addStoredBlock: [*] on IPs', 'reference')
  [('add', 'stored', 'block'), ('*',), ('on',), ('i', 'ps')]
  """
  return [words for _, words in _named_tokens(template, style)]


def names(template: str, style: Style = 'paper') -> list[str]:
  """What each token of `tokens` is counted as: document frequency's unit.

  The released code counts tokens before it splits them, with their case.
  """
  return [name for name, _ in _named_tokens(template, style)]


def words(template: str, style: Style = 'paper') -> list[str]:
  """All words of a template, repeats kept, in order."""
  return [word for token in tokens(template, style) for word in token]


def camel_words(letters: str) -> list[str]:
  """Split a run of letters at camel case: IOException -> io, exception."""
  cuts = [i for i in range(1, len(letters)) if _starts_word(letters, i)]
  return [
    letters[a:b].lower() for a, b in zip([0, *cuts], [*cuts, len(letters)], strict=True)
  ]


def sub_words(token: str) -> list[str]:
  """Split a token as the released code does.

  Words break at `-` and `_`; each digit is a word; a capital after a lower-case
  letter starts a word; a run of capitals before a lower-case letter gives it its
  last one. Any other symbol behaves like a capital.
  """
  classes = ''.join(map(_char_class, token))
  return [
    token[m.start() : m.end()].lower() for m in _REFERENCE_WORDS.finditer(classes)
  ]


def _named_tokens(template, style):
  if style == 'paper':
    runs = itertools.groupby(template, str.isalpha)
    found = [w for letters, run in runs if letters for w in camel_words(''.join(run))]
    return [(word, (word,)) for word in found]
  found = [t for t in _REFERENCE_SPLIT.split(template) if t and t[0] not in '_-']
  return [(token, tuple(sub_words(token))) for token in found]


def _starts_word(letters, i):
  before, here = letters[i - 1], letters[i]
  after = letters[i + 1] if i + 1 < len(letters) else ''
  return here.isupper() and (before.islower() or (before.isupper() and after.islower()))


def _char_class(char):
  if char in '-_':
    return '-'
  if char.isdigit():
    return 'd'
  return 'l' if char.islower() else 'C'
