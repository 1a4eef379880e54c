"""Surprises to findings: one a cause, the rare not ranked away by the loud."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import clean
from metalog_jax.scanning import windows
from metalog_jax.scanning.counted import WHOLE, Counted
from metalog_jax.scanning.statistics import KNOWN, WHOLE_LOG, Surprise
from metalog_jax.scanning.windows import Place

KINDS = ('new', 'rare', 'burst', 'drop', 'missing', 'order', 'value', 'alarm')
LEVELS = ('', 'warning', 'error', 'critical')
ABSENT = ('drop', 'missing')
_LASTING = ('late', 'lasting')  # from some time on
_SAMPLES = 6
_NAMED, _MOST_PLACES = 3, 20  # places that a sentence names; beyond, they are no places
_BINS = 60  # of a histogram
_LOUDEST = 10.0  # a surprise above it adds nothing to the score
SEVERITY = 3.0  # score of one step of severity
IN_BASELINE = 'also in the baseline'  # why a severe finding is known
_REPEATED = 1.5  # score that each earlier finding of the same kind costs
_MOST_RARE = 10  # findings of single lines that are not alarming


@dataclasses.dataclass
class Finding:
  """One cause; `as_dict` is its line in findings.jsonl."""

  finding_id: str
  kind: str
  score: float
  p_value: float
  template_id: int | None
  template: str
  count: int
  expected: float
  first: Place
  last: Place
  samples: list[dict[str, Any]]
  windows: list[str]
  why: str
  state: str = 'active'  # or known, suppressed
  severity: str = ''
  templates: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  reason: str = ''  # of the state
  histogram: list[int] = dataclasses.field(default_factory=list)  # along the log

  def as_dict(self) -> dict[str, Any]:
    """What findings.jsonl holds."""
    ends = {'first': self.first._asdict(), 'last': self.last._asdict()}
    return vars(self) | ends


def build(
  counted: Counted, found: Sequence[Surprise], reference: Counted | None = None
) -> list[Finding]:
  """One finding for each cause, the most important first."""
  severity = lambda s: 0 if s.kind in ABSENT else counted.severity.get(s.template, 0)
  score = lambda s: (
    min(s.surprise, _LOUDEST)
    + (0.1 if s.detail == KNOWN else SEVERITY) * severity(s)  # below all others
  )
  alarms = lambda s: bool(windows.ALARMING.search(counted.text(s.template)))
  order = lambda s: (-round(score(s), 6), not alarms(s), s.template < 0, s.template)
  groups: list[list[Surprise]] = []
  for item in sorted(found, key=order):
    joined = next((g for g in groups if _is_one_cause(g[0], item, counted.size)), None)
    if joined is None:
      groups.append([item])
    else:
      joined.append(item)
  plain_rare, items = 0, []
  for group in groups:
    group.sort(key=lambda s: s.kind in ABSENT)  # what is there explains what is not
    lead = group[0]
    if lead.kind == 'rare' and severity(lead) < 1:
      plain_rare += 1
      if plain_rare > _MOST_RARE:
        continue
    value = score(lead) + min(1.0, np.log10(max(lead.records, 1)) / 2)
    items.append(_finding(counted, group, value, reference))
  return ranked(items)


def ranked(items: Sequence[Finding]) -> list[Finding]:
  """By score, where each finding of a kind costs the next of the same kind a little."""
  seen, names = dict.fromkeys(KINDS, 0), set[str]()
  values = []
  for item in sorted(items, key=lambda item: -item.score):
    values.append(item.score - _REPEATED * min(seen[item.kind], 4))
    seen[item.kind] += 1
    while item.finding_id in names:
      item.finding_id += 'x'
    names.add(item.finding_id)
  items = sorted(items, key=lambda item: -item.score)
  order = np.argsort(-np.array(values), kind='stable')
  return [items[i] for i in order]


def identity(side: str, text: str) -> str:
  """The id of a finding: the same for the same message in any log."""
  return hashlib.sha256(f'{side}\0{text}'.encode('utf-8', 'replace')).hexdigest()[:12]


def _is_one_cause(lead: Surprise, item: Surprise, size: int) -> bool:
  """Whether two surprises stand together in time."""
  for s in item, lead:
    if (s.kind == 'missing' and not s.detail) or s.detail == KNOWN:
      return False  # it has no place in time
  if WHOLE_LOG in (lead.detail, item.detail):
    return lead.detail == item.detail and lead.kind == item.kind
  if lead.detail in _LASTING or item.detail in _LASTING:
    alike = lead.detail in _LASTING and item.detail in _LASTING
    return alike and abs(lead.windows[0] - item.windows[0]) <= max(1, 0.03 * size)
  one, other = set(lead.windows), set(item.windows)
  if not one or not other:
    return False
  if size >= 50:
    one |= {w + step for w in lead.windows for step in (-1, 1)}
  both = len(one & other)
  small = min(len(lead.windows), len(item.windows))
  large = max(len(lead.windows), len(item.windows))
  if both < (len(item.windows) if item.kind == 'rare' else 0.5 * small):
    return False
  return large <= 3 * small or both >= 0.3 * len(one | other)


def _finding(
  counted: Counted, group: list[Surprise], score: float, reference: Counted | None
) -> Finding:
  lead = group[0]
  members = [item for item in group if item.kind not in ABSENT] or group
  samples, first, last = _places(counted, lead, members)
  severity = max(
    (counted.severity.get(item.template, 0) for item in members), default=0
  )
  rows = sorted({row for item in members for row in item.windows})
  text = counted.text(lead.template)
  side = 'less' if lead.kind in ABSENT else 'more'
  return Finding(
    finding_id=identity(side, text),
    kind=lead.kind,
    score=round(score, 3),
    p_value=float(10.0 ** -min(lead.surprise, 300.0)),
    template_id=lead.template if lead.template != WHOLE else None,
    template=text,
    count=lead.records,
    expected=round(lead.expected, 3),
    first=first,
    last=last,
    samples=samples,
    windows=[counted.window_name(row) for row in rows[:200]],
    why=_why(counted, group, first, last, reference),
    severity=LEVELS[severity],
    state='known' if lead.detail == KNOWN else 'active',
    reason=IN_BASELINE if lead.detail == KNOWN else '',
    histogram=histogram(counted, lead.template),
    templates=[
      {
        'template_id': item.template if item.template != WHOLE else None,
        'template': counted.text(item.template),
        'kind': item.kind,
        'count': item.records,
        'expected': round(item.expected, 3),
      }
      for item in group
    ],
  )


def histogram(counted: Counted, template: int) -> list[int]:
  """Its records along the log, in at most `_BINS` places."""
  x = counted.totals if template == WHOLE else counted.series(template)
  places = np.arange(len(x)) * min(_BINS, len(x)) // len(x)
  return np.bincount(places, x).astype(int).tolist()


def _places(
  counted: Counted, lead: Surprise, members: list[Surprise]
) -> tuple[list[dict[str, Any]], Place, Place]:
  """Samples of the leading template first, one for each run of windows; the ends."""
  samples: list[dict[str, Any]] = []
  firsts, lasts = [], []
  for item in members:
    cells, inside = _cells(counted, item)
    rows = cells['row'].to_numpy()
    begins = np.flatnonzero(np.diff(rows, prepend=-9) > 1)
    more = np.setdiff1d(np.arange(len(rows)), begins)
    room = _SAMPLES - len(samples)
    most = max(_SAMPLES // 2, _SAMPLES + 1 - len(members)) if item is lead else 1
    for i in [*begins.tolist(), *more.tolist()][: min(most, room)]:
      cell = cells.row(i, named=True)
      place = windows.place(cell, 'first', counted.files)
      samples.append(place._asdict() | {'text': cell['text']})
    if not len(inside) or (item.kind == 'rare' and item is not lead):
      continue
    key = lambda cell, end: (cell['row'], cell[f'{end}_time'] or 0, cell[f'{end}_line'])
    head, tail = inside.row(0, named=True), inside.row(-1, named=True)
    first = windows.place(head, 'first', counted.files)
    firsts.append((key(head, 'first'), first))
    last = windows.place(tail, 'last', counted.files)
    lasts.append((key(tail, 'last'), last))
  nowhere = Place('', 0, None)
  ends = (min(firsts)[1], max(lasts)[1]) if firsts else (nowhere, nowhere)
  return samples, *ends


def _cells(counted: Counted, item: Surprise) -> tuple[pl.DataFrame, pl.DataFrame]:
  """Cells with samples of a surprise, and those that its ends are taken from.

  Of an absence: one cell before, the first record that stands there instead, one after.
  """
  own = _span(counted, item.template)
  inside = own.filter(pl.col('row').is_in(item.windows))
  if item.kind not in ABSENT:
    return inside, inside
  first, last = min(item.windows), max(item.windows)
  whole = _span(counted, WHOLE)
  instead = whole.filter(pl.col('row').is_in(item.windows))
  before = own.filter(pl.col('row') < first).tail(1)
  after = own.filter(pl.col('row') > last).head(1)
  ends = instead if len(instead) else pl.concat([before, after])
  return pl.concat([before, instead.head(1), after]), ends


def _span(counted: Counted, template: int) -> pl.DataFrame:
  if template == WHOLE:
    whole = counted.cells.filter(pl.col('template') < len(counted.texts))
    return whole.sort('row', 'first_line')
  if template not in counted.severity:
    return counted.cells.clear()
  span = counted.span(template)
  return counted.cells[span.start : span.stop]


def _runs(counted: Counted, item: Surprise) -> list[str]:
  """Where each run of windows of a surprise begins; none of a lasting one.

  Of an absence: from the last record before it to the first one after it.
  """
  if item.detail in (*_LASTING, 'baseline', WHOLE_LOG) or item.kind == 'missing':
    return []
  if item.kind == 'drop':
    return _silences(counted, item)
  cells, _ = _cells(counted, item)
  begins = np.flatnonzero(np.diff(cells['row'].to_numpy(), prepend=-9) > 2)
  if len(begins) > _MOST_PLACES:
    return []
  rows = (cells.row(i, named=True) for i in begins.tolist())
  return [_where(windows.place(row, 'first', counted.files)) for row in rows]


def _silences(counted: Counted, item: Surprise) -> list[str]:
  own, rows = _span(counted, item.template), np.sort(item.windows)
  begins = np.flatnonzero(np.diff(rows, prepend=-9) > 2)
  spans = []
  for first, last in zip(rows[begins], rows[[*(begins[1:] - 1), -1]]):
    before = own.filter(pl.col('row') < first).sort('row', 'last_time', 'last_line')
    after = own.filter(pl.col('row') > last).head(1)
    ends = (before.tail(1), 'last', 'the beginning'), (after, 'first', 'the end')
    names = [
      _where(windows.place(cells.row(0, named=True), end, counted.files))
      if len(cells)
      else nowhere
      for cells, end, nowhere in ends
    ]
    spans.append(' to '.join(names))
  return spans


def _where(place: Place) -> str:
  return place.time or f'line {place.line:,}'


def _why(
  counted: Counted,
  group: list[Surprise],
  first: Place,
  last: Place,
  reference: Counted | None,
) -> str:
  """The sentence with the numbers."""
  lead, size = group[0], counted.size
  times = lambda n: 'once' if n == 1 else f'{n:,} times'
  at = _where(first)
  span = f'{len(lead.windows):,} of {clean.counted(size, "window")} of {counted.width}'
  records, all_records = (
    clean.counted(number, 'record') for number in (lead.records, counted.records)
  )
  number = round(lead.expected)
  are = 'is' if number == 1 else 'are'
  expected, precisely = (
    f'{number:,} {are} expected',
    f'{lead.expected:,.1f} are expected',
  )
  against = 'the baseline' if reference is not None else 'the rest of this log'
  if lead.detail == 'baseline':
    text = f'seen {times(lead.records)} and never in the baseline'
  elif lead.kind == 'new' and lead.detail == 'late':
    text = f'from {at} on: never before, then {times(lead.records)}'
  elif lead.detail == WHOLE_LOG:
    text = (
      f'{lead.records / lead.expected:.2g} times as often as in the baseline, over the '
      f'whole log: {records}, where {expected}'
    )
  elif lead.detail == 'lasting':
    text = f'from {at} on: {records}, where by the rate before {expected}'
  elif lead.kind == 'new':
    text = f'seen {times(lead.records)} within {span}, and never before {at}'
  elif lead.kind == 'rare':
    text = f'seen {times(lead.records)} among {all_records}'
  elif lead.detail == KNOWN:
    level = LEVELS[counted.severity[lead.template]]
    text = (
      f'{level} record, known: seen {times(lead.records)}, where by its rate in '
      f'{against} {precisely}'
    )
  elif lead.kind == 'alarm':
    level = LEVELS[counted.severity.get(lead.template, 0)] or 'alarming'
    text = f'{level} record, seen {times(lead.records)} among {counted.records:,}'
  elif lead.detail.startswith('every '):
    text = f'comes {lead.detail}'
  elif lead.kind == 'missing':
    text = (
      f'never seen here; by {against} {clean.counted(number, "record")} {are} expected'
    )
  elif lead.detail == 'seldom':
    text = f'seen {times(lead.records)}; all other values of this message come often'
  elif lead.kind == 'drop':
    end = '; it does not come back' if lead.detail == 'ends' else ''
    text = f'{records} in {span} after {at}, where by {against} {expected}{end}'
  else:
    text = f'{records} in {span}, where by {against} {precisely}'
  if len(places := _runs(counted, lead)) > 1:
    shown = ', '.join(places[:_NAMED])
    text += f'; in {len(places)} places: {shown}{", ..." * (len(places) > _NAMED)}'
  others = len({item.template for item in group}) - 1
  if others:
    text += f'; {clean.counted(others, "more template")} at the same place'
  p = 10.0 ** -min(lead.surprise, 300.0)
  return text + (f' (p = {p:.1g})' if p >= 1e-12 else ' (p < 1e-12)')
