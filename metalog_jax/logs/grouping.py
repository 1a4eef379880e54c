"""Forms in, templates out: which words of masked messages vary.

All forms are looked at together, so the result depends on which forms there are and
how often, not on their order. Two forms meet only where they agree in everything but
a few words, and a word varies where its vocabulary is *open*: many values, or values
that occur about once, or a small share of a long message. Words that say how
something went (`general_masks.is_state`) never vary.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from metalog_jax.logs import general_masks

WILDCARD = '<*>'
_WORD = re.compile(r'(?:[^\s=,;:()\[\]{}"\'|]|(?<=[^\s(])\([^\s()]*\))+')
_PLAIN = re.compile(r'[A-Za-z]+|.{1,2}')
_MASKED = re.compile('<[A-Z_]+>')
_LIST = (' ', ',', ', ')  # what stands between the items of a list
_LOOKED_AT = 48  # words of a message that may vary
_ROUNDS = 8
_OPEN = 5.0  # values that make a vocabulary open; a plain word counts half
_PAIRS = 20_000  # forms of one shape among which two words may vary at once

Words = tuple[str, ...]


class Shape(NamedTuple):
  """A form, cut: what stands between its words, and the words."""

  gaps: str  # the form with a blank character for every word
  words: Words

  def text(self) -> str:
    words = iter(self.words)
    return ''.join(next(words) if c == '\0' else c for c in self.gaps)


def cut(form: str) -> Shape:
  """Cuts a form at spaces, brackets, quotes and `= , ; : |`.

  A call, as in `close(<NUM>)`, is one word. A list of equal masked words is one word.
  """
  words: list[str] = []
  gaps, end = [], 0
  for match in _WORD.finditer(form.replace('\0', ' ')):
    word, gap = match[0], form[end : match.start()]
    end = match.end()
    if words and word == words[-1] and gap in _LIST and _MASKED.search(word):
      continue
    words.append(word)
    gaps.append(gap)
  return Shape('\0'.join([*gaps, form[end:]]), tuple(words))


def group(forms: Mapping[str, int], similarity: float) -> dict[str, str]:
  """Groups forms.

  Args:
    forms: masked message -> how often it occurs.
    similarity: the least share of equal words at which two forms are one template
      whatever the words that differ; 1 leaves this to the vocabularies alone.

  Returns:
    form -> the text of its template, with `<*>` for words that vary.
  """
  by_gaps: dict[str, dict[Words, list[str]]] = {}
  for form in forms:
    shape = cut(form)
    by_gaps.setdefault(shape.gaps, {}).setdefault(shape.words, []).append(form)
  template_of = {}
  for gaps, members in by_gaps.items():
    counts = {w: sum(forms[form] for form in same) for w, same in members.items()}
    for words, template in merge(counts, similarity).items():
      text = Shape(gaps, template).text()
      for form in members[words]:
        template_of[form] = text
  return template_of


def merge(counts: Mapping[Words, int], similarity: float) -> dict[Words, Words]:
  """Words of one shape -> the words of their template."""
  parent: dict[Words, Words] = {}
  nodes = dict(sorted(counts.items()))
  for _ in range(_ROUNDS):
    merged = _round(nodes, similarity, 1) or _round(nodes, similarity, 2)
    if not merged:
      break
    for words, template in merged.items():
      if words != template:
        parent[words] = template
        nodes[template] = nodes.get(template, 0) + nodes.pop(words)
    nodes = dict(sorted(nodes.items()))
  return {words: _root(parent, words) for words in counts}


def _root(parent: Mapping[Words, Words], words: Words) -> Words:
  while words in parent:
    words = parent[words]
  return words


def _round(
  nodes: Mapping[Words, int], similarity: float, positions: int
) -> dict[Words, Words]:
  """Merges nodes that differ in one word, or in two; each goes to one template."""
  meetings: dict[Words, list[Words]] = {}
  if len(nodes) < 2 or positions > 1 and len(nodes) > _PAIRS:
    return {}
  for words in nodes:
    for key in _keys(words, positions):
      meetings.setdefault(key, []).append(words)
  template_of: dict[Words, Words] = {}
  keys = [(-len(met), key) for key, met in meetings.items() if len(met) > 1]
  for _, key in sorted(keys):
    met = [words for words in meetings[key] if words not in template_of]
    met = _open(key, met, nodes, similarity)
    template_of.update(dict.fromkeys(met, key))
  return template_of


def _keys(words: Words, positions: int) -> Iterable[Words]:
  free = [i for i, w in enumerate(words[:_LOOKED_AT]) if not general_masks.is_state(w)]
  if positions == 1:
    for i in free:
      yield (*words[:i], WILDCARD, *words[i + 1 :])
    return
  if len(words) < 5:
    return
  for n, i in enumerate(free):
    if words[i] == WILDCARD:
      continue
    for j in free[n + 1 :]:
      if words[j] != WILDCARD:
        yield (*words[:i], WILDCARD, *words[i + 1 : j], WILDCARD, *words[j + 1 :])


def _open(
  key: Words, met: Sequence[Words], nodes: Mapping[Words, int], similarity: float
) -> list[Words]:
  """Those of the nodes that the template `key` takes; none where it does not hold."""
  if len(met) < 2:
    return []
  wild = [i for i, word in enumerate(key) if word == WILDCARD]
  fixed = sum(bool(_PLAIN.fullmatch(word)) for word in key)
  if 2 * len(wild) > len(key) or not fixed:
    return []
  changed = [i for i in wild if any(words[i] != WILDCARD for words in met)]
  for i in changed:
    values = {words[i] for words in met} - {WILDCARD}
    states = {v for v in values if general_masks.may_be_state(v)}
    if len(values) < 10 or 4 * len(states) > len(values):
      met = [words for words in met if words[i] not in states]
  if len(met) < 2:
    return []
  if key in nodes and key in met:
    return list(met)
  count = sum(nodes[words] for words in met)
  near = len(wild) <= (1 - similarity) * len(key)
  for i in changed:
    values = {words[i] for words in met} - {WILDCARD}
    plain = sum(bool(_PLAIN.fullmatch(v)) for v in values)
    masked = any(_MASKED.fullmatch(v) for v in values)
    if not plain and (near or masked and fixed >= 2):
      continue
    weight = len(values) - plain / 2
    once = len(values) >= (3 if fixed >= 2 else 8) and count <= 2 * len(met)
    if not once and weight < (_OPEN if fixed >= 2 else 2 * _OPEN):
      return []
  return list(met)
