"""Sessions against those of a good run.

The evidences are those of `unlabelled`, taken against the good sessions alone: the
distance of their crowd, the rarest event among them, and `one_class`; an event that is
alarming and rare among them counts by itself. Each good session is scored with itself
left out, so that a session like them exceeds their quantile as rarely as it says.

References:
  Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005 (conformal
  prediction; leaving one out: Barber et al., Predictive inference with the jackknife+,
  Annals of Statistics 2021).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from metalog_jax.evidence import nearest, one_class, pvalues
from metalog_jax.evidence.unlabelled import BULK_WEIGHTS, WEIGHTS, crowd_distances

_USUAL = 0.01  # share of the sessions with an event, below which it is wholly unusual


class Against(NamedTuple):
  """U different bags, N good sessions."""

  scores: np.ndarray  # [U] of a session with this bag that is not among the good
  calibration: np.ndarray  # [N] of each good session, itself left out


def against(counts: Any, good: np.ndarray, alarm: np.ndarray) -> Against:
  """Scores bags against good sessions.

  Args:
    counts: [U, V] how often each event is in each bag, csr; all bags different.
    good: int [N], the bag of each good session.
    alarm: [V] what an event adds to a score that no good session has.
  """
  weights = np.bincount(good, minlength=counts.shape[0]).astype(np.float64)
  others = np.flatnonzero(weights)
  known, times = counts[others], weights[others]
  crowd = crowd_distances(known, known, times, own=1)
  usual = pvalues.quantile(crowd, times, 0.9)
  held = known.sign().T @ times

  def first(rows: Any, distances: np.ndarray, own: int) -> np.ndarray:
    total = times.sum() - own
    rarity = -np.log(np.maximum(held - own, 0.5) / total)
    rarest = (rows.sign() @ sparse.diags(rarity)).max(axis=1).toarray().ravel()
    far = np.log((distances + one_class.SOFT) / (usual + one_class.SOFT))
    return np.stack([far, rarest], axis=1) @ np.array(WEIGHTS)

  model = one_class.fit(known, times)
  measured = one_class.features(model, model.measure(counts).values)
  own = measured[others]
  rows = nearest.frequent_first(times)[model.rows]
  own[rows] = one_class.features(model, model.values, own=True)
  bulk_weights = np.zeros(measured.shape[1])  # of order, which bags lack, nothing
  bulk_weights[: len(BULK_WEIGHTS)] = BULK_WEIGHTS
  distances = crowd_distances(counts, known, times)
  scores = first(counts, distances, 0) + measured @ bulk_weights
  scores += alarms(counts, held / times.sum(), alarm)
  left_out = first(known, crowd, 1) + own @ bulk_weights
  left_out += alarms(known, np.maximum(held - 1, 0) / (times.sum() - 1), alarm)
  calibration = np.zeros(len(weights))
  calibration[others] = left_out
  return Against(scores, calibration[good])


def alarms(counts: Any, share: np.ndarray, alarm: np.ndarray) -> np.ndarray:
  """[U] the highest alarm [V] of a bag's events, less the larger their share [V]."""
  rarity = np.log(np.maximum(share, _USUAL)) / np.log(_USUAL)
  return (counts.sign() @ sparse.diags(alarm * rarity)).max(axis=1).toarray().ravel()
