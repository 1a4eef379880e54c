"""Contents in, masked contents out: a column at a time.

The result equals drain3's own `LogMasker` on every line. The work is done by
the regular expressions of polars (Rust, no back-tracking); a line on which the
two engines could disagree is masked by Python's `re` instead.
"""

import concurrent.futures
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from metalog_jax.logs import masksets

# Rust knows the half of a word boundary, but counts '_' as a letter where our
# boundaries do not: it is swapped for a character that no vectorized line holds.
_UNDERSCORE = '\x01'
_HALVES = {
  masksets.LEFT: r'(?-u:\b{start-half})',
  masksets.RIGHT: r'(?-u:\b{end-half})',
}
_OUTSIDE = re.compile(
  r'\(\?[^:-]|\\[dDwWsSbBZ1-9](?!\{)'  # groups and escapes
  r'|[+*?}]\+|\{,|&&|--|~~|\[[^\]\\]*\['  # repetitions and sets
)
_SLICE = 1 << 14  # lines given to a thread at a time

# Some rules look at a word again from each of its letters, so that a line costs the
# square of its longest word: words and messages count up to a length.
MAX_WORD = 512  # characters
MAX_MESSAGE = 1 << 14  # characters
_LONG_WORD = re.compile(rf'(\S{{{MAX_WORD}}})\S+')


class Program(NamedTuple):
  """A mask set for polars."""

  masked: pl.Expr  # of the column `content`
  literals: tuple[str, ...]  # texts that a rule must follow


def mask(contents: pl.Series | Sequence[str], maskset: masksets.MaskSet) -> pl.Series:
  """Masks every line; what of it lies beyond MAX_WORD and MAX_MESSAGE is left out.

  Args:
    contents: N message texts; a polars Series, an arrow array or strings.
    maskset: the rules, applied in order.

  Returns:
    The N masked texts, in the same order.
  """
  column = pl.Series('content', contents, dtype=pl.String).fill_null('')
  slices = [column.slice(i, _SLICE) for i in range(0, len(column), _SLICE)]
  one = functools.partial(_mask_slice, maskset=maskset)
  with concurrent.futures.ThreadPoolExecutor(pl.thread_pool_size()) as pool:
    parts = list(pool.map(one, slices))
  return pl.concat(parts) if parts else column


def shorten(content: str) -> str:
  """A message up to the length that counts, its words too."""
  return _LONG_WORD.sub(r'\1', content[:MAX_MESSAGE])


def mask_line(content: str, maskset: masksets.MaskSet) -> str:
  """Masks one line with Python's `re`: what `mask` must equal."""
  content = shorten(content)
  for pattern, name in maskset.rules:
    content = re.sub(pattern, f'{maskset.prefix}{name}{maskset.suffix}', content)
  return content


def _mask_slice(contents: pl.Series, maskset: masksets.MaskSet) -> pl.Series:
  program = compile_rules(maskset)
  long = (contents.str.len_bytes() > MAX_WORD).arg_true()
  if len(long):
    contents = contents.scatter(long, [shorten(c) for c in contents.gather(long)])
  if program is None:
    lines = [mask_line(content, maskset) for content in contents]
    return pl.Series(contents.name, lines, dtype=pl.String)
  masked = contents.to_frame().select(program.masked).to_series()
  odd = _disputed(contents, program)
  if len(odd):
    masked = masked.scatter(odd, [mask_line(c, maskset) for c in contents.gather(odd)])
  return masked


def _disputed(contents: pl.Series, program: Program) -> pl.Series:
  """Indices of the lines that the engines could mask differently.

  Python's `$` also stands before a last newline, and our stand-in for '_' may be
  taken. In a line that holds a literal twice, a match may begin inside of what
  Rust has already consumed.
  """
  odd = contents.str.contains_any(['\n', _UNDERSCORE])
  for literal in program.literals:
    odd = odd | (contents.str.count_matches(literal, literal=True) > 1)
  return odd.arg_true()


@functools.lru_cache
def compile_rules(maskset: masksets.MaskSet) -> Program | None:
  """Translates the rules; None where one is outside the dialect of `masksets`."""
  literals = []
  masked = pl.col('content').str.replace_all('_', _UNDERSCORE, literal=True)
  for pattern, name in maskset.rules:
    replacement = f'{maskset.prefix}{name}{maskset.suffix}'.replace('$', '$$')
    replacement = replacement.replace('_', _UNDERSCORE)
    after = re.match(r'\(\?<=([A-Za-z0-9 ,:="]+)\)', pattern)
    translated = pattern
    if after:
      literal = after[1]
      if any(literal.startswith(literal[i:]) for i in range(1, len(literal))):
        return None  # it can overlap itself
      literals.append(literal)
      translated = f'({literal})(?:{pattern[after.end() :]})'
      replacement = '${1}' + replacement
    for python, rust in _HALVES.items():
      translated = translated.replace(python, rust)
    if _OUTSIDE.search(translated) or re.search(pattern, ''):
      return None
    translated = translated.replace('_', _UNDERSCORE)
    masked = masked.str.replace_all(translated, replacement)
  masked = masked.str.replace_all(_UNDERSCORE, '_', literal=True)
  return Program(masked, tuple(literals))
