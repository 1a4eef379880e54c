"""What a session's counts say against it when only normal sessions are known.

Each value is a sum over events, so that it can say which it comes from. Every session
that is itself among the normals is measured with one copy of it left out, so that no
session vouches for itself.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from metalog_jax.evidence import nearest as nearest_lib

ROWS = 1 << 12  # measured at a time
CALIBRATION = 3_000  # different normal bags, at most, that are measured with one out
NAMES = ('new', 'distance', 'range', 'absent', 'deviation', 'length')


class Normals(NamedTuple):
  """The normal sessions, summed up; R different bags of V events."""

  counts: Any  # [R, V] csr, the most frequent first
  times: np.ndarray  # [R] sessions with each bag
  total: float  # N sessions
  bags: nearest_lib.Index  # of the counts
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
  distances: np.ndarray  # [m] to it, 0 where there is none


class Shares(NamedTuple):
  """Summands [n] of a value: which bag, which event, how much."""

  bag: np.ndarray
  event: np.ndarray
  value: np.ndarray

  def sums(self, num: int) -> np.ndarray:
    """[num] the value of each bag."""
    return np.bincount(self.bag, self.value, num)


def summarize(counts: Any, times: np.ndarray) -> Normals:
  """Sums up normal sessions: counts [R, V] of different bags, sessions of each [R].

  `rises` and `falls` are 0: see `calibrated`.
  """
  order = nearest_lib.frequent_first(times)
  counts, times = sparse.csr_matrix(counts)[order], times[order].astype(np.float64)
  counts.sort_indices()
  held = counts.sign().T @ times
  total = float(times.sum())
  empty = held < total  # some session lacks the event
  high = counts.max(axis=0).toarray().ravel()
  low = counts.min(axis=0).toarray().ravel()
  event, times_each = counts.indices, np.repeat(times, np.diff(counts.indptr))
  sessions_at = lambda end: np.bincount(
    event, times_each * (counts.data == end[event]), len(held)
  )
  at_low = np.where(empty, total - held, sessions_at(low))
  at_high = np.where(high == 0, total, sessions_at(high))
  lengths = np.asarray(counts.sum(axis=1)).ravel()
  ends = (low, high, at_low == 1, at_high == 1)
  bags, zero = nearest_lib.index(counts), np.zeros(len(held))
  return Normals(counts, times, total, bags, lengths, held, *ends, zero, zero)


def calibration(normals: Normals, seed: int = 0) -> np.ndarray:
  """Indices of the bags that are measured with one copy left out."""
  num = min(len(normals.times), nearest_lib.MOST)
  if num <= CALIBRATION:
    return np.arange(num)
  rng = np.random.default_rng([seed, 11])
  return np.sort(rng.choice(num, CALIBRATION, replace=False))


def calibrated(
  normals: Normals, own: np.ndarray
) -> tuple[Normals, Measured, np.ndarray]:
  """The normals with `rises` and `falls`, and the bags `own` [n] with one left out.

  The surprise of a deviation from the nearest normal at an event is -log of the share
  of the normals that deviate there likewise. Third come deviations and what is absent
  [n, 2] as those of new sessions would be: where one deviates it is not among those
  that do, and what it alone lacks all normals have.
  """
  rows, weights = normals.counts[own], normals.times[own]
  nearest = nearest_lib.search(normals.bags, rows, _skipped(normals, own))
  difference = nearest_lib.differences(normals.bags, rows, nearest)
  weight = np.repeat(weights, np.diff(difference.indptr))

  event, data = difference.indices, difference.data
  above, below = (
    np.bincount(event, weight * x, rows.shape[1]) for x in (data > 0, data < 0)
  )
  surprise = lambda held: -np.log((held + 0.5) / (weights.sum() + 1))
  others = np.where(data > 0, above[event], below[event]) - 1  # no copy of it deviates
  alone = np.repeat(np.arange(len(own)), np.diff(difference.indptr))
  fresh = np.bincount(alone, surprise(others) * np.sqrt(np.abs(data)), len(own))
  all_but_one = normals.holders == normals.total - 1
  full = normals._replace(holders=normals.holders + all_but_one)
  absent = _missing(full, rows, 0).sums(len(own))
  normals = normals._replace(rises=surprise(above), falls=surprise(below))
  measured = measure(normals, rows, own, nearest)
  return normals, measured, np.column_stack([fresh, absent])


def measure(
  normals: Normals,
  counts: Any,
  own: np.ndarray | None = None,
  known: np.ndarray | None = None,
) -> Measured:
  """Measures bags [m, V] against the normals.

  Args:
    own: [m] which of the normal bags each one is, to leave one copy of it out;
      None: they are other sessions.
    known: [m] the nearest normal bags, where they are known.
  """
  values = np.zeros((counts.shape[0], len(NAMES)))
  nearest = np.full(len(values), -1)
  for start in range(0, len(values), ROWS):
    part = slice(start, start + ROWS)
    rows, given = counts[part], [None if x is None else x[part] for x in (own, known)]
    shares, nearest[part] = contributions(normals, rows, *given)
    columns = [shares[name].sums(rows.shape[0]) for name in NAMES[:-1]]
    columns[1] = np.where(nearest[part] < 0, 0.0, np.sqrt(columns[1]))
    lengths = np.asarray(rows.sum(axis=1)).ravel()
    columns.append(_odd_length(normals, lengths, given[0]))
    values[part] = np.stack(columns, axis=1)
  return Measured(values, nearest, values[:, 1].copy())


def contributions(
  normals: Normals,
  counts: Any,
  own: np.ndarray | None = None,
  known: np.ndarray | None = None,
) -> tuple[dict[str, Shares], np.ndarray]:
  """Summands of each value but the length, of the squared distance; nearest bags [m].

  Arguments are those of `measure`.
  """
  nearest = known
  if nearest is None:
    nearest = nearest_lib.search(normals.bags, counts, _skipped(normals, own))
  out = int(own is not None)
  bag = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
  new = normals.holders[counts.indices] - out < 0.5
  difference = nearest_lib.differences(normals.bags, counts, nearest)
  event, data = difference.indices, difference.data
  differs = np.repeat(np.arange(counts.shape[0]), np.diff(difference.indptr))
  surprise = np.where(data > 0, normals.rises[event], normals.falls[event])
  return {
    'new': Shares(bag[new], counts.indices[new], np.ones(new.sum())),
    'distance': Shares(differs, event, data**2),
    'range': _outside(normals, counts, bag, own),
    'absent': _missing(normals, counts, out),
    'deviation': Shares(differs, event, surprise * np.sqrt(np.abs(data))),
  }, nearest


def _skipped(normals: Normals, own: np.ndarray | None) -> np.ndarray | None:
  """[m] the bags that leaving one session out leaves out altogether; -1: none."""
  return None if own is None else np.where(normals.times[own] == 1, own, -1)


def _odd_length(normals: Normals, lengths: np.ndarray, own) -> np.ndarray:
  """[m] bool: no normal session, but for one copy of its own, is as short or long."""
  short, long = normals.lengths.min(), normals.lengths.max()
  odd = (lengths < short) | (lengths > long)
  if own is None:
    return odd
  for end in (short, long):
    odd |= (lengths == end) & (normals.times[normals.lengths == end].sum() == 1)
  return odd


def _outside(normals: Normals, counts: Any, bag: np.ndarray, own) -> Shares:
  """1 for each count outside the range of the normals' counts, 0 among them."""
  low, high = normals.low, normals.high
  single = np.zeros(counts.shape[0], bool)
  alone_low, alone_high = np.zeros((2, len(low)), bool)
  if own is not None:
    single = normals.times[own] == 1
    alone_low, alone_high = normals.alone_low, normals.alone_high

  def beyond(count, event, single):
    alone = (count == low[event]) & alone_low[event]
    alone |= (count == high[event]) & alone_high[event]
    return (count < low[event]) | (count > high[event]) | (alone & single)

  is_out = beyond(counts.data, counts.indices, single[bag])
  lowest = (low > 0) | alone_low | (alone_high & (high == 0))
  absent, events = _absent(counts, np.flatnonzero(lowest))
  gone = beyond(0, events, single[absent])
  bags = np.concatenate([bag[is_out], absent[gone]])
  events = np.concatenate([counts.indices[is_out], events[gone]])
  return Shares(bags, events, np.ones(len(bags)))


def _missing(normals: Normals, counts: Any, out: int) -> Shares:
  """-log(1 - share of the normals with it) of each absent usual event."""
  total = normals.total - out
  share = np.minimum(normals.holders + 0.5, total + 0.5) / (total + 1)
  absent, events = _absent(counts, np.flatnonzero(share > 0.5))
  return Shares(absent, events, -np.log(1 - share[events]))


def _absent(counts: Any, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Pairs (bag, event) of those `events` that bags lack."""
  bag, place = np.nonzero(counts[:, events].toarray() == 0)
  return bag, events[place]
