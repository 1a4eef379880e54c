"""Everything about templates that is not as expected, before causes are told apart."""

from collections.abc import Iterator

import numpy as np

from metalog_jax.logs.general_masks import VALUE_NAME
from metalog_jax.scanning import changes, rhythms, statistics
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.sides import ALL
from metalog_jax.scanning.statistics import KNOWN, WHOLE_LOG, Surprise

_SEVERE_SHARE = 0.2  # of severe records, above which severity says nothing
_OFTEN = 20  # records that alarm by their words, above which they are judged by time
_OFTEN_SHARE = 0.2  # of the windows; what stands in fewer has no rate of its own
_HABIT = 8  # places spread over the log, from which on an error is a habit
_RARE = 3  # records of a template like no other
_CYCLIC = 43200  # seconds of a log, from which on hours of the day may be seen
_DAY = 86400
_SLOW, _SLOW_SHARE = 5, 0.2  # records above a threshold, and share of those there
_FAR = {'ms': 2, '': 2, '%': 3, 'MB': 2}  # places on the grid from the usual number
_STEEP = 50  # times as often as a rare value have all others of its message
_MOST_KNOWN = 10  # severe templates of a baseline that are listed
_GAP = 5  # times as many records have all others then


def surprises(
  counted: Counted, alpha: float, reference: Counted | None = None
) -> list[Surprise]:
  """What is not as expected, beside the log itself or beside a reference.

  Args:
    alpha: rate of false discoveries among bursts, silences and beginnings.
    reference: counts of good records, with the same template ids and width.
  """
  candidates: list[Surprise] = []
  for template in counted.ids.tolist():
    candidates += _of_counts(counted, template, counted.totals, reference)
    candidates += _missed_times(counted, template, reference)
  for value, (template, _) in counted.values.items():
    if value not in counted.severity:
      continue  # it is in the reference alone
    for item in _of_counts(counted, value, counted.series(template), reference):
      if item.kind in ('new', 'burst') and item.detail != 'late':
        candidates.append(item._replace(kind='value'))
  if counted.width.timed and reference is None:
    day = round(_DAY / counted.width.size) if _is_cyclic(counted) else 0
    candidates += statistics.whole_log(counted.totals, day)
  candidates += _of_sides(counted, alpha, reference)
  lasting = _lasting(counted, alpha) if reference is None else []
  candidates = [item for item in candidates if not _explained(item, lasting)]
  # What a message that goes silent has for a drop says more than its lower rate.
  ended = {item.template for item in candidates if item.detail in ('ends', 'late')}
  candidates += [item for item in lasting if item.template not in ended]
  tests = 2 * len(counted.ids) + len(counted.values) + len(counted.sides) + 2
  values = np.zeros(max(tests, len(candidates)))
  values[: len(candidates)] = [item.surprise for item in candidates]
  chosen = statistics.discoveries(values, alpha)
  passing = [item for item, keep in zip(candidates, chosen) if keep]
  if reference is not None:
    return passing + _against(counted, reference, alpha)
  return passing + _single(counted, {item.template for item in passing}, alpha)


def _missed_times(
  counted: Counted, template: int, reference: Counted | None
) -> Iterator[Surprise]:
  """Times that a regular message did not come, unless that is so in the reference."""
  if counted.severity[template] >= 2:
    return  # that an error does not come is good
  missed = [*rhythms.missed(counted, template)]
  if missed and reference is not None:
    known = template in reference.severity
    rests = template in reference.resting or any(rhythms.missed(reference, template))
    if not known or rests:
      return
  yield from missed


def _lasting(counted: Counted, alpha: float) -> list[Surprise]:
  """Rates that change for good: of templates, and of values beside their template."""
  ids = counted.ids.tolist()
  sharp = _is_cyclic(counted)
  items = list(changes.lasting(ids, counted.series, counted.totals, alpha, sharp))
  known = {item.template for item in items}
  needed = np.log10(max(len(counted.values), 1) / alpha)
  for value, (template, _) in counted.values.items():
    if value not in counted.severity or template in known:
      continue
    x = counted.series(value)
    change = changes.split(x, counted.series(template), sharp)
    if change is not None and change.factor > 1 and change.surprise >= needed:
      item = changes.as_surprise(value, x, change)
      items.append(item._replace(kind='value', detail='lasting'))
  return items


def _of_sides(
  counted: Counted, alpha: float, reference: Counted | None
) -> Iterator[Surprise]:
  """Sources that fall silent, and numbers of a template that become larger."""
  best: dict[tuple[int, str], Surprise] = {}  # of each number of a template
  sources = _sources(counted)
  for number, side in counted.sides.items():
    if side.template == ALL:
      if reference is None and not _is_relieved(counted, number, sources[side.field]):
        x = counted.series(number)
        rate = statistics.fit_rate(x, counted.totals)
        if x.sum() >= max(_OFTEN, counted.size / 2) and rate.mean >= 0.5:
          other = counted.totals - x
          yield from statistics.silences(number, x, other, rate, most=0.8)
      continue
    if number not in counted.severity or side.place - side.usual < _FAR[side.kind]:
      continue
    x, usual = counted.series(number), counted.series(side.template)
    if reference is not None:
      if side.template not in reference.severity:
        continue
      past = reference.series(number), reference.series(side.template)
      found = [*_beside(number, x, usual, *past)]
    else:
      found = [*_of_counts(counted, number, usual, None)]
    if reference is None and (change := changes.split(x, usual, _is_cyclic(counted))):
      if change.factor > 1 and change.surprise >= np.log10(len(counted.sides) / alpha):
        item = changes.as_surprise(number, x, change)
        found.append(item._replace(detail='lasting'))
    for item in found:
      here = usual[item.windows].sum()
      enough = item.records >= _SLOW and item.records >= _SLOW_SHARE * here
      if item.kind not in ('new', 'burst') or item.detail == 'late' or not enough:
        continue
      known = best.get((side.template, side.slot))
      if known is None or _strength(item) > _strength(known):
        best[side.template, side.slot] = item._replace(kind='value')
  yield from best.values()


def _sources(counted: Counted) -> dict[str, list[int]]:
  """Field -> numbers of its sources."""
  sources: dict[str, list[int]] = {}
  for number, side in counted.sides.items():
    if side.template == ALL:
      sources.setdefault(side.field, []).append(number)
  return sources


def _strength(item: Surprise) -> tuple[float, float]:
  return min(item.surprise, 12.0), item.records


def _is_cyclic(counted: Counted) -> bool:
  """Whether the log is so long that hours of the day may be seen."""
  return counted.width.timed and counted.width.size * counted.size >= _CYCLIC


def _is_relieved(counted: Counted, number: int, sources: list[int]) -> bool:
  """Whether another source of its kind begins where this one ends.

  So do rotated files, and the pods of a new version.
  """
  last = counted.rows[counted.span(number)].max()
  begins = (
    counted.rows[counted.span(other)].min()
    for other in sources
    if other != number and other in counted.severity
  )
  near = max(1, 0.03 * counted.size)
  return last < counted.size - 1 and any(abs(x - last) <= near for x in begins if x)


def _explained(item: Surprise, lasting: list[Surprise]) -> bool:
  """Whether what stands out is one side of a change: low before, high after it."""
  for change in lasting:
    if change.template != item.template or item.detail in ('late', 'ends'):
      continue
    after = item.windows[0] >= change.windows[0]
    low, falls = item.kind == 'drop', change.kind == 'drop'
    before = item.windows[-1] < change.windows[0]
    if (after and low == falls) or (before and low and not falls):
      return True
  return False


def _of_counts(
  counted: Counted, template: int, totals: np.ndarray, reference: Counted | None
) -> Iterator[Surprise]:
  """Surprises of one template beside all records, or of a value beside its template."""
  severe = counted.severity[template] >= 2
  if reference is not None:
    if template in reference.severity:
      parent = reference.values.get(template)
      usual = reference.series(parent[0]) if parent else reference.totals
      past = reference.series(template), usual
      yield from _beside(template, counted.series(template), totals, *past, severe)
    return
  span = counted.span(template)
  rows, counts = counted.rows[span], counted.counts[span]
  n = int(counts.sum())
  if n >= max(20, counted.size / 2) and len(rows) > _OFTEN_SHARE * counted.size:
    x = counted.series(template)
    rate = statistics.fit_rate(x, totals)
    yield from statistics.surprises(template, x, totals, rate, severe)
  elif n >= 3 and counted.size > 2:
    yield from statistics.concentrated(template, rows, counts, totals, severe)


def _beside(
  template: int,
  x: np.ndarray,
  totals: np.ndarray,
  past: np.ndarray,
  past_totals: np.ndarray,
  severe: bool = False,
) -> Iterator[Surprise]:
  """A rate that is another one over the whole log, or windows unlike the reference."""
  change = changes.beside(past, past_totals, x, totals)
  falls = change is not None and change.factor < 1
  if change is not None and not (severe and falls):  # fewer errors are good
    count, rows = int(x.sum()), np.flatnonzero(totals if falls else x).tolist()
    kind, usual = 'drop' if falls else 'burst', count / change.factor
    yield Surprise(kind, template, change.surprise, rows, count, usual, WHOLE_LOG)
  rate = statistics.fit_rate(past, past_totals, clean=True)
  for item in statistics.surprises(template, x, totals, rate, severe):
    if change is None or (item.kind == 'drop') != falls:
      yield item


def _against(counted: Counted, reference: Counted, alpha: float) -> list[Surprise]:
  """Templates that the reference does not have, and those that it alone has."""
  numbers = np.array([reference.number(i) for i in reference.ids.tolist()])
  once, total = int((numbers == 1).sum()), max(int(numbers.sum()), 1)
  novelty = np.log10((total + 1) / (once + 1))  # Good's estimate of what is unseen
  out = []
  for template in counted.ids.tolist():
    if template not in reference.severity:
      severe = counted.severity[template] >= 2
      if severe or novelty >= -np.log10(alpha):
        rows = counted.rows[counted.span(template)].tolist()
        n = counted.number(template)
        surprise = novelty * len(rows)
        out.append(Surprise('new', template, surprise, rows, n, 0.0, 'baseline'))
  siblings: dict[int, list[int]] = {}
  for value, (template, _) in reference.values.items():
    siblings.setdefault(template, []).append(value)
  for value, (template, _) in counted.values.items():
    if value not in counted.severity or value in reference.severity:
      continue
    if template not in reference.severity:
      continue
    single = sum(reference.number(v) == 1 for v in siblings[template])
    novelty = np.log10((reference.number(template) + 1) / (single + 1))
    if novelty >= -np.log10(alpha):
      rows = counted.rows[counted.span(value)].tolist()
      n = counted.number(value)
      surprise = novelty * len(rows)
      out.append(Surprise('value', value, surprise, rows, n, 0.0, 'baseline'))
  awaited = [  # of kinds whose names stay: most of these sources are here too
    source
    for sources in _sources(counted).values()
    if sum(counted.number(n) > 0 for n in sources) > len(sources) / 2
    for source in sources
  ]
  for template in [*reference.ids.tolist(), *awaited]:
    if counted.number(template):
      continue
    y = reference.series(template)
    rate = statistics.fit_rate(y, reference.totals, clean=True)
    share = y.sum() / total
    expected = float(min(rate.mean * counted.size, share * counted.records))
    if expected >= 5:
      zero = statistics.absent(expected, rate.size, counted.size)
      if zero >= -np.log10(alpha / len(numbers)):
        rows = list(range(counted.size))
        out.append(Surprise('missing', template, zero, rows, 0, expected))
  return out


def known_severe(
  counted: Counted, reference: Counted, judged: list[Surprise]
) -> list[Surprise]:
  """Severe templates that the reference has too, and that come no more seldom here.

  They are no surprises, but who is on call wants to see them; at most `_MOST_KNOWN`,
  the most severe and frequent. Words alone make none severe, a written level does.

  Args:
    judged: templates of these are reported already, and left out.
  """
  reported = {item.template for item in judged}
  share = min(
    counted.records / max(reference.records, 1),
    counted.size / max(int((reference.totals > 0).sum()), 1),
  )  # by records or by windows, whichever expects less, as for what is missing
  out = []
  for template in counted.ids.tolist():
    severity = counted.severity[template]
    if severity < 2 or template in reported or template in counted.by_words:
      continue
    n, expected = counted.number(template), reference.number(template) * share
    if 0 < expected <= n:
      rows = counted.rows[counted.span(template)].tolist()
      known = Surprise('alarm', template, 0.0, rows, n, expected, KNOWN)
      out.append((severity, n, known))
  out.sort(key=lambda item: item[:2], reverse=True)
  return [item for *_, item in out[:_MOST_KNOWN]]


def _single(counted: Counted, taken: set[int], alpha: float) -> list[Surprise]:
  """Severe records that are no habit, and lines like no other.

  Where a large share of all records is severe, severity says nothing.
  """
  numbers = {i: counted.number(i) for i in counted.ids.tolist()}
  total = counted.records
  severe = {i: n for i, n in numbers.items() if counted.severity[i] >= 2}
  if sum(severe.values()) > max(_RARE, _SEVERE_SHARE * total):
    severe = {}
  for value, (template, _) in counted.values.items():
    if counted.severity.get(value, 0) >= 2 > counted.severity.get(template, 2):
      severe[value] = counted.number(value)  # a usual message, for once an error
  plain = {i: n for i, n in numbers.items() if n <= _RARE and i not in severe}
  others = [n for i, n in numbers.items() if n > _RARE]
  apart = not others or min(others) >= _GAP * max(plain.values(), default=0)
  out = []
  severe_as_rare = {  # records no more frequent and no less severe, by both
    (n, level): sum(
      m for i, m in severe.items() if m <= n and counted.severity[i] >= level
    )
    for n, level in {(n, counted.severity[i]) for i, n in severe.items()}
  }
  plain_as_rare = {
    n: sum(m for m in plain.values() if m <= n) for n in {*plain.values()}
  }
  for template, n in severe.items():
    rows = counted.rows[counted.span(template)]
    often = n > _OFTEN and template in counted.by_words
    spread = len(rows) >= _HABIT and rows[-1] - rows[0] > counted.size / 2
    if template in taken or often or spread:
      continue
    level = counted.severity[template]
    surprise = max(0.0, np.log10(total / severe_as_rare[n, level]))
    if n > _OFTEN and surprise < -np.log10(alpha) and level < 3:
      continue
    out.append(Surprise('alarm', template, surprise, rows.tolist(), n, 0.0))
  for template, n in plain.items() if apart else ():
    rows = counted.rows[counted.span(template)]
    surprise = np.log10((total + 1) / (plain_as_rare[n] + 1))
    edge = rows[0] <= 1 or rows[-1] >= counted.size - 2  # start-up and end
    if template in taken or (edge and not counted.severity[template]):
      continue
    if surprise >= -np.log10(alpha):
      out.append(Surprise('rare', template, surprise, rows.tolist(), n, 0.0))
  return out + _rare_values(counted, alpha)


def _rare_values(counted: Counted, alpha: float) -> list[Surprise]:
  """Values that a message has once to three times, and all its others very often."""
  siblings: dict[int, dict[int, int]] = {}
  for value, (template, name) in counted.values.items():
    if '=' in name or VALUE_NAME in counted.texts[template]:  # a code, and no name
      siblings.setdefault(template, {})[value] = counted.number(value)
  out = []
  for template, numbers in siblings.items():
    rare = {v: n for v, n in numbers.items() if 0 < n <= _RARE}
    others = [n for n in numbers.values() if n > _RARE]
    if not rare or not others or min(others) < _STEEP * max(rare.values()):
      continue
    number = counted.number(template)
    surprise = float(np.log10((number + 1) / (sum(rare.values()) + 1)))
    if surprise < -np.log10(alpha):
      continue
    for value, n in rare.items():
      rows = counted.rows[counted.span(value)].tolist()
      edge = rows[0] <= 1 or rows[-1] >= counted.size - 2
      if not edge:
        expected = n * len(rows) / counted.size
        out.append(Surprise('value', value, surprise, rows, n, expected, 'seldom'))
  return out
