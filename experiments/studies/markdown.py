"""Tables as Markdown that a terminal shows as well."""

from collections.abc import Sequence
from typing import Any

import polars as pl


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
  known = pl.Series(values, dtype=pl.Float64).drop_nulls().drop_nans()
  if known.is_empty():
    return '–'
  mean = format(known.mean(), form)
  return f'{mean} ± {known.std():{form}}' if len(known) > 1 else mean


def _escape(cell: Any) -> str:
  if cell is None:
    return '–'
  return str(cell).replace('|', '\\|')
