"""Long sessions made short enough to read, without hiding what matters."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
  """A run of equal events; without a template a gap: events that are not shown."""

  template: str
  events: int
  weight: float  # share of the session's attention; NaN: unknown
  line: int | None = None  # of the first of them
  shade: float = 0.0  # how dark: 1 for the heaviest row of its session

  @property
  def share(self) -> str:
    return '' if math.isnan(self.weight) else f'{100 * self.weight:.1f} %'


def fold(events: Sequence[dict[str, Any]]) -> list[Row]:
  """Joins runs of equal events into rows that carry their summed weight, shaded.

  Args:
    events: of a session of explained.json.
  """
  joined = []
  for _, same in itertools.groupby(events, key=lambda e: (e['event'], e['template'])):
    run = list(same)
    known = [event['weight'] for event in run if event.get('weight') is not None]
    weight = math.fsum(known) if known else math.nan
    template = run[0]['template'] or '(empty)'
    joined.append(Row(template, len(run), weight, run[0].get('line')))
  most = max(map(_weight, joined), default=0.0) or math.inf
  return [row._replace(shade=_weight(row) / most) for row in joined]


def cut(rows: Sequence[Row], ends: int = 8, heaviest: int = 8) -> list[Row]:
  """Keeps both ends and the heaviest rows; gaps say how much they hold.

  A gap never stands for a single row: showing the row costs no more.

  Args:
    rows: of one session, in order.
    ends: rows kept at the start, and at the end.
    heaviest: rows kept wherever they are because they weigh most.
  """
  by_weight = sorted(range(len(rows)), key=lambda i: -_weight(rows[i]))
  shown = {*range(ends), *range(len(rows) - ends, len(rows)), *by_weight[:heaviest]}
  result = []
  for is_shown, run in itertools.groupby(range(len(rows)), key=shown.__contains__):
    part = [rows[i] for i in run]
    if is_shown or len(part) == 1:
      result += part
    else:
      weight = math.fsum(row.weight for row in part)
      result.append(Row('', sum(row.events for row in part), weight))
  return result


def _weight(row: Row) -> float:
  return 0.0 if math.isnan(row.weight) else row.weight
