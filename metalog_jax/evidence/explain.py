"""Which events an evidence comes from."""

from typing import Any

import numpy as np

from metalog_jax.evidence import labels, one_class, reference
from metalog_jax.evidence import normals as normal_lib


def event_shares(fitted: reference.Reference, counts: Any) -> np.ndarray:
  """[len(reference.NAMES), m, V]: the share of each event in each evidence.

  New events, those outside the range, those absent, the differences to the nearest
  normal, and for trees these differences times what the trees make of the event. Shares
  sum to 1; where an evidence has no event to name, they are 0.
  """
  model = fitted.model
  measured = normal_lib.measure(model.normals, counts)
  dense = counts.toarray()
  has = dense > 0
  new = (has & (model.normals.holders == 0)).astype(float)
  differences = normal_lib.differences(model.normals, counts, measured.nearest) ** 2
  told = differences
  if fitted.anomalies is not None:
    weight = np.zeros(dense.shape[1])
    weight[fitted.anomalies.events] = fitted.anomalies.models[1].feature_importances_
    told = differences * weight
    told = np.where(told.any(axis=1, keepdims=True), told, differences)
  values = dict.fromkeys(labels.NAMES, told) | {
    'new_events': new,
    'new_number': new,
    'distance': differences,
    'range': normal_lib.outside(model.normals, dense).astype(float),
    'absent': normal_lib.missing(model.normals, has),
    'deviation': normal_lib.deviations(model.normals, counts, measured.nearest),
  }
  stacked = np.stack([values[name] for name in (*one_class.NAMES, *labels.NAMES)])
  total = stacked.sum(axis=2, keepdims=True)
  return np.divide(stacked, total, out=np.zeros_like(stacked), where=total > 0)
