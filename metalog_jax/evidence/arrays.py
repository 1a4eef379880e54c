"""A fitted reference as named arrays, for scoring without this library."""

from typing import Any

import numpy as np

from metalog_jax.evidence import (
  evidences,
  nearest,
  one_class,
  order,
  pvalues,
  reference,
)
from metalog_jax.evidence import normals as normal_lib


def arrays(
  fitted: reference.Reference, transitions: order.Order, place: np.ndarray
) -> dict[str, np.ndarray]:
  """What `runs/export_evidence.py` scores with: name -> array.

  Args:
    place: [V'] the event of the fit that each event of the model's templates is.
  """
  width = len(transitions.known)
  out = {
    'place': place,
    'known': transitions.known > 0,
    'first': transitions.pairs // width,
    'last': transitions.pairs % width,
    'evidence_weights': evidences.weights(fitted.model.without),
  }
  out |= _model('model', fitted.model)
  if fitted.forgiving is not None:
    out |= _model('forgiving', fitted.forgiving)
  if fitted.missed is not None:
    for name in ('key', 'kinds', 'values'):
      out[f'missed.{name}'] = getattr(fitted.missed, name)
  if fitted.anomalies is not None:
    bounded = fitted.later and 'unlike' not in fitted.model.without
    out['labelled'] = np.array(fitted.anomalous.weights.sum() if bounded else np.inf)
    out |= _bags('anomalies', fitted.anomalies.counts)
    out['anomalies.seen'] = fitted.anomalies.events
    for name, forest in zip(('trees', 'event_trees'), fitted.anomalies.models):
      out |= {f'{name}.{x}': array for x, array in forest._asdict().items()}
  return {name: np.asarray(array) for name, array in out.items()}


def _model(prefix: str, model: one_class.OneClass) -> dict[str, np.ndarray]:
  normals = model.normals
  share = np.minimum(normals.holders + 0.5, normals.total + 0.5) / (normals.total + 1)
  unused = evidences.unused(model.without)
  column = normal_lib.NAMES.index('distance')
  out: dict[str, Any] = {
    'holders': normals.holders,
    'low': normals.low,
    'high': normals.high,
    'rises': normals.rises,
    'falls': normals.falls,
    'absences': np.where(share > 0.5, -np.log(1 - share), 0.0),
    'lengths': [normals.lengths.min(), normals.lengths.max()],
    'values': model.values,
    'weights': model.weights,
    'used': [name not in unused for name in one_class.MEASURED],
    'usual': pvalues.quantile(model.values[:, column], model.weights, 0.9),
  }
  named = {f'{prefix}.{name}': np.asarray(array) for name, array in out.items()}
  return named | _bags(prefix, normals.counts)


def _bags(prefix: str, counts: Any) -> dict[str, np.ndarray]:
  """The bags that can be the nearest."""
  first = counts[: nearest.MOST]
  parts = {'counts': first.data, 'events': first.indices, 'offsets': first.indptr}
  return {f'{prefix}.{name}': array for name, array in parts.items()}
