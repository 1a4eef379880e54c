"""Contents in, masked contents out: a column at a time.

The result equals drain3's own `LogMasker` on every line. The work is done by
the regular expressions of polars (Rust, no back-tracking); a line on which the
two engines could disagree (anything but printable ASCII and tabs) is masked by
Python's `re` instead.
"""

import concurrent.futures
import functools
import re
from collections.abc import Sequence

import polars as pl

from metalog_jax.logs import masksets

MaskSet = masksets.MaskSet
presets = masksets.PRESETS

# Rust knows the half of a word boundary, but counts '_' as a letter where our
# boundaries do not: it is swapped for a character that no vectorized line holds.
_UNDERSCORE = '\x01'
_HALVES = {
  masksets.LEFT: r'(?-u:\b{start-half})',
  masksets.RIGHT: r'(?-u:\b{end-half})',
}
_UNPORTABLE = r'[^\t -~]'
_SLICE = 1 << 15  # lines given to a thread at a time


def mask(contents: pl.Series | Sequence[str], maskset: MaskSet) -> pl.Series:
  """Masks every line.

  Args:
    contents: N message texts; a polars Series, an arrow array or strings.
    maskset: the rules, applied in order.

  Returns:
    The N masked texts, in the same order.
  """
  contents = pl.Series('content', contents, dtype=pl.String)
  slices = [contents.slice(i, _SLICE) for i in range(0, len(contents), _SLICE)]
  one = functools.partial(_mask_slice, maskset=maskset)
  workers = min(pl.thread_pool_size(), len(slices))
  if workers <= 1:
    parts = [one(part) for part in slices]
  else:
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
      parts = list(pool.map(one, slices))
  return pl.concat(parts) if parts else contents


def mask_line(content: str, maskset: MaskSet) -> str:
  """Masks one line with Python's `re`: what `mask` must equal."""
  for pattern, name in maskset.rules:
    content = re.sub(pattern, f'{maskset.prefix}{name}{maskset.suffix}', content)
  return content


def _mask_slice(contents: pl.Series, maskset: MaskSet) -> pl.Series:
  masked = contents.str.replace_all('_', _UNDERSCORE, literal=True)
  for pattern, replacement in compile_rules(maskset):
    masked = masked.str.replace_all(pattern, replacement)
  masked = masked.str.replace_all(_UNDERSCORE, '_', literal=True)
  odd = contents.str.contains(_UNPORTABLE).arg_true()
  if len(odd):
    masked = masked.scatter(odd, [mask_line(c, maskset) for c in contents.gather(odd)])
  return masked


@functools.lru_cache
def compile_rules(maskset: MaskSet) -> tuple[tuple[str, str], ...]:
  """The rules as (pattern, replacement) for Rust, on text with '_' swapped.

  Raises:
    ValueError: a pattern is outside the dialect of `masksets`.
  """
  rules = []
  for pattern, name in maskset.rules:
    replacement = f'{maskset.prefix}{name}{maskset.suffix}'.replace('$', '$$')
    after = re.match(r'\(\?<=([^()\[\]\\]+)\)', pattern)
    translated = pattern
    if after:
      translated = f'({after[1]}){pattern[after.end() :]}'
      replacement = '${1}' + replacement
    for python, rust in _HALVES.items():
      translated = translated.replace(python, rust)
    if re.search(r'\(\?[<=!]|\\[dDwW1-9]', translated) or re.search(pattern, ''):
      raise ValueError(f'mask {name}: {pattern!r} is outside the dialect of masksets')
    rules.append((translated.replace('_', _UNDERSCORE), replacement))
  return tuple(rules)
