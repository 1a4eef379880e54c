"""Evidences that need normal sessions alone, on scales that all systems share."""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax.evidence import normals as normal_lib
from metalog_jax.evidence import pvalues

SOFT = 0.25  # of distances: below it two sessions are alike


class OneClass(NamedTuple):
  """The normals, and what they show of themselves with one left out."""

  normals: normal_lib.Normals
  rows: np.ndarray  # [n] the bags that calibrate
  weights: np.ndarray  # [n] sessions of each
  values: np.ndarray  # [n, len(normal_lib.NAMES)] with one left out
  nearest: np.ndarray  # [n]


NAMES = ('new_events', 'new_number', 'distance', 'range', 'absent', 'deviation')


def fit(counts: Any, times: np.ndarray) -> OneClass:
  """Sums up normal sessions: different bags [R, V], sessions of each [R]."""
  normals = normal_lib.summarize(counts, times)
  rows = normal_lib.calibration(normals)
  normals, measured = normal_lib.calibrated(normals, rows)
  return OneClass(normals, rows, normals.times[rows], *measured)


def features(model: OneClass, values: np.ndarray, own: bool = False) -> np.ndarray:
  """Measured values [m, len(normals.NAMES)] as evidences [m, len(NAMES)].

  Args:
    own: the values are the model's own: each with itself left out.
  """
  new, distance, outside, absent, deviation, _ = values.T
  of = lambda i, x: pvalues.surprise(x, model.values[:, i], model.weights, own)
  usual = pvalues.quantile(model.values[:, 1], model.weights, 0.9)
  return np.stack(
    [
      of(0, new),
      np.log1p(new),
      np.log((distance + SOFT) / (usual + SOFT)),
      of(2, outside),
      of(3, absent),
      of(4, deviation),
    ],
    axis=1,
  )
