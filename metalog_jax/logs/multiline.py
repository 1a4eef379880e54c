"""Which lines continue the record above them, and which exception a trace ends in."""

import re

import polars as pl

from metalog_jax.logs import times

# Lines that no record begins with, whatever the format.
CONTINUES = times.ascii_only(
  r'^(?:[ \t]|$|Traceback \(most recent call last\)|Caused by: |Suppressed: '
  r'|During handling of the above |The above exception was |Exception in thread '
  r'|goroutine \d+ \[|created by |exit status \d|\[signal |--- End of |---> '
  r'|\.\.\. \d+ '
  r'|at [\w.$<]+[.(]|[\]})]+[,;]?\s*$|caused by: |stack backtrace:|note: run with )'
)
# What a trace names at the left margin: `pkg.SomeError: text`.
_THROWN = times.ascii_only(
  r'^(?:[\w.$/:]*(?:Error|Exception|Exit|Interrupt|Warning|Throwable|Fault)\b|panic: )'
)
_GO_CALL = times.ascii_only(r'^[\w./*()]+\(.*\)$')

_EXCEPTION = re.compile(
  r'^(?:Caused by: |Exception in thread ".*?" |Unhandled exception\.? |\s*---> '
  r'|\s*\w+ \()?'
  r'((?:[A-Za-z_$][\w$]*(?:\.|::))*[A-Za-z_$][\w$]*'
  r'(?:Error|Exception|Exit|Interrupt|Throwable|Fault|Timeout|Failure))(?=$|[:\s)(])'
)
_PYTHON = re.compile(r'^([A-Za-z_][\w.]*)(?:: |$)')
_LONGEST = 400  # lines of a trace looked at, from either end


def continues(text: pl.Series) -> pl.Series:
  """Whether each line is one that continues a record, where the format cannot tell."""
  inside = text.str.contains(CONTINUES)
  if not inside.any():
    return inside
  thrown = text.str.contains(_THROWN) & inside.shift(1, fill_value=False)
  call = text.str.contains(_GO_CALL) & text.shift(-1).str.starts_with('\t').fill_null(
    False
  )
  return inside | thrown | call


def exception(text: str) -> str:
  """The type of the exception that a record's trace is about; '' where none is.

  The last `Caused by` of Java, the last line's type of Python, the innermost of .NET.
  """
  lines = text.split('\n')[1:]
  lines = lines[:_LONGEST] + lines[_LONGEST:][-_LONGEST:]
  python = False
  result = ''
  for line in lines:
    line = line[:500]
    if line.startswith('Traceback (most recent call last)'):
      python = True
      continue
    if line.startswith('panic: '):
      return line[:200]
    match = _EXCEPTION.match(line)
    if match is None and python and line[:1].isalpha():
      match = _PYTHON.match(line)
    if match:
      result = match[1]
      python = False
  return result
