"""Odd sessions to findings: one for each reason; and rows of windows.jsonl."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax.scanning import findings, session_scores, sessions, windows
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.findings import Finding
from metalog_jax.scanning.session_scores import Scored
from metalog_jax.scanning.sessions import Sessions

_NAMES = 50  # sessions that a finding names
_MOST = 20  # findings about sessions
_SAMPLES = 5
_SEVERAL = 5  # sessions that are a finding although none is beyond the rate
_SAY = {
  'rare': 'hold a record like this, which hardly any other has',
  'missing': 'lack a record like this, which nearly all others have',
  'burst': 'have it more often than others',
  'drop': 'have it less often than others',
}


def judge(
  counted: Counted,
  state: Sessions,
  good: Sessions | None,
  group: np.ndarray,
  alpha: float,
  whole: np.ndarray | None = None,
) -> tuple[Scored | None, list[Finding]]:
  """Scores of sessions, None where there are too few, and findings about them.

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
    return None, []
  whole = session_scores.uncut(state) if whole is None else whole
  few = {} if bags is not None else session_scores.incomplete(whole, scored.bags, alpha)
  why = session_scores.reasons(scored, bags)
  if whole.mean() >= 0.5:  # those that are cut lack their end
    why = {
      reason: rows[whole[rows] | (reason[0] not in ('missing', 'drop'))]
      for reason, rows in why.items()
    }
  for reason, rows in few.items():
    why[reason] = np.union1d(rows, why.get(reason, rows))
  why = {reason: rows for reason, rows in why.items() if len(rows)}
  order = None if good is None else good.order(group)
  table = session_scores.unusual_orders(state.order(group), alpha, order)
  known = np.concatenate([[-1], *few.values()])  # said already
  table = table.filter(~pl.col('first_session').is_in(known))
  items = build(counted, state, scored, why, alpha)
  return scored, items + orders(counted, state, table)


def build(
  counted: Counted,
  state: Sessions,
  scored: Scored,
  reasons: dict[tuple[str, int], np.ndarray],
  alpha: float,
) -> list[Finding]:
  """One finding for each reason, the most important first."""
  places, names, out = state.places(), state.names, []
  total, key = len(names), state.key.name if state.key else ''
  for (kind, template), rows in reasons.items():
    order = rows[np.argsort(-scored.scores[rows], kind='stable')]
    p = float(scored.p_values[order[0]])
    if p > alpha and len(rows) < _SEVERAL:
      continue
    severity = counted.severity.get(template, 0) if kind in ('rare', 'burst') else 0
    score = min(-np.log10(max(p, 1e-10)), 10.0) + findings.SEVERITY * severity
    text = counted.text(template)
    ends = [places.row(int(row), named=True) for row in order[:_SAMPLES]]
    samples = [
      sessions.place(row, 'last', counted.files)._asdict() | {'text': row['text']}
      for row in ends
    ]
    if kind == 'rare' and template in counted.severity:
      cells = counted.cells[counted.span(template)]
      samples = [
        sessions.place(row, 'first', counted.files)._asdict() | {'text': row['text']}
        for row in cells.head(_SAMPLES).iter_rows(named=True)
      ]
    first, last = (places.row(int(end), named=True) for end in (rows.min(), rows.max()))
    example = ', '.join(names[row] for row in order[:3].tolist())
    out.append(
      Finding(
        finding_id=findings.identity(f'session {kind}', text),
        kind=kind,
        score=round(float(score), 3),
        p_value=p,
        template_id=template,
        template=text,
        count=len(rows),
        expected=0.0,
        first=sessions.place(first, 'first', counted.files),
        last=sessions.place(last, 'last', counted.files),
        samples=samples,
        windows=[names[row] for row in order[:_NAMES].tolist()],
        why=f'{len(rows):,} of {total:,} sessions ({key}) {_SAY[kind]}: '
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
  return out[:_MOST]


def orders(counted: Counted, state: Sessions, table: Any) -> list[Finding]:
  """Findings about what never follows what."""
  out = []
  table = table.filter(pl.col('first_session') >= 0)  # it is not forgotten
  table = table.sort('surprise', descending=True).unique(
    'first_session', keep='first', maintain_order=True
  )
  for row in table.iter_rows(named=True):
    before, after = counted.text(row['before']), counted.text(row['after'])
    place = sessions.place(row, 'first', counted.files)
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
