"""Ways to set a decision threshold, none of which looks at a test label.

Each takes the scores it may use and nothing else. A verdict is `score > threshold`.
"""

import numpy as np

from metalog_jax import errors


def normal_quantile(scores, share: float = 0.99) -> float:
  """The lowest of the scores [S] of normal sessions that at most 1 - share lie above.

  Take scores of sessions that the model was not fitted on, or they are too low.

  Raises:
    UserError: there are no scores, or `share` is no share.
  """
  scores = np.asarray(scores, np.float64)
  if not len(scores):
    raise errors.UserError('no normal validation session to set a threshold by')
  if not 0 <= share <= 1:
    raise errors.UserError(f'a share of {share} normals is not between 0 and 1')
  return float(np.quantile(scores, share, method='inverted_cdf'))


def alert_rate(scores, rate: float) -> float:
  """The threshold that at most `rate` of the scores [S] of unlabelled sessions exceed.

  Raises:
    UserError: there are no scores, or `rate` is no share.
  """
  if not 0 <= rate <= 1:
    raise errors.UserError(
      f'an alert rate of {rate} is not between 0 and 1 (--alert_rate)'
    )
  if not len(scores):
    raise errors.UserError('no session to set the threshold of --alert_rate by')
  return normal_quantile(scores, 1 - rate)
