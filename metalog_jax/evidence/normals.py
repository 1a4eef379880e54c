"""What a session's counts say against it when only normal sessions are known.

Every evidence of a session that is itself among the normals is measured with one copy
of it left out, so that no session vouches for itself.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

MOST = 8_000  # different normal bags that distances are taken to: the most frequent
CALIBRATION = 3_000  # of them, at most, are measured with one left out
CELLS = 1 << 22  # numbers of one block of dense work: 32 MiB
NAMES = ('new', 'distance', 'range', 'absent', 'deviation', 'length')


class Normals(NamedTuple):
  """The normal sessions, summed up; R different bags of V events."""

  counts: Any  # [R, V] csr
  times: np.ndarray  # [R] sessions with each bag
  total: float  # N sessions
  logs: Any  # [R', V] log(1 + count) of the first R' bags, dense or csr
  lengths: np.ndarray  # [R] events of each bag
  holders: np.ndarray  # [V] sessions that have an event
  low: np.ndarray  # [V] smallest count
  high: np.ndarray  # [V] largest count
  alone_low: np.ndarray  # [V] bool: one session alone has the smallest
  alone_high: np.ndarray  # [V] bool
  rises: np.ndarray  # [V] -log share of normals above their nearest in the event
  falls: np.ndarray  # [V] below it


class Measured(NamedTuple):
  """Values of m bags, one column for each of NAMES."""

  values: np.ndarray  # [m, len(NAMES)] float64
  nearest: np.ndarray  # [m] index of the nearest normal bag, -1: there is none


def summarize(counts: Any, times: np.ndarray) -> Normals:
  """Sums up normal sessions: counts [R, V] of different bags, sessions of each [R]."""
  order = np.argsort(-times, kind='stable')
  counts, times = sparse.csr_matrix(counts)[order], times[order].astype(np.float64)
  held = counts.sign().T @ times
  total = float(times.sum())
  empty = held < total  # some session lacks the event
  high = counts.max(axis=0).toarray().ravel()
  low = counts.min(axis=0).toarray().ravel()
  logs = counts[:MOST].log1p().astype(np.float32)
  if logs.shape[0] * logs.shape[1] < CELLS * 16:
    logs = logs.toarray()
  entries = counts.tocoo()
  at_high = np.bincount(
    entries.col, times[entries.row] * (entries.data == high[entries.col]), len(held)
  )
  at_low = np.bincount(
    entries.col, times[entries.row] * (entries.data == low[entries.col]), len(held)
  )
  at_low = np.where(empty, total - held, at_low)
  at_high = np.where(high == 0, total, at_high)
  lengths = np.asarray(counts.sum(axis=1)).ravel()
  ends = (low, high, at_low == 1, at_high == 1)
  zero = np.zeros(len(held))
  normals = Normals(counts, times, total, logs, lengths, held, *ends, zero, zero)
  rises, falls = _shares(normals)
  return normals._replace(rises=rises, falls=falls)


def calibration(normals: Normals, seed: int = 0) -> np.ndarray:
  """Indices of the bags that are measured with one copy left out."""
  num = min(len(normals.times), MOST)
  if num <= CALIBRATION:
    return np.arange(num)
  rng = np.random.default_rng([seed, 11])
  return np.sort(rng.choice(num, CALIBRATION, replace=False))


def _shares(normals: Normals) -> tuple[np.ndarray, np.ndarray]:
  """Surprise [V] of a deviation from the nearest normal, upwards and downwards."""
  own = calibration(normals)
  above, below = np.zeros((2, len(normals.holders)))
  weights = normals.times[own]
  for block in blocks(len(own), normals.counts.shape[1]):
    rows, weight = normals.counts[own[block]], weights[block]
    _, nearest = _nearest(normals, rows, own[block])
    difference = differences(normals, rows, nearest)
    above += weight @ (difference > 1e-6)
    below += weight @ (difference < -1e-6)
  surprise = lambda share: -np.log((share + 0.5) / (weights.sum() + 1))
  return surprise(above), surprise(below)


def blocks(num: int, width: int) -> list[slice]:
  """Slices of `num` rows whose dense work fits in CELLS numbers of `width`."""
  step = max(CELLS // max(width, 1), 1)
  return [slice(i, i + step) for i in range(0, num, step)]


def measure(normals: Normals, counts: Any, own: np.ndarray | None = None) -> Measured:
  """Measures bags [m, V] against the normals.

  Args:
    own: [m] which of the normal bags each one is, to leave one copy of it out;
      None: they are other sessions.
  """
  values = np.zeros((counts.shape[0], len(NAMES)))
  nearest = np.full(counts.shape[0], -1)
  width = max(counts.shape[1], normals.logs.shape[0])
  for block in blocks(counts.shape[0], width):
    part = None if own is None else own[block]
    values[block], nearest[block] = _measure(normals, counts[block], part)
  return Measured(values, nearest)


def _measure(normals: Normals, rows: Any, own) -> tuple[np.ndarray, np.ndarray]:
  counts = rows.toarray()
  has, out = counts > 0, int(own is not None)
  distance, nearest = _nearest(normals, rows, own)
  values = [
    (has & (normals.holders - out < 0.5)).sum(1),
    distance,
    outside(normals, counts, own).sum(1),
    missing(normals, has, out).sum(1),
    deviations(normals, rows, nearest).sum(1),
    _odd_length(normals, counts.sum(1), own),
  ]
  return np.stack(values, axis=1), nearest


def _odd_length(normals: Normals, lengths: np.ndarray, own) -> np.ndarray:
  """[m] bool: no normal session, but for one copy of its own, is as short or long."""
  short, long = normals.lengths.min(), normals.lengths.max()
  odd = (lengths < short) | (lengths > long)
  if own is None:
    return odd
  for end in (short, long):
    odd |= (lengths == end) & (normals.times[normals.lengths == end].sum() == 1)
  return odd


def outside(normals: Normals, counts: np.ndarray, own=None) -> np.ndarray:
  """[m, V] whether a count is outside the range of the normals' counts."""
  beyond = (counts < normals.low) | (counts > normals.high)
  if own is None:
    return beyond
  alone = (counts == normals.low) & normals.alone_low
  alone |= (counts == normals.high) & normals.alone_high
  return beyond | (alone & (normals.times[own] == 1)[:, None])


def missing(normals: Normals, has: np.ndarray, out: int = 0) -> np.ndarray:
  """[m, V] -log(1 - share of the normals with it) of each absent usual event."""
  total = normals.total - out
  share = np.minimum(normals.holders + 0.5, total + 0.5) / (total + 1)
  return np.where((share > 0.5) & ~has, -np.log(1 - share), 0.0)


def deviations(normals: Normals, rows: Any, nearest: np.ndarray) -> np.ndarray:
  """[m, V] surprise times sqrt|difference to the nearest normal in log counts|."""
  difference = differences(normals, rows, nearest)
  surprise = np.where(difference > 0, normals.rises, normals.falls)
  return np.where(
    np.abs(difference) > 1e-6, surprise * np.sqrt(np.abs(difference)), 0.0
  )


def differences(normals: Normals, rows: Any, nearest: np.ndarray) -> np.ndarray:
  """[m, V] in log(1 + count) to the nearest normal; to nothing, where there is none."""
  there = nearest >= 0
  others = normals.counts[np.maximum(nearest, 0)].log1p().toarray() * there[:, None]
  return rows.log1p().toarray() - others


def _nearest(normals: Normals, rows: Any, own) -> tuple[np.ndarray, np.ndarray]:
  """Distance [m] in log counts to the nearest normal, and which it is."""
  skip = None
  if own is not None:
    skip = np.where(normals.times[own] == 1, own, -1)
  return search(rows, normals.counts, normals.logs, skip)


def search(
  rows: Any, counts: Any, logs: Any, skip: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Distance [m] in log(1 + count) to the nearest of `logs`, and which that is.

  Args:
    rows: [m, V] csr counts; counts: [R, V], of which `logs` [R', V] are the first.
    skip: [m] the one that is left out for each row; -1: none.

  Returns:
    Distances, 0 where there is none to compare with; indices, -1 there.
  """
  mine = rows.log1p().astype(np.float32)
  products = mine.toarray() @ logs.T if isinstance(logs, np.ndarray) else mine @ logs.T
  products = products if isinstance(products, np.ndarray) else products.toarray()
  squares = (
    np.einsum('rv,rv->r', logs, logs)
    if isinstance(logs, np.ndarray)
    else np.asarray(logs.multiply(logs).sum(axis=1)).ravel()
  )
  far = squares - 2 * products  # |row|^2 is the same for all
  if skip is not None:
    at = np.flatnonzero((skip >= 0) & (skip < logs.shape[0]))
    far[at, skip[at]] = np.inf
  index = far.argmin(axis=1)
  gone = ~np.isfinite(far[np.arange(len(index)), index])
  # Again and exactly: the search rounds, and equal bags must be at distance 0.
  difference = rows.log1p() - counts[index].log1p()
  distance = np.sqrt(np.asarray(difference.multiply(difference).sum(axis=1)).ravel())
  return np.where(gone, 0.0, distance), np.where(gone, -1, index)
