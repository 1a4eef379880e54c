"""Text from logs made fit to print: visible, and not endless."""

import unicodedata

_LONGEST = 400  # characters shown of one piece of text


def text(text: str, longest: int = _LONGEST) -> str:
  """Show control, format and surrogate characters as escapes; cut the middle.

  Logs may hold terminal escapes, direction marks that reorder what follows, or
  lines of megabytes; none of it may reach a page or a terminal as it is.
  """
  if len(text) > longest:
    half = longest // 2
    text = f'{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}'
  return ''.join(map(_visible, text))


def _visible(char: str) -> str:
  if char in '\t\n':
    return ' '
  if unicodedata.category(char)[0] == 'C':
    return char.encode('unicode_escape').decode()
  return char
