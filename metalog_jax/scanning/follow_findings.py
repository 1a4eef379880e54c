"""Findings of windows that are followed, beside those before them, and of silence."""

import numpy as np
import polars as pl

from metalog_jax import clean
from metalog_jax.scanning import counted, findings, statistics, surprises, windows
from metalog_jax.scanning.findings import Finding
from metalog_jax.scanning.following import Memory


def of_windows(
  memory: Memory,
  cells: pl.DataFrame,
  usual: pl.DataFrame | None,
  alpha: float,
  beside: str,
) -> list[tuple[Finding, int]]:
  """Findings of windows, with the number of the last one.

  Args:
    cells: of the windows that are judged.
    usual: cells that they are held against; None: each against the others.
    alpha: rate of false findings.
    beside: what the sentences call the usual cells.
  """
  assert memory.origin is not None and memory.width is not None
  texts, files, width = list(memory.templates.texts), memory.files, memory.width
  tables = [cells] if usual is None else [cells, usual]
  values = counted.number_values(texts, *tables)  # the same ones in both
  here, *rest = [counted.count(table, values, texts, files, width) for table in tables]
  good = rest[0] if rest else None
  found = surprises.surprises(here, alpha, good)
  items = findings.build(here, found, good)
  first = here.first_window - memory.origin
  for item in items:
    item.windows = [f'w{first + int(name[1:])}' for name in item.windows]
    item.why = item.why.replace('the baseline', beside)
  return [(item, first + here.size - 1) for item in items]


def silence(memory: Memory, gap: int, alpha: float) -> tuple[Finding, int] | None:
  """That nothing has come for so many windows, where records are expected."""
  assert memory.width is not None
  totals = memory.cells.group_by('window').agg(pl.col('count').sum())['count']
  span = memory.cells['window'].to_numpy()
  x = np.zeros(int(span.max() - span.min()) + 1)
  x[: len(totals)] = totals.to_numpy()  # in any order, the empty ones last
  usual = statistics.fit_rate(x, np.ones_like(x))
  surprise = statistics.absent(usual.mean * gap, usual.size, gap)
  if surprise < -np.log10(alpha):
    return None
  name, expected, p_value = '(all records)', usual.mean * gap, 10.0**-surprise
  place = windows.Place('', 0, windows.iso(memory.clock.now))
  why = (
    f'nothing has come for {clean.counted(gap, "window")} of {memory.width}, where '
    f'{clean.counted(round(expected), "record")} '
    f'{"is" if round(expected) == 1 else "are"} expected (p = {p_value:.1g})'
  )
  row = memory.clock.now // (memory.width.size * 1_000_000) - (memory.origin or 0) + 1
  item = Finding(
    finding_id=findings.identity('less', name), kind='drop', score=surprise,
    p_value=p_value, template_id=None, template=name, count=0, expected=expected,
    first=place, last=place, samples=[], windows=[f'w{row}'], why=why,
  )  # fmt: skip
  return item, row
