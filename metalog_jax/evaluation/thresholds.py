"""The decision threshold of a rate of alerts; no test label is looked at.

A verdict is `score > threshold`.
"""

import numpy as np

from metalog_jax import errors


def alert_rate(scores, rate: float) -> float:
  """The lowest of the scores [S] of unlabelled sessions that at most `rate` are above.

  Raises:
    UserError: there are no scores, or `rate` is no share.
  """
  if not 0 <= rate <= 1:
    raise errors.UserError(
      f'an alert rate of {rate} is not between 0 and 1 (--alert_rate)'
    )
  scores = np.asarray(scores, np.float64)
  if not len(scores):
    raise errors.UserError('no session to set the threshold of --alert_rate by')
  return float(np.quantile(scores, 1 - rate, method='inverted_cdf'))
