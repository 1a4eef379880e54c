"""A scan that was told a few labels: sessions are judged again, by those as well."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import clean
from metalog_jax.scanning import session_findings
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.findings import Finding
from metalog_jax.scanning.session_findings import Judged
from metalog_jax.scanning.sessions import Sessions
from metalog_jax.scanning.verdicts import Verdicts


class Adapted(NamedTuple):
  """What the labels changed."""

  judged: Judged
  items: list[Finding]
  sentence: str


def adapt(
  counted: Counted,
  state: Sessions,
  judged: Judged,
  verdicts: Verdicts,
  of_windows: Sequence[Finding],
  before: Sequence[Finding],
  alpha: float,
) -> Adapted | None:
  """Judges sessions by what was said of some; None where that is of none of them.

  Args:
    judged: without labels.
    of_windows: findings of windows, which stay.
    before: all findings, without labels; those that are called normal are listed on,
      as known, although nothing is odd about their sessions any longer.
    alpha: rate of false findings.
  """
  ids = {
    reason: session_findings.identities(counted, reason, of_windows)
    for reason in judged.reasons
  }
  found: dict[str, np.ndarray] = {}
  for reason, rows in judged.reasons.items():
    for name in ids[reason]:
      found[name] = np.union1d(rows, found.get(name, rows))
  labels = verdicts.of_sessions(state, counted.files, judged.scored.scores, found)
  if not (labels >= 0).any():
    return None
  known = [reason for reason in ids if _is_said(verdicts.by_id, ids[reason], 1)]
  after = session_findings.adapt(judged, labels, known)
  more = session_findings.build(counted, state, after, alpha)
  items = session_findings.merge(of_windows, more)
  listed = {item.finding_id for item in items}
  items += [
    item
    for item in before
    if item.finding_id not in listed and _is_said(verdicts.by_id, [item.finding_id], 0)
  ]
  return Adapted(after, items, _sentence(verdicts, labels, judged, after))


def _is_said(by_id: Mapping[str, int], names: Sequence[str], label: int) -> bool:
  return any(by_id.get(name) == label for name in names)


def _sentence(
  verdicts: Verdicts, labels: np.ndarray, before: Judged, after: Judged
) -> str:
  one, other = before.scored.odd, after.scored.odd
  less, more = int((one & ~other).sum()), int((other & ~one).sum())
  are = lambda number: 'is' if number == 1 else 'are'
  return (
    f'adapted to {clean.counted(verdicts.used, "label")} '
    f'({clean.counted(int((labels == 0).sum()), "normal session")}, '
    f'{(labels == 1).sum():,} anomalous): {clean.counted(less, "session")} '
    f'{are(less)} no longer odd, {more:,} {are(more)} now'
  )
