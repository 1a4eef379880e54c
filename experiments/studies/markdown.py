"""Tables as Markdown that a terminal shows as well, and their place in a page."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from metalog_jax import atomic, errors
from metalog_jax.report import results

MARKS = '<!-- tables of the study -->', '<!-- end of the tables -->'  # of a page


def table(frame: pl.DataFrame, words: int = 1) -> str:
  """A frame as a Markdown table, padded to columns.

  Args:
    frame: cells of text, or of numbers that are shown as Python shows them.
    words: how many columns, from the left, are aligned to the left.
  """
  cells = [frame.columns, *(list(row) for row in frame.rows())]
  lines = [[_escape(cell) for cell in row] for row in cells]
  widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
  rule = [
    '-' * (width - 1) + ('-' if i < words else ':') for i, width in enumerate(widths)
  ]
  align = lambda i: str.ljust if i < words else str.rjust
  rows = [
    [align(i)(cell, widths[i]) for i, cell in enumerate(line)]
    for line in [lines[0], rule, *lines[1:]]
  ]
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def spread(values: Sequence[float], form: str = '.1f') -> str:
  """Mean ± sample standard deviation; the mean alone of one value."""
  mean, std = results.spread(values)
  if math.isnan(mean):
    return '–'
  return f'{mean:{form}}' if math.isnan(std) else f'{mean:{form}} ± {std:{form}}'


def around(page: pathlib.Path) -> tuple[str, str]:
  """What stands before and behind the tables of a page, with the marks.

  Raises:
    UserError: there is no such page, or it has not both marks.
  """
  if not page.is_file():
    raise errors.UserError(f'--page={page} is no file')
  text = page.read_text(encoding='utf-8')
  start, end = (text.find(mark) for mark in MARKS)
  if not 0 <= start < end:
    raise errors.UserError(f'--page={page} has not the lines {" and ".join(MARKS)}')
  return text[: start + len(MARKS[0])], text[end:]


def renew(page: pathlib.Path, text: str) -> None:
  """Puts `text` between the marks of a page; raises as `around`."""
  before, behind = around(page)
  atomic.write_text(page, f'{before}\n{text}{behind}')


def _escape(cell: Any) -> str:
  return '–' if cell is None else str(cell).replace('|', '\\|')
