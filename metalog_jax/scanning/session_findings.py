"""Odd sessions to findings: one for each reason; and rows of windows.jsonl."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from metalog_jax import clean
from metalog_jax.scanning import findings, session_scores, windows
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.findings import Finding
from metalog_jax.scanning.session_scores import Scored
from metalog_jax.scanning.sessions import Sessions

_NAMES = 50  # sessions that a finding names
_MOST = 20  # findings about sessions
_SAMPLES = 5
_SEVERAL = 5  # sessions that are a finding although none is beyond the rate
_PRESENT = ('new', 'rare', 'burst', 'alarm')  # kinds of records that are there
_SAY = {  # of several, of one, and the rest of the sentence
  'rare': ('hold', 'holds', 'a record like this, which hardly any other has'),
  'missing': ('lack', 'lacks', 'a record like this, which nearly all others have'),
  'burst': ('have', 'has', 'it more often than others'),
  'drop': ('have', 'has', 'it less often than others'),
}


class Judged(NamedTuple):
  """Sessions with their scores and the reasons of the odd ones."""

  scored: Scored
  good: sparse.csr_matrix | None  # [N, V] of a baseline, or of those before
  whole: np.ndarray  # [S] bool, that the ends of the log have not cut
  few: dict[tuple[str, int], np.ndarray]  # those that lack or repeat, however odd
  reasons: dict[tuple[str, int], np.ndarray]  # (kind, template) -> odd sessions
  orders: list[Finding]


def judge(
  counted: Counted,
  state: Sessions,
  good: Sessions | None,
  group: np.ndarray,
  alpha: float,
  whole: np.ndarray | None = None,
) -> Judged | None:
  """Scores of sessions and reasons of odd ones; None where there are too few.

  Args:
    good: sessions of a baseline, or those before; None: those of `state` alone.
    group: the template of each code.
    alpha: rate of false findings.
    whole: [S] bool, that the ends of the log have not cut; None: by where they stand.
  """
  width = len(counted.texts)
  bags = None if good is None else good.bags(group, width)
  severity = [counted.severity.get(template, 0) for template in range(width)]
  alarm = findings.SEVERITY * np.array(severity, float)
  scored = session_scores.score(state.bags(group, width), bags, alpha, alarm)
  if scored is None:
    return None
  whole = session_scores.uncut(state) if whole is None else whole
  few = {} if bags is not None else session_scores.incomplete(whole, scored.bags, alpha)
  order = None if good is None else good.order(group)
  table = session_scores.unusual_orders(state.order(group), alpha, order)
  if few:
    known = np.concatenate([*few.values()])  # said already
    table = table.filter(~pl.col('first_session').is_in(known))
  why = _reasons(scored, bags, whole, few)
  return Judged(scored, bags, whole, few, why, orders(counted, state, table))


def adapt(
  judged: Judged, labels: np.ndarray, known: Iterable[tuple[str, int]]
) -> Judged:
  """The same sessions, judged with a few of them labelled.

  Args:
    labels: [S] 1 for an anomaly, 0 for normal, -1 where nobody knows.
    known: reasons that are called anomalies: they stay.
  """
  scored = session_scores.adapted(judged.scored, labels, judged.good)
  few = {reason: rows[labels[rows] != 0] for reason, rows in judged.few.items()}
  fixed = {reason: judged.reasons[reason] for reason in known}
  said = np.concatenate([[-1], *fixed.values()])
  why = _reasons(scored, judged.good, judged.whole, few)
  why = {reason: np.setdiff1d(rows, said) for reason, rows in why.items()}
  for reason, rows in fixed.items():
    why[reason] = np.union1d(rows, why.get(reason, rows))
  why = {reason: rows for reason, rows in why.items() if len(rows)}
  return judged._replace(scored=scored, few=few, reasons=why)


def _reasons(
  scored: Scored,
  good: sparse.csr_matrix | None,
  whole: np.ndarray,
  few: dict[tuple[str, int], np.ndarray],
) -> dict[tuple[str, int], np.ndarray]:
  why = session_scores.reasons(scored, good)
  if whole.mean() >= 0.5:  # those that are cut lack their end
    why = {
      reason: rows[whole[rows] | (reason[0] not in ('missing', 'drop'))]
      for reason, rows in why.items()
    }
  for reason, rows in few.items():
    why[reason] = np.union1d(rows, why.get(reason, rows))
  return {reason: rows for reason, rows in why.items() if len(rows)}


def identities(
  counted: Counted, reason: tuple[str, int], items: Sequence[Finding]
) -> list[str]:
  """Ids of the finding that this reason has, by itself or merged with one of these."""
  kind, template = reason
  names = [_identity(counted, kind, template)]
  merged = _by_template(items).get(template) if kind in _PRESENT else None
  return [*names, merged.finding_id] if merged else names


def _identity(counted: Counted, kind: str, template: int) -> str:
  return findings.identity(f'session {kind}', counted.text(template))


def _by_template(items: Sequence[Finding]) -> dict[int | None, Finding]:
  """The first finding about records that are there, of each template."""
  return {
    part['template_id']: item
    for item in reversed(items)
    for part in item.templates
    if part['kind'] in _PRESENT and item.reason != findings.IN_BASELINE
  }


def build(
  counted: Counted, state: Sessions, judged: Judged, alpha: float
) -> list[Finding]:
  """One finding for each reason, the most important first; then unusual orders."""
  places, names, out, scored = state.places(), state.names, [], judged.scored
  total, key = len(names), state.key.name if state.key else ''
  for (kind, template), rows in judged.reasons.items():
    order = rows[np.argsort(-scored.scores[rows], kind='stable')]
    p = float(scored.p_values[order[0]])
    if p > alpha and len(rows) < _SEVERAL:
      continue
    severity = counted.severity.get(template, 0) if kind in ('rare', 'burst') else 0
    score = min(-np.log10(max(p, 1e-10)), 10.0) + findings.SEVERITY * severity
    text = counted.text(template)
    ends = [places.row(int(row), named=True) for row in order[:_SAMPLES]]
    samples = [
      windows.place(row, 'last', counted.files)._asdict() | {'text': row['text']}
      for row in ends
    ]
    if kind == 'rare' and template in counted.severity:
      cells = counted.cells[counted.span(template)]
      samples = [
        windows.place(row, 'first', counted.files)._asdict() | {'text': row['text']}
        for row in cells.head(_SAMPLES).iter_rows(named=True)
      ]
    first, last = (places.row(int(end), named=True) for end in (rows.min(), rows.max()))
    example = ', '.join(names[row] for row in order[:3].tolist())
    several, one, what = _SAY[kind]
    verb = one if len(rows) == 1 else several
    out.append(
      Finding(
        finding_id=_identity(counted, kind, template),
        kind=kind,
        score=round(float(score), 3),
        p_value=p,
        template_id=template,
        template=text,
        count=len(rows),
        expected=0.0,
        first=windows.place(first, 'first', counted.files),
        last=windows.place(last, 'last', counted.files),
        samples=samples,
        windows=[names[row] for row in order[:_NAMES].tolist()],
        why=f'{len(rows):,} of {total:,} sessions ({key}) {verb} {what}: '
        f'{example}{", ..." if len(rows) > 3 else ""} (p = {p:.1g})',
        severity=findings.LEVELS[severity],
        histogram=findings.histogram(counted, template),
        templates=[
          {
            'template_id': template,
            'template': text,
            'kind': kind,
            'count': len(rows),
            'expected': 0.0,
          }
        ],
      )
    )
  out.sort(key=lambda item: (-item.score - np.log10(item.count) / 2, item.template))
  return [*out[:_MOST], *judged.orders]


def orders(counted: Counted, state: Sessions, table: Any) -> list[Finding]:
  """Findings about what never follows what."""
  out: list[Finding] = []
  if table.is_empty():
    return out
  table = table.filter(pl.col('first_session') >= 0)  # it is not forgotten
  table = table.sort('surprise', descending=True).unique(
    'first_session', keep='first', maintain_order=True
  )
  for row in table.iter_rows(named=True):
    before, after = counted.text(row['before']), counted.text(row['after'])
    place = windows.place(row, 'first', counted.files)
    count, surprise = int(row['count']), float(row['surprise'])
    name = state.names[row['first_session']]
    out.append(
      Finding(
        finding_id=findings.identity('order', f'{before}\0{after}'),
        kind='order',
        score=round(min(surprise, 10.0), 3),
        p_value=float(10.0**-surprise),
        template_id=row['after'],
        template=after,
        count=count,
        expected=0.0,
        first=place,
        last=place,
        samples=[place._asdict() | {'text': row['text']}],
        windows=[name],
        why=f'in session {name} it comes after "{before}"; among {row["total"]:,} '
        f'records like that, this follows {"once" if count == 1 else count} alone '
        f'(p = {10.0**-surprise:.1g})',
      )
    )
  return out[:_MOST]


def rows(
  counted: Counted, state: Sessions, scored: Scored, items: Sequence[Finding]
) -> Iterator[dict[str, Any]]:
  """A row of windows.jsonl for each session, in order of first appearance."""
  named: dict[str, list[str]] = {}
  for item in items:
    for name in item.windows:
      named.setdefault(name, []).append(item.finding_id)
  table = state.places()
  ends = [
    [
      {'file': file, 'line': line, 'time': time}
      for file, line, time in zip(
        (counted.files[number] for number in table[f'{end}_file'].to_list()),
        table[f'{end}_line'].to_list(),
        windows.iso_all(table[f'{end}_time']),
      )
    ]
    for end in ('first', 'last')
  ]
  columns = (
    state.names,
    *ends,
    table['records'].to_list(),
    np.diff(scored.bags.indptr).tolist(),
    np.round(scored.scores, 6).tolist(),
    scored.p_values.tolist(),
    scored.odd.tolist(),
  )
  for name, first, last, records, templates, score, p_value, odd in zip(*columns):
    yield {
      'id': name,
      'unit': 'session',
      'first': first,
      'last': last,
      'records': records,
      'templates': templates,
      'score': score,
      'p_value': p_value,
      'anomalous': odd,
      'findings': named.get(name, []),
    }


def merge(items: Sequence[Finding], more: Sequence[Finding]) -> list[Finding]:
  """Findings of windows and of sessions; those about one template are one."""
  items = [dataclasses.replace(item, windows=list(item.windows)) for item in items]
  by_template = _by_template(items)
  rest = []
  for item in more:
    known = by_template.get(item.template_id) if item.kind in _PRESENT else None
    if known is None:
      rest.append(item)
    else:
      known.why += f'; in {clean.counted(item.count, "odd session")}'
      known.windows += item.windows
  return findings.ranked([*items, *rest])
