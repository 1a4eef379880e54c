"""Which events an evidence comes from."""

from typing import Any

import numpy as np

from metalog_jax.evidence import evidences, reference
from metalog_jax.evidence import normals as normal_lib


def event_shares(fitted: reference.Reference, counts: Any) -> np.ndarray:
  """[len(evidences.NAMES), m, V]: the share of each event in each evidence.

  What an event adds to the value; for trees the squared difference to the nearest
  normal times what the trees make of the event. Shares sum to 1; where an evidence has
  no event to name, they are 0.
  """
  summands, _ = normal_lib.contributions(fitted.model.normals, counts)
  dense = {}
  for name, (bag, event, value) in summands.items():
    dense[name] = np.zeros(counts.shape)
    np.add.at(dense[name], (bag, event), value)
  nothing = np.zeros(counts.shape)
  learned = dense['distance']
  if fitted.anomalies is not None:
    weight = np.zeros(counts.shape[1])
    weight[fitted.anomalies.events] = fitted.anomalies.models[1].importances
    weighed = learned * weight
    learned = np.where(weighed.any(axis=1, keepdims=True), weighed, learned)
  stacked = np.stack(
    [
      learned if evidence.labelled else dense.get(evidence.measured, nothing)
      for evidence in evidences.TABLE
    ]
  )
  total = stacked.sum(axis=2, keepdims=True)
  return np.divide(stacked, total, out=np.zeros_like(stacked), where=total > 0)
