"""Ways to set a decision threshold, none of which looks at a test label.

Each takes the scores it may use and nothing else. A verdict is `score > threshold`.
"""

import numpy as np

from metalog_jax import errors


def fixed(value: float = 0.5) -> float:
  """Uses no data: the threshold of a score that is a probability."""
  return float(value)


def best_f1(labels, scores, weights=None) -> float:
  """Uses validation scores [S] and their labels: the cut of the highest F1.

  The threshold lies halfway between the two scores that the cut parts; of equally
  good cuts the one through the widest gap is taken. Unlabelled (-1) are left out.

  Raises:
    UserError: no anomaly among the labels, so that no cut has an F1.
  """
  labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
  weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
  known = labels >= 0
  labels, scores, weights = labels[known] == 1, scores[known], weights[known]
  if weights[labels].sum() == 0:
    raise errors.UserError(
      'no anomaly among the validation labels to set a threshold by'
    )
  levels, level = np.unique(scores, return_inverse=True)
  above = lambda kept: np.cumsum(  # at or above each level, lowest level first
    np.bincount(level, np.where(kept, weights, 0.0), len(levels))[::-1]
  )[::-1]
  hits, alarms = above(labels), above(~labels)
  f1 = 2 * hits / (hits + alarms + hits[0])  # cut just below each level
  below = np.concatenate([[np.nextafter(levels[0], -np.inf)], levels[:-1]])
  best = np.flatnonzero(f1 >= f1.max() * (1 - 1e-12))
  cut = best[np.argmax((levels - below)[best])]
  return _between(below[cut], levels[cut])


def normal_quantile(scores, share: float = 0.99, weights=None) -> float:
  """Uses scores [S] of sessions known to be normal: at most 1 - share lie above.

  The lowest of the scores that does it; take scores of sessions that the model was
  not fitted on, or they are too low.
  """
  scores = np.asarray(scores, np.float64)
  if not len(scores):
    raise errors.UserError('no normal validation session to set a threshold by')
  if not 0 <= share <= 1:
    raise errors.UserError(f'a share of {share} normals is not between 0 and 1')
  return float(np.quantile(scores, share, method='inverted_cdf', weights=weights))


def alert_rate(scores, rate: float, weights=None) -> float:
  """Uses scores [S] of unlabelled sessions: alerts on at most `rate` of them."""
  if not 0 <= rate <= 1:
    raise errors.UserError(
      f'an alert rate of {rate} is not between 0 and 1 (--alert_rate)'
    )
  if not len(scores):
    raise errors.UserError('no session to set the threshold of --alert_rate by')
  return normal_quantile(scores, 1 - rate, weights)


def _between(low, high):
  """A number t with low <= t < high, halfway where there is room."""
  middle = low + (high - low) / 2
  return float(middle if middle < high else low)
