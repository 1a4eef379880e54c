"""Findings like those that people called normal, or an anomaly.

Two findings are alike by their templates: what comes more often, and what comes less.
A finding is called so by its id, by `metalog feedback` in an earlier scan, or by the
windows that it stands in. A finding that has no template but those of a normal one is
known; one that has some of them is ranked lower by their share; one that has some of an
anomaly's is ranked a step of severity higher.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from metalog_jax import lazy
from metalog_jax.logs import labels
from metalog_jax.scanning import feedback, findings
from metalog_jax.scanning.findings import Finding

labelled = lazy.module('metalog_jax.scanning.labelled')

_INSIDE = 0.5  # share of its windows that must be called normal


class Said(NamedTuple):
  """What was said of a finding."""

  name: str  # its id
  templates: frozenset[tuple[bool, str]]  # whether it lacks, and the text
  label: int  # 1 for an anomaly, 0 for normal


def moved(
  items: Sequence[Finding],
  folders: Sequence[str],
  known: labels.Labels | None,
  rows: list[dict[str, Any]],
) -> tuple[list[Finding], str]:
  """The findings as what was said moves them, and a sentence; '' where none is moved.

  Args:
    folders: with feedback.
    known: what a file of labels says.
    rows: of windows, labelled if there is such a file.

  Raises:
    UserError: feedback is damaged.
  """
  named = known.by_id if known else {}
  rows = labelled.vouched(known, rows) if known else []
  return apply(items, said(items, folders, named, rows))


def said(
  items: Sequence[Finding],
  folders: Iterable[str],
  by_id: Mapping[str, int],
  rows: Iterable[dict[str, Any]] = (),
) -> list[Said]:
  """What feedback in folders and labels say, of these findings and of earlier ones.

  Args:
    by_id: labels by id of findings, windows and sessions.
    rows: of windows.jsonl, with the `label` that is vouched for.
  """
  out = []
  for name, line in feedback.current(folders).items():
    if line['verdict'] != 'suppress' and line.get('templates'):
      label = int(line['verdict'] == 'anomaly')
      out.append(Said(name, _templates(line['templates']), label))
  label_of = {row['id']: row['label'] for row in rows if row.get('label') is not None}
  for item in items:
    inside = [label_of[name] for name in item.windows if name in label_of]
    label = by_id.get(item.finding_id, -1)
    if label < 0 and 1 in inside:
      label = 1
    elif label < 0 and len(inside) >= max(1, _INSIDE * len(item.windows)):
      label = 0
    if label >= 0:
      out.append(Said(item.finding_id, _templates(item.templates), label))
  return out


def apply(items: Sequence[Finding], said: Sequence[Said]) -> tuple[list[Finding], str]:
  """The findings, ranked anew, and a sentence; '' where none is like those."""
  label_of = {one.name: one.label for one in said}
  moved = [0, 0]  # lower, higher
  for item in items:
    mine, own = _templates(item.templates), label_of.get(item.finding_id)
    share = {one: len(mine & one.templates) / max(len(mine), 1) for one in said}
    for label in (1, 0) if own is None else (own,):
      alike = [one for one in said if one.label == label and share[one]]
      if not alike or item.state != 'active':
        continue
      one = max(alike, key=lambda one: share[one])
      what = 'an anomaly' if label else 'normal'
      if own is None:
        item.reason = f'like {one.name}, which was called {what}'
      item.reason = item.reason or f'called {what}'
      if label:
        item.score = round(item.score + findings.SEVERITY, 3)
      elif share[one] == 1:
        item.state = 'known'
      else:
        item.score = round(item.score * (1 - share[one]), 3)
      moved[label] += 1
      break
  if not any(moved):
    return list(items), ''
  lower, higher = moved
  rank = 'ranks' if higher == 1 else 'rank'
  text = (
    f'of the findings {higher:,} {rank} higher and {lower:,} lower, being like what'
  )
  return findings.ranked(items), f'{text} was called an anomaly or normal'


def _templates(parts: Iterable[dict[str, Any]]) -> frozenset[tuple[bool, str]]:
  return frozenset((p['kind'] in findings.ABSENT, p['template']) for p in parts)
