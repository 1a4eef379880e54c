"""Grammars of simulated systems: what each says and in which order, from its TOML file.

A rule in a file is one of

  'step'                                      the name of a message
  [RULE, ...]                                 all of them, in this order
  {mixed = [RULE, ...], share = S}            in any order in a share S, else in this
  {pick = [RULE, ...], shares = [S, ...]}     one of them
  {repeat = RULE, times = [LOW, HIGH], share = S}
                                              LOW times, then again with a share S each
  {maybe = RULE, share = S, since = AGE}      in a share S of the sessions, from AGE on

and becomes a function (draw, age) -> names of messages. `draw` gives uniform numbers
in [0, 1); `age` is how far the log has come, 0 to 1: what begins late, and a share of
`maybe` that is a pair [early, late], make systems drift. Small shares and little order
make sessions repeat, as those of real systems do.
"""

import bisect
import dataclasses
import functools
import itertools
import pathlib
import random
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from metalog_jax import errors

# Their order is part of the seed: see `writer`.
SYSTEMS = ('blockstore', 'supercomputer', 'cloud', 'cluster')

Draw = Callable[[], float]
Rule = Callable[[Draw, float], list[str]]
Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True)
class Fault:
  """A trouble that passes: harmless once `regained` has followed `lost`."""

  lost: str  # 'Component: text'
  regained: str
  since: float = 0.0  # age


@dataclasses.dataclass(frozen=True)
class Log:
  """How a system writes its log down."""

  file: str
  epoch: int  # seconds: when the log begins
  session_id: str  # in `render.SESSION_IDS`
  prefixes: Mapping[str, str]  # of a line, by component; 'default' for all others
  labels: str = ''  # header of the labels file; empty: alerts stand in the lines
  levels: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by role


@dataclasses.dataclass(frozen=True)
class Grammar:
  """One simulated system.

  A message is 'Component: text', where text may hold {id} (the session's id) and the
  variables {num}, {ip}, {hex}. A session is opening + work + closing; faults come and
  go within the work.
  """

  name: str
  log: Log
  steps: Mapping[str, str]  # name -> message, of all that the rules may name
  opening: Rule
  work: Rule
  closing: Rule
  kinds: Mapping[str, float]  # of `sampling.KINDS` -> share of the anomalies
  faults: tuple[Fault, ...]  # the most frequent first
  attempts: tuple[str, ...]  # steps of trying again: a few are harmless
  fatal: tuple[str, ...]  # messages that no healthy session holds
  odd: tuple[str, ...]  # likewise, in words that no other system shares
  mandatory: tuple[str, ...]  # steps that every healthy session takes
  ordered: tuple[str, str]  # two steps, the first before the second

  @functools.cached_property
  def messages(self) -> dict[str, str]:
    """Every message by name: the steps, then lost.N, regained.N, fatal.N and odd.N."""
    messages = dict(self.steps)
    for number, fault in enumerate(self.faults):
      messages[f'lost.{number}'] = fault.lost
      messages[f'regained.{number}'] = fault.regained
    messages |= {f'fatal.{number}': text for number, text in enumerate(self.fatal)}
    messages |= {f'odd.{number}': text for number, text in enumerate(self.odd)}
    return messages


@functools.cache
def load(system: str, variety: float = 0.0, seed: int = 0) -> Grammar:
  """Reads the grammar of a system.

  Args:
    variety: how far the shares are from those of the file, 0 to 1: the seed makes
      another system of it, which says the same in other rates.

  Raises:
    UserError: no such system; names the nearest one.
  """
  if system not in SYSTEMS:
    raise errors.unknown_choice('--system', system, SYSTEMS)
  path = pathlib.Path(__file__).parent / 'systems' / f'{system}.toml'
  content = tomllib.loads(path.read_text(encoding='utf-8'))
  if variety:
    _vary(content, variety, random.Random(f'{system} {seed}').random)
  content['log'] = Log(**content['log'])
  content['faults'] = [Fault(**fault) for fault in content['faults']]
  for name in ('opening', 'work', 'closing'):
    content[name] = rule(content[name])
  for name in ('faults', 'attempts', 'fatal', 'odd', 'mandatory', 'ordered'):
    content[name] = tuple(content[name])
  return Grammar(name=system, **content)


def _vary(content: dict[str, Any], variety: float, draw: Draw) -> None:
  """Multiplies the shares of a grammar, all by one number and each by one of its own.

  The first of several shares is what the others leave, and at least a tenth.
  """
  factor = lambda: 4 ** (variety * (2 * draw() - 1))
  common = factor()

  def scale(share: Any) -> Any:
    if isinstance(share, list):
      return [scale(each) for each in share]
    return min(share * common * factor(), 1.0)

  def walk(part: Any) -> None:
    if isinstance(part, dict):
      if 'share' in part:
        part['share'] = scale(part['share'])
      if 'shares' in part:
        others = [share * common * factor() for share in part['shares'][1:]]
        total = max(1.0, sum(others) / 0.9)
        part['shares'] = [0.0, *(share / total for share in others)]
        part['shares'][0] = 1 - sum(part['shares'])
    for each in part.values() if isinstance(part, dict) else part:
      if isinstance(each, dict | list):
        walk(each)

  for name in ('opening', 'work', 'closing'):
    walk(content[name])
  kinds = {kind: share * factor() for kind, share in content['kinds'].items()}
  content['kinds'] = {
    kind: share / sum(kinds.values()) for kind, share in kinds.items()
  }


def rule(written: Any) -> Rule:
  """Makes a rule, as TOML writes it, a function."""
  if isinstance(written, str):
    return lambda draw, age: [written]
  if isinstance(written, list):
    rules = [rule(part) for part in written]
    return lambda draw, age: [name for part in rules for name in part(draw, age)]
  kind, part = next(iter(written.items()))  # the first key says which rule it is
  options = {name: value for name, value in written.items() if name != kind}
  return _RULES[kind](part, **options)


def _mixed(parts: list, share: float) -> Rule:
  in_order = rule(parts)

  def mixed(draw, age):
    names = in_order(draw, age)
    return shuffled(names, draw) if draw() < share else names

  return mixed


def _pick(parts: list, shares: list[float]) -> Rule:
  rules = [rule(part) for part in parts]
  edges = list(itertools.accumulate(shares))[:-1]
  return lambda draw, age: rules[bisect.bisect(edges, draw())](draw, age)


def _repeat(part: Any, times: tuple[int, int], share: float) -> Rule:
  low, high = times
  once = rule(part)

  def repeat(draw, age):
    count = low
    while count < high and draw() < share:
      count += 1
    return [name for _ in range(count) for name in once(draw, age)]

  return repeat


def _maybe(part: Any, share: float | tuple[float, float], since: float = 0.0) -> Rule:
  once = rule(part)
  early, late = share if isinstance(share, list) else (share, share)

  def maybe(draw, age):
    is_due = age >= since and draw() < early + age * (late - early)
    return once(draw, age) if is_due else []

  return maybe


_RULES: dict[str, Callable[..., Rule]] = {
  'mixed': _mixed,
  'pick': _pick,
  'repeat': _repeat,
  'maybe': _maybe,
}


def skewed(count: int, draw: Draw) -> int:
  """A number below `count`, log-uniform: 0 is frequent, the last ones are rare."""
  return int(count ** draw()) - 1


def shuffled(items: list[Item] | tuple[Item, ...], draw: Draw) -> list[Item]:
  """The items in an order drawn evenly (Fisher-Yates)."""
  items = list(items)
  for last in range(len(items) - 1, 0, -1):
    other = int(draw() * (last + 1))
    items[last], items[other] = items[other], items[last]
  return items
