"""What people said is normal or an anomaly, as labels of sessions.

Said in `--labels`, or by `metalog feedback`: of findings, of sessions by id, and of
ranges of time or of lines.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from metalog_jax.logs import label_ranges, labels
from metalog_jax.scanning import feedback
from metalog_jax.scanning.sessions import Sessions

_ODD = 0.95  # share of the sessions outside an incident that its own must be odder than


@dataclasses.dataclass
class Verdicts:
  """1 for an anomaly and 0 for normal."""

  by_id: Mapping[str, int]  # of findings and sessions
  ranges: label_ranges.Ranges
  used: int = 0  # of these, that labelled a session

  def of_sessions(
    self,
    state: Sessions,
    files: Sequence[str],
    scores: np.ndarray,
    found: Mapping[str, np.ndarray],
  ) -> np.ndarray:
    """[S] int8, -1 where nothing was said; notes how many verdicts were `used`.

    An incident's range holds normal sessions, too: those are its anomalies that are
    odder than most sessions outside, or the oddest of them. What is said by an id
    counts more than a range.

    Args:
      scores: [S] how odd each session is.
      found: rows of sessions by the id of the finding about them.
    """
    label = self._of_ranges(state, files, scores)
    used = self.by_id.keys() & {*found, *state.names}
    self.used = len(used) + int((self.ranges.matches > 0).sum())
    for name in used & found.keys():
      label[found[name]] = self.by_id[name]
    for row, name in enumerate(state.names):
      if name in used:
        label[row] = self.by_id[name]
    return label

  def _of_ranges(
    self, state: Sessions, files: Sequence[str], scores: np.ndarray
  ) -> np.ndarray:
    none = np.full(len(scores), -1, np.int8)
    if not self.ranges.ranges:
      return none
    names = pl.Series(files, dtype=pl.String)
    table = state.places()
    one_file = pl.col('first_file') == pl.col('last_file')
    inside = self.ranges.label(
      table.select(
        start=pl.col('first_time') / 1e6,
        end=pl.col('last_time') / 1e6,
        file=names.gather(table['first_file']),
        first=pl.col('first_line').cast(pl.Float64),
        last=pl.when(one_file).then('last_line').otherwise(float('inf')),
      )
    )
    incident = inside == 1
    said = inside.astype(np.int8)
    if incident.any():
      usual = np.quantile(scores[~incident], _ODD) if not incident.all() else -np.inf
      limit = min(scores[incident].max(), np.nextafter(usual, np.inf))
      said[incident & (scores < limit)] = -1
    if all(item.label for item in self.ranges.ranges):
      said[~incident] = -1  # outside a list of incidents nothing is vouched for
    return said


def read(known: labels.Labels | None, folders: Iterable[str]) -> Verdicts | None:
  """What a file of labels says, and the feedback in these folders; None for nothing.

  Raises UserError where feedback is damaged.
  """
  words = {'normal': 0, 'anomaly': 1}
  said = feedback.read(folders)
  by_id = {
    name: words[line['verdict']]
    for name, line in said.items()
    if line['verdict'] in words
  }
  ranges = label_ranges.Ranges([])
  if known:
    by_id |= known.by_id
    ranges = label_ranges.Ranges(known.ranges.ranges)
  return Verdicts(by_id, ranges) if by_id or ranges.ranges else None
