"""Lines that a regular expression takes longest for, made from the expression itself.

Back-tracking costs more than a line's length where a repeated part is read again from
each of its places. So every repetition gets lines that hold its body many times, after
what comes before it, and end in what no expression wants.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from re import _constants as codes
from re import _parser as parser
from re import compile as regex
from re import error

LENGTH = 16_384
QUICK = 0.03  # seconds of CPU: below it nothing is compared
GROWTH = 8.0  # of the time where the length is 4 times; 16 is its square
LIMIT = 0.4  # seconds of CPU, of back-tracking without end
_RUST = {r'\b{start-half}': r'\b', r'\b{end-half}': r'\b', '(?-u:': '(?:', r'\z': r'\Z'}
_CLASSES = {
  codes.CATEGORY_DIGIT: regex(r'\d'),
  codes.CATEGORY_NOT_DIGIT: regex(r'\D'),
  codes.CATEGORY_SPACE: regex(r'\s'),
  codes.CATEGORY_NOT_SPACE: regex(r'\S'),
  codes.CATEGORY_WORD: regex(r'\w'),
  codes.CATEGORY_NOT_WORD: regex(r'\W'),
}
_LETTERS = [*'a1 Z_-.:/="<({[\\\té@', *map(chr, range(33, 127)), '\ue000', '\x1b']
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


class Slow(Exception):
  """Back-tracking has no end."""


def worst(run: Callable[[str], object], pattern: str) -> str:
  """A line that costs more than its length, and its times; '' where none does."""
  for shape in sorted(_shapes(pattern)):
    if seconds(run, _line(shape, LENGTH)) < QUICK:
      continue
    took, after = (_least(run, _line(shape, x)) for x in (LENGTH, 4 * LENGTH))
    least = max(GROWTH * took, QUICK)  # a clock may not have ticked at all
    if after > least or after == float('inf'):
      return f'{shape}, {LENGTH} long: {took:.4f} s; 4 times as long: {after:.4f} s'
  return ''


def _line(shape: tuple[str, str, str], length: int) -> str:
  begin, piece, end = shape
  return (begin + piece * (length // len(piece) + 1))[:length] + end


def _least(run: Callable[[str], object], line: str) -> float:
  """Seconds of the quickest of five: other programs only make a run longer."""
  return min(seconds(run, line) for _ in range(5))


def seconds(run: Callable[[str], object], line: str) -> float:
  """Of CPU; infinite where it is stopped (Python's engine looks at signals)."""

  def stop(*_: object) -> None:
    raise Slow

  handler = signal.signal(signal.SIGPROF, stop)
  begin = time.process_time()
  try:
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    run(line)
  except Slow:
    return float('inf')
  finally:
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, handler)
  return time.process_time() - begin


def _shapes(pattern: str) -> set[tuple[str, str, str]]:
  """(begin, what is repeated, end) of lines."""
  for rust, python in _RUST.items():
    pattern = pattern.replace(rust, python)
  repeats: set[tuple[str, str]] = set()
  try:
    whole = _example(parser.parse(pattern), '', repeats)
  except error:
    whole = ''
  pieces = {piece for _, piece in repeats} | {whole, ' ', 'a'}
  repeats |= {('', piece) for piece in pieces}
  return {(*shape, end) for shape in repeats if shape[1] for end in ('', '\0')}


def _example(parts: Iterable, before: str, repeats: set[tuple[str, str]]) -> str:
  """A short text that matches; adds (text before it, its body) of each repetition."""
  text = ''
  for code, value in parts:
    if code in _REPEATS:
      low, high, body = value
      inner = _example(body, before + text, repeats)
      if high > 32:
        start = before + text
        repeats |= {(start, inner), ('', start + inner)}
      text += inner * max(low, 1)
    elif code is codes.SUBPATTERN:
      text += _example(value[3], before + text, repeats)
    elif code is codes.ATOMIC_GROUP:
      text += _example(value, before + text, repeats)
    elif code is codes.BRANCH:
      text += [_example(x, before + text, repeats) for x in value[1]][0]
    else:
      text += next(_characters(code, value), '')
  return text


def _characters(code: object, value: object) -> Iterator[str]:
  if code is codes.LITERAL:
    yield chr(value)
  elif code is codes.NOT_LITERAL:
    yield from (x for x in _LETTERS if ord(x) != value)
  elif code is codes.ANY:
    yield 'a'
  elif code is codes.IN:
    yield from (x for x in _LETTERS if _is_in(value, x))


def _is_in(items: Iterable, character: str) -> bool:
  inside, turned = False, False
  for code, value in items:
    if code is codes.NEGATE:
      turned = True
    elif code is codes.LITERAL:
      inside |= ord(character) == value
    elif code is codes.RANGE:
      inside |= value[0] <= ord(character) <= value[1]
    elif code is codes.CATEGORY:
      inside |= _CLASSES[value].match(character) is not None
  return inside != turned
