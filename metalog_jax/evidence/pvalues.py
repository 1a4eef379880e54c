"""Conformal p-values: how rarely a normal session looks at least as odd."""

import numpy as np


def exceeding(
  values: np.ndarray, reference: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """[m] weight of the reference [n] that is at least as large as each value."""
  order = np.argsort(reference, kind='stable')
  below = np.concatenate([[0.0], np.cumsum(weights[order])])
  return below[-1] - below[np.searchsorted(reference[order], values, 'left')]


def surprise(values, reference, weights, own: bool = False) -> np.ndarray:
  """-log p in nats [m], p = (#{normals >= value} + 1/2) / (N + 1/2).

  Args:
    reference: [n] of the normals, each with itself left out; weights: [n] sessions.
    own: the values are the reference's, none of which counts for itself.
  """
  total = weights.sum() - own
  num = exceeding(values, reference, weights) - own
  return -np.log((np.maximum(num, 0) + 0.5) / (total + 0.5))


def beyond(values, reference, weights, own: bool = False) -> np.ndarray:
  """[m] by how much values exceed all normals'.

  Arguments are as in `surprise`, but for those that are `own`: they may differ from the
  reference's, whose own values do not count.
  """
  limit = reference.max(initial=0.0)
  top = reference == limit
  if own and weights[top].sum() == 1:
    limit = np.where(top, reference[~top].max(initial=0.0), limit)
  return np.maximum(values - limit, 0.0)


def p_values(values, reference, weights) -> np.ndarray:
  """p [m] = (1 + #{normals >= value}) / (N + 1): valid for exchangeable sessions.

  Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005.
  """
  return (1 + exceeding(values, reference, weights)) / (1 + weights.sum())


def quantile(values, weights, share: float) -> float:
  """The lowest value with at least `share` of the weight at or below it; -inf: none."""
  if not len(values):
    return -np.inf
  order = np.argsort(values, kind='stable')
  total = np.cumsum(weights[order])
  place = np.searchsorted(total, share * total[-1] * (1 - 1e-12))
  return float(values[order][min(place, len(values) - 1)])
