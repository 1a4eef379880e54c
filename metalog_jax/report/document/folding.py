"""Long sessions made short enough to read, without hiding what matters."""

import itertools
import math
from typing import Any

from metalog_jax.report.document import elements


def fold(events: list[dict[str, Any]]) -> list[elements.Row]:
  """Runs of equal events become one row that carries their summed weight."""
  rows = []
  for _, same in itertools.groupby(events, key=lambda e: (e['event'], e['template'])):
    run = list(same)
    weights = [event.get('weight') for event in run]
    known = [weight for weight in weights if weight is not None]
    rows.append(
      elements.Row(
        event=run[0]['event'],
        template=run[0]['template'],
        repeats=len(run),
        weight=math.fsum(known) if known else math.nan,
        line=run[0].get('line'),
      )
    )
  return rows


def cut(
  rows: list[elements.Row], ends: int = 8, heavy: int = 8
) -> list[elements.Row | elements.Gap]:
  """Keep both ends and the heaviest rows; say how much each gap holds.

  A gap never stands for a single row: showing the row costs no more.

  Args:
    rows: of one session, in order.
    ends: rows kept at the start, and at the end.
    heavy: rows kept wherever they are because they weigh most.
  """
  by_weight = sorted(range(len(rows)), key=lambda i: -_weight(rows[i]))
  kept = {*range(ends), *range(len(rows) - ends, len(rows)), *by_weight[:heavy]}
  shown = []
  for is_kept, run in itertools.groupby(range(len(rows)), key=kept.__contains__):
    hidden = [rows[i] for i in run]
    if is_kept or len(hidden) == 1:
      shown += hidden
    else:
      shown.append(_gap(hidden))
  return shown


def _gap(rows: list[elements.Row]) -> elements.Gap:
  return elements.Gap(
    sum(row.repeats for row in rows), math.fsum(row.weight for row in rows)
  )


def _weight(row: elements.Row | elements.Gap) -> float:
  return 0.0 if math.isnan(row.weight) else row.weight


def shade(rows: list[elements.Row | elements.Gap]) -> list[float]:
  """How dark each row is drawn: 1 for the heaviest row, 0 for a gap."""
  weights = [0.0 if isinstance(row, elements.Gap) else _weight(row) for row in rows]
  most = max(weights, default=0.0)
  return [weight / most if most > 0 else 0.0 for weight in weights]
