"""What a simulated system says, and in which order: the words for describing one.

A rule is a function (draw, age) -> list of message names. `draw` gives uniform
numbers in [0, 1); `age` is how far the log has come, from 0 to 1, so that a
system can drift: rules and faults may begin (`since`) late in its life.
"""

import dataclasses
from collections.abc import Callable, Mapping

Draw = Callable[[], float]
Rule = Callable[[Draw, float], list[str]]


@dataclasses.dataclass(frozen=True)
class Fault:
  """A trouble that passes: harmless once `regained` has followed `lost`."""

  meaning: str  # link, silence, space, damage, access, crash, stall, strain
  lost: str  # 'Component: text'
  regained: str
  since: float = 0.0


@dataclasses.dataclass(frozen=True)
class Grammar:
  """One simulated system.

  A message is 'Component: text', where text may hold {id} (the session's own
  id) and the variables {num}, {ip}, {hex}. A session is opening + work +
  closing; faults come and go within the work.
  """

  name: str
  steps: Mapping[str, str]  # name -> message, of all that the rules may name
  opening: Rule
  work: Rule
  closing: Rule
  faults: tuple[Fault, ...]
  attempts: tuple[str, ...]  # messages of trying again: a few are harmless
  fatal: tuple[str, ...]  # messages that no healthy session holds
  odd: tuple[str, ...]  # likewise, but with words that no other system shares
  mandatory: tuple[str, ...]  # steps of the rules that must not be left out
  ordered: tuple[str, str]  # two steps of the rules, the first before the second


def _rule(part: str | Rule) -> Rule:
  return part if callable(part) else lambda draw, age: [part]


def seq(*parts: str | Rule) -> Rule:
  """All parts, in this order."""
  rules = [_rule(part) for part in parts]
  return lambda draw, age: [name for rule in rules for name in rule(draw, age)]


def times(low: int, high: int, part: str | Rule) -> Rule:
  """The part again and again: low to high times, evenly drawn."""
  rule = _rule(part)

  def repeat(draw: Draw, age: float) -> list[str]:
    count = low + int(draw() * (high - low + 1))
    return [name for _ in range(count) for name in rule(draw, age)]

  return repeat


def maybe(share: float, part: str | Rule, since: float = 0.0) -> Rule:
  """The part in a share of the cases, and never before the age `since`."""
  rule = _rule(part)
  return lambda draw, age: rule(draw, age) if age >= since and draw() < share else []


def pick(*parts: str | Rule) -> Rule:
  """One of the parts, evenly drawn."""
  rules = [_rule(part) for part in parts]
  return lambda draw, age: rules[int(draw() * len(rules))](draw, age)


def mixed(*parts: str | Rule) -> Rule:
  """All parts, in any order."""
  rule = seq(*parts)

  def shuffle(draw: Draw, age: float) -> list[str]:
    return shuffled(rule(draw, age), draw)

  return shuffle


def shuffled(items: list, draw: Draw) -> list:
  """The items in an order drawn evenly (Fisher-Yates)."""
  items = list(items)
  for last in range(len(items) - 1, 0, -1):
    other = int(draw() * (last + 1))
    items[last], items[other] = items[other], items[last]
  return items
