"""Text from data made fit to show: visible, and not endless.

Logs may hold terminal escapes, direction marks that reorder what follows, or lines of
megabytes; none of it may reach a page, a table or a terminal as it is.
"""

import math
import unicodedata
from typing import Any

LONGEST = 400  # characters shown of one piece of text


def text(value: object, longest: int = LONGEST) -> str:
  """One line that is safe to show.

  Control, format and surrogate characters become escapes, tabs and line breaks become
  spaces, and of a text that is too long the middle is cut.
  """
  shown = str(value)
  if len(shown) > longest:
    half = longest // 2
    cut = f' … {len(shown) - 2 * half:,} characters … '
    shown = shown[:half] + cut + shown[-half:]
  return shown if shown.isprintable() else ''.join(map(_visible, shown))


def printable(value: object) -> str:
  """Whole text that is safe to print: line breaks and tabs stay, nothing is cut."""
  return ''.join(
    c if c in '\n\t' or c.isprintable() else _visible(c) for c in str(value)
  )


def ascii_text(value: object) -> str:
  """As `text`, for a table on a terminal that knows ASCII alone."""
  shown = text(value)
  for sign, plain in (('→', '->'), ('–', '-'), ('±', '+-'), ('≥', '>=')):
    shown = shown.replace(sign, plain)
  return shown.encode('ascii', 'backslashreplace').decode()


def cell(value: Any) -> Any:
  """A cell of CSV: safe text that no spreadsheet runs as a formula, or a finite number.

  What is not known, or not finite, is None: an empty cell.
  """
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if not isinstance(value, str):
    return value
  shown = text(value)
  return f"'{shown}" if shown.startswith(('=', '+', '-', '@')) else shown or None


def counted(number: int, noun: str) -> str:
  """A number with its noun: `1 record`, `2,000 records`."""
  return f'{number:,} {noun}' if number == 1 else f'{number:,} {noun}s'


def _visible(char: str) -> str:
  if char in '\t\n':
    return ' '
  category = unicodedata.category(char)
  if category[0] == 'C' or category in ('Zl', 'Zp'):
    return char.encode('unicode_escape').decode()
  return char
