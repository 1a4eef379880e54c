"""Rules of the literature that know a session by its bag of event counts alone.

What fits them is different bags with how many sessions have each, and the figures
are those of a fit on every single session. None reads the label of a test session.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy
from metalog_jax.batches import bags

pairwise = lazy.module('sklearn.metrics.pairwise')

Scores = tuple[np.ndarray, float]  # [U] float64, threshold: anomalous if above

_ROWS = 1024  # bags that are compared with all others at a time
_COMMON = 0.01  # an event with a larger share of the events is not rare
_TUKEY = 1.5  # interquartile ranges between the upper quartile and the fence


class Normals(NamedTuple):
  """The different bags of the normal sessions."""

  counts: Any  # [U, V] scipy.sparse.csr_matrix
  times: np.ndarray  # [U] how many sessions have each

  def quantile(self, values: np.ndarray, share: float) -> float:
    """The value [U] that a share of the sessions has at most."""
    return np.quantile(values, share, weights=self.times, method='inverted_cdf')


def new_event_or_length(normals: Normals, test: Any) -> Scores:
  """How many different events no normal has, and one if none is as short or as long.

  Landauer et al, A critical review of common log data sets, FSE 2024.
  """
  lengths, normal_lengths = _lengths(test), _lengths(normals.counts)
  outside = (lengths < normal_lengths.min()) | (lengths > normal_lengths.max())
  return test.sign() @ ~known_events(normals.counts) + outside, 0.5


def ecvc(normals: Normals, test: Any, or_new: bool = False) -> Scores:
  """Weighted Jaccard distance to the nearest normal, of counts over the length.

  d(a, b) = Σ |a - b| / Σ max(a, b). 99 % of the normals, each judged by the others,
  lie at or below the threshold; the paper's is the best one in hindsight.

  Args:
    or_new: sessions with an event or a length that no normal has are anomalous,
      whatever their distance: 2 is added to it.

  References:
    Landauer et al, FSE 2024: event count vectors, normalized.
  """
  distances = _jaccard(normals.counts, normals.counts, leave_out=True)
  threshold = normals.quantile(np.where(normals.times > 1, 0.0, distances), 0.99)
  scores = _jaccard(test, normals.counts)
  if or_new:
    scores = scores + 2 * (new_event_or_length(normals, test)[0] > 0)
  return scores, threshold


def rarity(normals: Normals, test: Any) -> Scores:
  """Mean of (-ln frequency)³ over the different events of a session.

  The frequency of an event is its share of the normals' events; above 1 % it counts
  as 0, and an event that no normal has counts twice as much as one that occurs once.
  99 % of the normals, each judged by the others, lie at or below the threshold.

  References:
    The rarity model of LogLead (Mäntylä et al, SANER 2024), over different events.
  """
  occurrences = np.asarray(normals.counts.T @ normals.times).ravel()
  rarities = _rarity(normals.counts, occurrences, leave_out=True)
  return _rarity(test, occurrences), normals.quantile(rarities, 0.99)


def match_or_nearest(
  counts: Any, normals: np.ndarray, anomalies: np.ndarray, test: Any
) -> Scores:
  """Share of anomalies among the labelled sessions with the same bag, or else among
  the labelled bags that are nearest by the Jaccard distance of their sets of events.

  At one half a session is anomalous.

  Args:
    counts: [U, V] different bags, of which `normals` [U] sessions are labelled normal
      and `anomalies` [U] anomalous.

  References:
    LightAD (Yu et al, Deep learning or classical machine learning?, ICSE 2024).
  """
  labelled = np.flatnonzero(normals + anomalies)
  normals, anomalies = normals[labelled], anomalies[labelled]
  exact = dict(zip(bags.row_keys(counts[labelled]), anomalies / (normals + anomalies)))
  votes = np.stack([anomalies > normals, normals > anomalies, normals == anomalies])
  shares = votes.T @ [1.0, 0.0, 0.5]
  sets, tested = counts[labelled].sign(), test.sign()
  scores = []
  for rows in _chunks(test.shape[0]):
    common = (tested[rows] @ sets.T).toarray()
    sizes = _lengths(tested[rows])[:, None] + _lengths(sets)
    likeness = np.divide(
      common, sizes - common, out=np.ones_like(common), where=sizes > common
    )
    nearest = likeness == likeness.max(axis=1, keepdims=True)
    scores.append(nearest @ shares / nearest.sum(axis=1))
  keys = bags.row_keys(test)
  pairs = zip(keys, np.concatenate(scores), strict=True)
  return np.array([exact.get(key, score) for key, score in pairs]), np.nextafter(0.5, 0)


def kth_nearest(tested: bags.Bags, share: float) -> Scores:
  """Distance in log(1 + count) to the k-th nearest of the other sessions.

  k is a share of the others, rounded up. The threshold is Tukey's fence, 1.5
  interquartile ranges above the upper quartile. No label is needed at all.

  References:
    Ramaswamy et al, Efficient algorithms for mining outliers, SIGMOD 2000.
  """
  logs = tested.counts.log1p()
  times = np.bincount(tested.inverse, minlength=logs.shape[0])
  k = int(np.ceil(share * (times.sum() - 1)))
  nearest = np.zeros(len(times), np.int64)
  for rows in _chunks(len(times)):
    distances = pairwise.euclidean_distances(logs[rows], logs, squared=True)
    each = np.arange(rows.start, rows.stop)
    distances[each - rows.start, each] = -1  # the other sessions with this very bag
    order = np.argsort(distances, axis=1)
    before = np.cumsum(times[order], axis=1) - 1
    place = np.argmax(before >= k, axis=1)
    nearest[rows] = np.take_along_axis(order, place[:, None], axis=1).ravel()
  scores = bags.row_distances(logs, logs[nearest])  # exactly
  quartiles = [Normals(logs, times).quantile(scores, part) for part in (0.25, 0.75)]
  return scores, quartiles[1] + _TUKEY * (quartiles[1] - quartiles[0])


def known_events(counts: Any) -> np.ndarray:
  """[V] bool: the events that one of the bags [U, V] has."""
  return np.asarray(counts.sum(axis=0)).ravel() > 0


def _lengths(counts: Any) -> np.ndarray:
  return np.asarray(counts.sum(axis=1)).ravel()


def _chunks(num: int) -> Iterator[slice]:
  return (slice(start, min(start + _ROWS, num)) for start in range(0, num, _ROWS))


def _jaccard(rows: Any, others: Any, leave_out: bool = False) -> np.ndarray:
  """[U] the distance of `ecvc` to the nearest of the others.

  With `leave_out`, the others are the rows, and none is its own neighbour; 0 where
  there is no other.
  """
  if leave_out and others.shape[0] < 2:
    return np.zeros(rows.shape[0])
  left, right = _shares(rows), _shares(others)
  by_event, is_filled = right.T.toarray(), _lengths(others) > 0
  nearest = np.zeros(left.shape[0], np.int64)
  for row, (start, stop) in enumerate(zip(left.indptr[:-1], left.indptr[1:])):
    shares = left.data[start:stop, None]
    common = np.minimum(by_event[left.indices[start:stop]], shares).sum(axis=0)
    if start == stop:
      common = common - is_filled  # of no events: nearest to another such one
    if leave_out:
      common[row] = -2
    nearest[row] = common.argmax()
  # Again and exactly: sums round, and equal shares must be at distance 0.
  gaps = _lengths(abs(left - right[nearest]))
  # Σ max(a, b) = (Σ a + Σ b + Σ |a - b|) / 2, and the sums are 1, or 0 without events
  whole = (_lengths(rows) > 0) + (is_filled[nearest] + gaps)
  return np.divide(2 * gaps, whole, out=np.zeros_like(gaps), where=whole > 0)


def _shares(counts: Any) -> Any:
  """[U, V] sparse: counts over the length of the session."""
  shares = counts.astype(np.float64)  # a copy
  shares.data /= np.repeat(_lengths(counts), np.diff(counts.indptr))
  return shares


def _rarity(
  counts: Any, occurrences: np.ndarray, leave_out: bool = False
) -> np.ndarray:
  """[U] the mean of `rarity`; with `leave_out`, without one session of that bag."""
  lengths = np.diff(counts.indptr)
  left_out = counts.data * leave_out
  seen = occurrences[counts.indices] - left_out
  total = occurrences.sum() - np.repeat(_lengths(counts) * leave_out, lengths)
  total = np.maximum(total, 1)
  share = np.maximum(seen, 1) / total
  weights = np.where(seen > 0, share <= _COMMON, 2.0)
  terms = weights * (-np.log(share)) ** 3
  row = np.repeat(np.arange(len(lengths)), lengths)
  sums = np.bincount(row, terms, len(lengths))
  return sums / np.maximum(lengths, 1)
