"""Sessions as bags of events: how often each event is in them, order forgotten.

Sessions repeat heavily, and more so as bags, so what is computed on bags is
computed once for each different one.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy, types
from metalog_jax.batches import sequences

sparse = lazy.module('scipy.sparse')
neighbors = lazy.module('sklearn.neighbors')

_CHUNK = 4096  # rows of dense [rows, D] work at a time
_DENSE = 1 << 26  # numbers of matrices that may be dense: 512 MiB


class Bags(NamedTuple):
  """The different bags among sessions."""

  counts: Any  # [U, V] float64 scipy.sparse.csr_matrix
  inverse: np.ndarray  # [S] which of the U bags a session has


def bags(sessions: types.Sessions, num_events: int) -> Bags:
  """Count the events of each session and find the different bags."""
  every = sparse.csr_matrix(
    (np.ones(len(sessions.events)), sessions.events, sessions.offsets),
    shape=(sessions.num, num_events),
    copy=True,  # summing works in place, and the events are not ours
  )
  every.sum_duplicates()
  seen: dict[bytes, int] = {}
  inverse = np.fromiter(
    (seen.setdefault(key, len(seen)) for key in row_keys(every)), np.int64, sessions.num
  )
  _, first = np.unique(inverse, return_index=True)
  return Bags(every[first], inverse)


def of_sequences(seqs: sequences.Sequences, num_events: int) -> Bags:
  """The different bags among sessions, as far as a detector reads them."""
  different = bags(types.Sessions.bare(seqs.events, seqs.offsets), num_events)
  return different._replace(inverse=different.inverse[seqs.inverse])


def row_keys(counts: Any) -> Iterator[bytes]:
  """Per row, bytes that are equal only for equal rows (indices must be sorted)."""
  edges = counts.indptr.tolist()
  events = counts.indices.astype(np.int64)  # scipy takes int32 where that is enough
  for a, b in zip(edges, edges[1:], strict=False):
    yield events[a:b].tobytes() + counts.data[a:b].tobytes()


def mean_and_max(counts, vectors: np.ndarray) -> np.ndarray:
  """[U, 2 D]: mean and coordinate-wise maximum of the event vectors of each bag.

  Zero for a session without events.
  """
  lengths = np.asarray(counts.sum(axis=1)).ravel()
  means = (counts @ vectors) / np.maximum(lengths, 1)[:, None]
  maxima = np.zeros_like(means)
  filled = np.flatnonzero(lengths)
  for start in range(0, len(filled), _CHUNK):
    rows = filled[start : start + _CHUNK]
    part = counts[rows]
    maxima[rows] = np.maximum.reduceat(vectors[part.indices], part.indptr[:-1])
  return np.concatenate([means, maxima], axis=1)


def distances(rows: Any, others: Any, leave_out: bool = False) -> np.ndarray:
  """[U] Euclidean distance in log(1 + count) to the nearest of the others.

  With `leave_out`, the others are the rows, and none is its own neighbour; 0 where
  there is no other.
  """
  rows, others = rows.log1p(), others.log1p()
  if leave_out and others.shape[0] < 2:
    return np.zeros(rows.shape[0])
  search = neighbors.NearestNeighbors(n_neighbors=1 + leave_out, algorithm='brute')
  pair = [others, rows]
  if sum(matrix.shape[0] for matrix in pair) * rows.shape[1] < _DENSE:
    pair = [matrix.toarray() for matrix in pair]  # several times faster
  nearest = search.fit(pair[0]).kneighbors(pair[1], return_distance=False)
  if leave_out:
    is_self = nearest[:, 0] == np.arange(len(nearest))
    nearest = np.where(is_self, nearest[:, 1], nearest[:, 0])
  # Again and exactly: the search rounds, and equal bags must be at distance 0.
  return row_distances(rows, others[nearest.ravel()])


def row_distances(rows: Any, others: Any) -> np.ndarray:
  """[U] Euclidean distance of each row [U, V] to the other of the same number."""
  difference = rows - others
  return np.sqrt(np.asarray(difference.multiply(difference).sum(axis=1)).ravel())
