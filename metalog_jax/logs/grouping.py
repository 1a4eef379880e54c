"""Forms in, templates out: which words of masked messages vary.

All forms are looked at together, so the result depends on which forms there are, and
on neither their order nor how often each occurs. Two forms meet only where they agree
in everything but a word or two, and a word varies where its vocabulary is *open*: a
few values that look like names, some more that are plain words, or names in a small
share of a long message. Words that say how something went (`words.is_state`) never
vary: `started` and `stopped` stay two templates.
"""

import collections
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np

from metalog_jax.logs import repeats
from metalog_jax.logs import words as lexicon

WILDCARD = '<*>'
_CALL = r'(?<=[^\s(])\([^\s()]*\)'
_WORDS = rf'(?:[^\s=,;:()\[\]{{}}"\'|]|{_CALL})+'
_WORD = re.compile(f'({_WORDS})')
_QUOTED = re.compile(f'("[^"]*"|{_WORDS})')
_PLAIN = re.compile(r'[A-Za-z]+|.{1,2}')
_MASKED = re.compile('<[A-Z_]+>')
_LIST = (' ', ',', ', ')  # what stands between the items of a list
_MAY_VARY = 48  # words of a message that are looked at
_ROUNDS = 50
_NAMES = 3  # values that make a vocabulary open where two other words are fixed
MANY = 10  # values beside which a word that looks like a verb is a name
_OPEN = 8  # where one is, and for quoted texts
_KEYS = 1 << 20  # computed at once

Words = tuple[str, ...]


class Shape(NamedTuple):
  """A form, cut: what stands between its words, and the words."""

  gaps: str  # the form with a NUL for every word
  words: Words

  def text(self, words: Words) -> str:
    """The form with other words."""
    between = self.gaps.split('\0')
    return ''.join(itertools.chain(*zip(between, (*words, ''))))


def cut(form: str, quoted: bool = False) -> Shape:
  """Cuts a form at spaces, brackets, quotes and `= , ; : |`.

  A call, as in `close(<NUM>)`, is one word, and so is a list of equal masked words;
  with `quoted`, what stands in double quotes is one word too.
  """
  parts = (_QUOTED if quoted else _WORD).split(form.replace('\0', ' '))
  gaps, words = parts[::2], parts[1::2]
  if '>' in form:  # of a list, the first item stays
    for i in range(len(words) - 1, 0, -1):
      if words[i] == words[i - 1] and gaps[i] in _LIST and _MASKED.search(words[i]):
        del words[i], gaps[i]
  return Shape('\0'.join(gaps), tuple(words))


def group(
  forms: Iterable[str], similarity: float, fixed: Iterable[str] = ()
) -> dict[str, str]:
  """Groups forms.

  Args:
    forms: masked messages.
    similarity: the least share of equal words at which two forms are one template
      although the names in them differ; 1 leaves this to the vocabularies alone.
    fixed: templates that stand already; forms may join them.

  Returns:
    Each of the forms and of `fixed` -> the text of its template, with `<*>` for words
    that vary.
  """
  template_of = _group(dict.fromkeys([*fixed, *forms]), similarity, False)
  texts = dict.fromkeys(t for t in template_of.values() if t.count('"') > 1)
  wider = _group(texts, similarity, True)
  return {form: wider.get(text, text) for form, text in template_of.items()}


def _group(forms: Iterable[str], similarity: float, quoted: bool) -> dict[str, str]:
  by_gaps: dict[str, dict[Words, list[str]]] = {}
  for form in forms:
    gaps, words = cut(form, quoted)
    by_gaps.setdefault(gaps, {}).setdefault(words, []).append(form)
  template_of = {}
  for gaps, members in by_gaps.items():
    merged = _merge(members, similarity)
    for words, same in members.items():
      text = Shape(gaps, words).text(merged.get(words, words))
      template_of.update(dict.fromkeys(same, text))
  return template_of


def varying(template: str, form: str) -> list[str]:
  """What stands in the form for the wildcards of its template."""
  for quoted in (False, True):
    (gaps, words), (same_gaps, pattern) = cut(form, quoted), cut(template, quoted)
    if gaps == same_gaps:
      return [word for word, want in zip(words, pattern) if want == WILDCARD]
  return []


class Matcher:
  """Templates that forms are matched with; the first that has fewest wildcards wins.

  Args:
    templates: pairs of number and text.
    open_: numbers of those whose wildcards have stood for many words: names may look
      like verbs there, as `dennis` and `alfred` do.
  """

  def __init__(self, templates: Iterable[tuple[int, str]], open_: Collection[int] = ()):
    self._by_gaps: dict[str, _Patterns] = {}
    self._open = open_
    for number, text in templates:
      for quoted in (False, True) if '"' in text else (False,):
        gaps, words = cut(text, quoted)
        if not quoted or f'"{WILDCARD}"' not in words:
          self._by_gaps.setdefault(gaps, _Patterns()).add(words, number)

  def match(self, form: str) -> int | None:
    """The number of the template whose words, but for wildcards, are the form's."""
    for quoted in (False, True) if '"' in form else (False,):
      gaps, words = cut(form, quoted)
      patterns = self._by_gaps.get(gaps)
      number = patterns.match(words, self._open) if patterns else None
      if number is not None:
        return number
    return None


class _Patterns:
  """Words with wildcards, of one shape, by the places of the wildcards."""

  def __init__(self) -> None:
    self._by_wild: dict[tuple[int, ...], dict[Words, int]] = {}

  def add(self, words: Words, number: int) -> None:
    wild = tuple(i for i, word in enumerate(words) if word == WILDCARD)
    self._by_wild.setdefault(wild, {}).setdefault(words, number)

  def match(self, words: Words, open_: Collection[int] = ()) -> int | None:
    for wild in sorted(self._by_wild, key=lambda wild: (len(wild), wild)):
      if any(lexicon.is_state(words[i]) for i in wild):
        continue
      number = self._by_wild[wild].get(_with_wildcards(words, wild))
      if number is None:
        continue
      perhaps = [i for i in wild if lexicon.is_state(words[i], True)]
      if number in open_ or all(_is_actor(words, i) for i in perhaps):
        return number
    return None


def _with_wildcards(words: Words, wild: Sequence[int]) -> Words:
  changed = list(words)
  for i in wild:
    changed[i] = WILDCARD
  return tuple(changed)


def _merge(forms: Iterable[Words], similarity: float) -> dict[Words, Words]:
  """Words of one shape -> the words of their template, where they are not its own."""
  parent: dict[Words, Words] = {}
  nodes = sorted(forms)
  texts = {i for words in nodes for i, word in enumerate(words) if word[0] == '"'}
  joined: collections.Counter[Words] = collections.Counter()
  for _ in range(_ROUNDS):
    merged = (
      _absorb(nodes)
      or _round(nodes, similarity, 1, texts)
      or _round(nodes, similarity, 2, texts)
      or _absorb(nodes, joined)
    )
    if not merged:
      break
    parent.update(merged)
    for words, to in merged.items():
      joined[to] += joined[words] or 1
    nodes = sorted({merged.get(words, words) for words in nodes})
  return {words: _root(parent, words) for words in parent}


def _root(parent: Mapping[Words, Words], words: Words) -> Words:
  while words in parent:
    words = parent[words]
  return words


def _absorb(
  nodes: Sequence[Words], joined: Mapping[Words, int] | None = None
) -> dict[Words, Words]:
  """Nodes that another one matches -> that one.

  With `joined`, how many forms each node stands for, those whose words look like verbs
  too, where they are few beside the many that joined before.
  """
  patterns, absorbed = _Patterns(), {}
  for number, words in enumerate(nodes):
    if WILDCARD in words:
      patterns.add(words, number)
  many = {i for i, words in enumerate(nodes) if joined and joined[words] >= MANY}
  for words in nodes if many or joined is None else ():
    match = patterns.match(words, many)
    if match is not None and nodes[match] != words:
      absorbed[words] = nodes[match]
  counts = collections.Counter(absorbed.values())
  if joined is not None:
    absorbed = {w: to for w, to in absorbed.items() if 3 * counts[to] <= joined[to]}
  return absorbed


def _round(
  nodes: Sequence[Words], similarity: float, differing: int, texts: Set[int]
) -> dict[Words, Words]:
  """Nodes that differ in so many words -> their template; each goes to one."""
  meetings = {}
  for rows, wild in _meetings(nodes, differing, 3 if texts else 5):
    key = _with_wildcards(nodes[rows[0]], wild)
    meetings[key] = [nodes[row] for row in rows]
  template_of: dict[Words, Words] = {}
  for key in sorted(meetings, key=lambda key: (-len(meetings[key]), key)):
    met = [words for words in meetings[key] if words not in template_of]
    if len(met) > 1:
      met = _joining(key, met, similarity, differing, texts)
      template_of.update(dict.fromkeys(met, key))
  return {words: key for words, key in template_of.items() if words != key}


def _meetings(
  nodes: Sequence[Words], differing: int, least: int
) -> Iterator[tuple[list[int], tuple[int, ...]]]:
  """Rows of two or more nodes that are equal but for the words at some places.

  A node's sum of hashes less those of some words is its key; words that say how
  something went are never left out.
  """
  count, length = len(nodes), min(len(nodes[0]), _MAY_VARY)
  if count < 2 or length < (1 if differing == 1 else least):
    return
  vocabulary = sorted({word for words in nodes for word in words})
  number = {word: i for i, word in enumerate(vocabulary)}
  free = np.array([not lexicon.is_state(word) for word in vocabulary])
  codes = np.array([[number[word] for word in words] for words in nodes], np.uint64)
  salt = np.arange(1, codes.shape[1] + 1, dtype=np.uint64)
  hashes = _hash(codes, salt)
  total = hashes.sum(1)
  hashes -= _hash(np.array([number.get(WILDCARD, len(number))], np.uint64), salt)
  places = np.array([*itertools.combinations(range(length), differing)])
  at_once = max(1, _KEYS // count)
  for start in range(0, len(places), at_once):
    part = places[start : start + at_once]
    left_out = hashes[:, part]  # [count, places, differing]
    keys = total[:, None] - left_out.sum(2)
    keys = _hash(keys, np.arange(len(part), dtype=np.uint64))
    rows, columns = np.nonzero(free[codes[:, part]].all(2))
    keys = keys[rows, columns]
    order = np.argsort(keys, kind='stable')
    same = keys[order][1:] == keys[order][:-1]
    ends = np.flatnonzero(np.diff(np.r_[False, same, False]))
    for first, last in ends.reshape(-1, 2).tolist():
      met = order[first : last + 1]
      yield rows[met].tolist(), tuple(part[columns[met[0]]].tolist())


def _hash(values: np.ndarray, salt: np.ndarray) -> np.ndarray:
  """64 bits of every value and salt, uint64."""
  x = values * np.uint64(0x9E3779B97F4A7C15) + salt * np.uint64(0xD1B54A32D192ED03)
  return repeats.mixed(x)


def _joining(
  key: Words, met: list[Words], similarity: float, differing: int, texts: Set[int]
) -> list[Words]:
  """Those of the nodes that join the template `key`; none where a word is not open.

  At the places `texts` stands what was in quotes, which is hardly a word.
  """
  wild = [i for i, word in enumerate(key) if word == WILDCARD]
  plain_words = sum(bool(_PLAIN.fullmatch(word)) for word in key)
  fixed = plain_words + (len(key) - len(wild) - plain_words) // 2
  free = len(texts & {*wild})
  if 2 * (len(wild) - free) > len(key) or fixed < 2 * max(1, differing - free) - 1:
    return []
  for i in wild:
    values = {words[i] for words in met} - {WILDCARD}
    states = {value for value in values if lexicon.is_state(value, True)}
    if _is_actor(key, i):
      states = set()
    if len(values) < MANY or 4 * len(states) > len(values):
      met = [words for words in met if words[i] not in states]
  if key in met:
    return met
  near = len(wild) <= (1 - similarity) * len(key)
  for i in wild:
    values = {words[i] for words in met}
    if WILDCARD in values:
      continue
    masked = any(_MASKED.fullmatch(value) for value in values)
    plain = any(_PLAIN.fullmatch(value) for value in values - {'-'})
    named = len(values) > 1 and i not in texts and fixed > 1
    absent = '-' in values  # what stands for no value
    if named and (absent or _named(key, i) or not plain and (near or masked)):
      continue
    if len(values) < (_OPEN if i in texts or fixed < 2 else _NAMES):
      return []
  return met


def _named(key: Words, place: int) -> bool:
  """Whether a word names one of what the word before it says, as after `user`."""
  return place > 0 and lexicon.is_noun(key[place - 1])


def _is_actor(words: Words, place: int) -> bool:
  """Whether a word names who did what follows, as in `user alfred logged in`."""
  return _named(words, place) and lexicon.is_verb(''.join(words[place + 1 : place + 2]))
