"""Evidences that need normal sessions alone, on scales that all systems share."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from metalog_jax.evidence import evidences, pvalues
from metalog_jax.evidence import nearest as nearest_lib
from metalog_jax.evidence import normals as normal_lib

SOFT = 0.25  # of distances: below it two sessions are alike
RARE = 1 / 1000  # p-value from which on what is beside counts is evidence
NAMES = (*evidences.COUNTED, *evidences.BESIDE)
MEASURED = (*normal_lib.NAMES, *evidences.BESIDE)


class OneClass(NamedTuple):
  """The normals, and what they show of themselves with one left out."""

  normals: normal_lib.Normals
  rows: np.ndarray  # [n] the bags that calibrate
  weights: np.ndarray  # [n] sessions of each
  values: np.ndarray  # [n, len(MEASURED)] with one left out
  nearest: np.ndarray  # [n]
  distances: np.ndarray  # [n] to it
  without: frozenset[str]  # evidences that are off
  fresh: np.ndarray  # [n, 2] as if new: deviations, absences; see `normals.calibrated`

  def measure(
    self, counts: Any, beside: np.ndarray | None = None
  ) -> normal_lib.Measured:
    """Measures bags [m, V], and values beside counts [m, len(evidences.BESIDE)].

    Returns:
      `Measured` with values [m, len(MEASURED)]; 0 of what no evidence uses.
    """
    measured = normal_lib.measure(self.normals, counts)
    return measured._replace(values=_used(measured.values, beside, self.without))


def fit(
  counts: Any,
  times: np.ndarray,
  beside: np.ndarray | None = None,
  without: Collection[str] = (),
) -> OneClass:
  """Sums up normal sessions: different kinds [R, V], sessions of each [R].

  Args:
    beside: [R, len(evidences.BESIDE)] measured beside counts, each with itself out.
    without: names of evidences that are off.
  """
  off = frozenset(without)
  normals = normal_lib.summarize(counts, times)
  rows = normal_lib.calibration(normals)
  normals, measured, fresh = normal_lib.calibrated(normals, rows)
  if beside is not None:
    beside = beside[nearest_lib.frequent_first(times)[rows]]
  measured = measured._replace(values=_used(measured.values, beside, off))
  return OneClass(normals, rows, normals.times[rows], *measured, off, fresh)


def _used(
  values: np.ndarray, beside: np.ndarray | None, without: frozenset[str]
) -> np.ndarray:
  """[m, len(MEASURED)]; 0 of what no evidence uses."""
  if beside is None:
    beside = np.zeros((len(values), len(evidences.BESIDE)))
  both = np.concatenate([values, beside], axis=1)
  both[:, [name in evidences.unused(without) for name in MEASURED]] = 0.0
  return both


def as_new(model: OneClass, features: np.ndarray) -> np.ndarray:
  """The normals' evidences [n, len(NAMES)], had they been new sessions.

  A normal's deviation is one of those that make it less surprising, a new session's is
  not, so that one that deviates alone has a higher value than normals that do. So has
  one that alone lacks an event: all normals have it.
  """
  known = dict(zip(MEASURED, model.values.T, strict=True))
  fresh = dict(zip(('deviation', 'absent'), model.fresh.T, strict=True))
  out = features.copy()
  for name, value in fresh.items():
    others = pvalues.exceeding(value, known[name], model.weights)
    others -= known[name] >= value  # itself
    surprise = -np.log((others + 0.5) / (model.weights.sum() - 0.5))
    out[:, NAMES.index(name)] = surprise
  gone = pvalues.beyond(fresh['absent'], known['absent'], model.weights, own=True)
  out[:, NAMES.index('gone')] = np.log1p(gone)
  return out


def features(model: OneClass, values: np.ndarray, own: bool = False) -> np.ndarray:
  """Measured values [m, len(MEASURED)] as evidences [m, len(NAMES)].

  Args:
    own: the values are the model's own: each with itself left out.
  """
  raw = dict(zip(MEASURED, values.T, strict=True))
  normal = dict(zip(MEASURED, model.values.T, strict=True))

  def surprise(name: str) -> np.ndarray:
    return pvalues.surprise(raw[name], normal[name], model.weights, own)

  usual = pvalues.quantile(normal['distance'], model.weights, 0.9)
  every = {
    'new_events': surprise('new'),
    'new_number': np.log1p(raw['new']),
    'distance': np.log((raw['distance'] + SOFT) / (usual + SOFT)),
  }
  every |= {name: surprise(name) for name in ('range', 'absent', 'deviation')}
  gone = pvalues.beyond(raw['absent'], normal['absent'], model.weights, own)
  every['gone'] = np.log1p(gone)
  for name in evidences.BESIDE:
    value = surprise(name)
    every[name] = np.where(value > -np.log(RARE), value, 0.0)
  return np.stack([every[name] * (name not in model.without) for name in NAMES], axis=1)
