"""Findings as Python and notebooks have them."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl

from metalog_jax import clean, lazy
from metalog_jax.scanning.findings import Finding

output = lazy.module('metalog_jax.scanning.output')
picture = lazy.module('metalog_jax.scanning.picture')


class Findings(Sequence[Finding]):
  """Findings, the most important first, with what was read and how."""

  def __init__(
    self,
    items: list[Finding],
    summary: dict[str, Any],
    rows: list[dict[str, Any]],
    of_sessions: Callable[[], Iterable[dict[str, Any]]] = tuple,
  ):
    """Holds findings, what scan.json says, and the rows of windows.jsonl.

    Args:
      of_sessions: makes the rows of sessions, of which there may be very many.
    """
    self.items, self.summary, self.window_rows = items, summary, rows
    self.session_rows = of_sessions

  def __getitem__(self, index: Any) -> Any:
    """One finding by its rank, or a list of them by a slice."""
    return self.items[index]

  def __len__(self) -> int:
    """Findings of any state."""
    return len(self.items)

  @functools.cached_property
  def windows(self) -> list[dict[str, Any]]:
    """The rows of windows.jsonl: sessions, then windows."""
    return [*self.session_rows(), *self.window_rows]

  @property
  def active(self) -> list[Finding]:
    """Those that nobody has called normal, or suppressed."""
    return [item for item in self.items if item.state == 'active']

  @property
  def warnings(self) -> list[str]:
    """What limits these findings."""
    return self.summary['warnings']

  def to_polars(self) -> pl.DataFrame:
    """One row a finding."""
    flat = [
      {k: v for k, v in row.items() if not isinstance(v, list | dict)}
      | {f'{end}_{k}': v for end in ('first', 'last') for k, v in row[end].items()}
      for row in (item.as_dict() for item in self.items)
    ]
    return pl.DataFrame(flat, infer_schema_length=None)

  def plot(self) -> Any:
    """Records per window and where the findings stand, as a matplotlib Figure."""
    return picture.plot(self)

  def _repr_html_(self) -> str:
    return output.notebook(self)

  def __repr__(self) -> str:
    """One line a finding."""
    lines = [f'{x.kind:8} {x.first.file}:{x.first.line} {x.why}' for x in self.items]
    return clean.printable('\n'.join([clean.counted(len(self), 'finding'), *lines]))
