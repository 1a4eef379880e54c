"""Events of messages: the `events.py` of an exported model, in plain Python."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


class Templates:
  """Messages to events: masks, then the templates' tree.

  Args:
    content: of templates.json.
  """

  UNKNOWN = 0  # the event of a line that no template describes

  def __init__(self, content: Mapping[str, Any]):
    self._rules = [(re.compile(p), text) for p, text in content['masks']]
    self._word = re.compile(rf'(\S{{{content["max_word"]}}})\S+')
    self._max_message = content['max_message']
    self._delimiters, self._wildcard = content['delimiters'], content['wildcard']
    self._similarity, self._depth = content['similarity'], content['depth']
    self._exact, self._tree = content['exceptions'], content['tree']
    self._texts = [text.split(' ') if text else [] for text in content['texts']]
    self._answers: dict[str, int] = {}

  def event(self, message: str) -> int:
    """The event of a message; UNKNOWN for none."""
    text = self._word.sub(r'\1', message[: self._max_message])
    for pattern, mask in self._rules:
      text = pattern.sub(mask, text)
    event = self._answers.get(text)
    if event is None:
      if len(self._answers) > 1 << 20:  # what a log without end would come to
        self._answers.clear()
      event = self._answers[text] = self._search(text)
    return event

  def _search(self, text: str) -> int:
    text = text.strip()
    for delimiter in self._delimiters:
      text = text.replace(delimiter, ' ')
    tokens = text.split()
    exact = self._exact.get(' '.join(tokens))
    if exact is not None:
      return exact
    top = self._tree.get(str(len(tokens)))
    if top is None:
      return self.UNKNOWN
    if not tokens:
      return top['ids'][0]
    leaf = self._leaf(top, tokens)
    near = self._best(leaf, tokens, self._similarity, 0)
    if near and all(
      want in (self._wildcard, token)
      for want, token in zip(self._texts[near], tokens, strict=True)
    ):
      return near
    same = self._best(leaf, tokens, 1.0, 1) or self._best(_below(top), tokens, 1.0, 1)
    return same or near

  def _leaf(self, node: Mapping[str, Any], tokens: Sequence[str]) -> list[int]:
    for token in tokens[: min(self._depth - 3, len(tokens) - 1)]:
      child = node['next'].get(token) or node['next'].get(self._wildcard)
      if child is None:
        return []
      node = child
    return node['ids']

  def _best(
    self, ids: Sequence[int], tokens: Sequence[str], least: float, wild_counts: int
  ) -> int:
    """The most similar template, of those the one with most wildcards; or UNKNOWN."""
    best, most = self.UNKNOWN, (-1.0, -1)
    for event in ids:
      text = self._texts[event]
      wild = text.count(self._wildcard)
      same = sum(a == b != self._wildcard for a, b in zip(text, tokens, strict=True))
      rank = ((same + wild_counts * wild) / len(text), wild)
      if rank > most:
        best, most = event, rank
    return best if most[0] >= least else self.UNKNOWN


def _below(node: Mapping[str, Any]) -> list[int]:
  """The templates of a node and of all below it."""
  return node['ids'] + [i for child in node['next'].values() for i in _below(child)]
