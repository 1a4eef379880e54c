"""Labelled or unlabelled sessions as their different kinds."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from metalog_jax.evidence import evidences


class Sample(NamedTuple):
  """Different kinds of session, bags and what is beside them; sessions of each."""

  counts: Any  # [U, V] csr float64
  times: np.ndarray  # [U] float64
  beside: np.ndarray  # [U, len(evidences.BESIDE)] what was measured beside counts

  @classmethod
  def of(
    cls,
    counts: Any,
    times: np.ndarray | None = None,
    beside: np.ndarray | None = None,
  ) -> 'Sample':
    counts = sparse.csr_matrix(counts, dtype=np.float64)
    times = np.ones(counts.shape[0]) if times is None else np.asarray(times, float)
    if beside is None:
      beside = np.zeros((len(times), len(evidences.BESIDE)))
    there = times > 0
    return cls(counts[there], times[there], beside[there])


def halves(sample: Sample, seed: int) -> tuple[Sample, Sample]:
  """Deals sessions at random to two halves; the first has one at least."""
  rng = np.random.default_rng([seed, 13])
  each = rng.permutation(
    np.repeat(np.arange(len(sample.times)), sample.times.astype(int))
  )
  num = (len(each) + 1) // 2
  parts = (
    np.bincount(x, minlength=len(sample.times)) for x in (each[:num], each[num:])
  )
  first, second = (Sample.of(sample.counts, times, sample.beside) for times in parts)
  return first, second
