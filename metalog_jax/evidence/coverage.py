"""Kinds of session that labelled anomalies would have shown.

Were a kind anomalous that has the share q of all anomalies, K labelled ones drawn at
random would all be of other kinds with probability (1 - q)^K. A kind of session that is
frequent where anomalies are few is therefore hardly anomalous if none is labelled.

How many anomalies there are is known where labelled ones repeat: those kinds that
labelled anomalies are of have the share 1 - A / K of all anomalies, where A labelled
ones are alone of their kind (Good's coverage; here Beta(K - A, A + 1) for it), and the
sessions of these kinds are counted.

References:
  Good, The population frequencies of species and the estimation of population
  parameters, Biometrika 1953; Elkan and Noto, Learning classifiers from only positive
  and unlabeled data, KDD 2008 (labelled anomalies as a random sample of all).
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax import lazy

stats = lazy.module('scipy.stats')

LEVELS = (np.arange(10) + 0.5) / 10  # quantiles that stand for a distribution


class Missed(NamedTuple):
  """log P(no labelled anomaly is of a kind, were it anomalous), kinds by their hash."""

  key: np.ndarray  # [V] int64: a kind's hash is the sum of count times key
  kinds: np.ndarray  # [M] int64 hashes, sorted
  values: np.ndarray  # [M] below 0
  own: np.ndarray  # [A] of the labelled anomalies' kinds, with one session left out

  def of(self, counts: Any) -> np.ndarray:
    """[m] of bags [m, V] csr; 0 of kinds that labelled anomalies are of, or unknown."""
    hashes = _hashes(counts, self.key)
    place = np.searchsorted(self.kinds, hashes).clip(0, len(self.kinds) - 1)
    return np.where(self.kinds[place] == hashes, self.values[place], 0.0)


def fit(
  normals: tuple[Any, np.ndarray],
  anomalies: tuple[Any, np.ndarray],
  unlabelled: tuple[Any, np.ndarray],
) -> Missed | None:
  """What K labelled anomalies say of kinds that none of them is of.

  Args:
    normals, anomalies, unlabelled: bags [m, V] csr and sessions of each [m], which the
      labelled ones were drawn from at random.

  Returns:
    None where no two labelled anomalies are alike, so that nobody knows how many
    anomalies there are.
  """
  samples = normals, anomalies, unlabelled
  width = normals[0].shape[1]
  key = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, width)
  hashes = np.concatenate([_hashes(counts, key) for counts, _ in samples])
  kinds, kind = np.unique(hashes, return_inverse=True)
  ends = np.cumsum([len(times) for _, times in samples])[:-1]
  rows = np.split(kind, ends)
  normal, anomalous, rest = (
    np.bincount(row, times, len(kinds)) for row, (_, times) in zip(rows, samples)
  )
  num, alone = anomalous.sum(), (anomalous == 1).sum()
  if alone == num or not rest.sum():
    return None
  # Of a kind that has both labels, so many sessions are not all anomalous.
  known = rest * (anomalous / num > normal / max(normal.sum(), 1))
  values = _missed(rest, known.sum(), num, alone, rest.sum())
  left_out = _missed(rest, known.sum() - known, num - 1, alone - 1, rest.sum())
  own = np.where(anomalous == 1, left_out, 0.0)[rows[1]]
  there = (anomalous == 0) & (values < 0)
  return Missed(key, kinds[there], values[there], own) if there.any() else None


def _missed(rest, known, num: float, alone: float, total: float) -> np.ndarray:
  """[M] log P(`num` labelled anomalies miss a kind of `rest` [M] sessions).

  Args:
    known: sessions of the kinds that labelled anomalies are of, [M] or one number.
    alone: labelled anomalies that are the only ones of their kind.
  """
  if num <= 0 or alone < 0:
    return np.zeros(len(rest))
  share = stats.beta(num - alone, alone + 1).ppf(LEVELS)
  mean = np.zeros(len(rest))
  for level in share:
    anomalies = np.minimum((known + 1) / level, total)
    mean += (anomalies / (anomalies + rest)) ** num / len(share)
  return np.log(np.maximum(mean, 1e-300))


def _hashes(counts: Any, key: np.ndarray) -> np.ndarray:
  """[m] int64, equal for equal bags: sums that wrap around, in whatever order."""
  return np.asarray(counts.astype(np.int64) @ key)
