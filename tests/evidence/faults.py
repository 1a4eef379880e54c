"""Sessions with a few kinds of faults."""

import numpy as np

from metalog_jax import evidence


def kinds_of_faults(labelled):
  """30 normals, an anomaly with each of the other events `labelled`, 306 to be judged.

  Returns the fit, what is to be judged, and the other event [m] of each (-1: none).
  """
  usual = lambda num: np.pad(rng.poisson([3, 4, 5], (num, 3)), ((0, 0), (0, 6)))
  rng = np.random.default_rng(0)
  rest, fault = usual(306), np.repeat([-1, 0, 1, 2], [300, 2, 2, 2])
  rest[fault >= 0, 3 + fault[fault >= 0]] = 3
  anomalies = usual(len(labelled)) + 3 * np.eye(9)[3 + np.array(labelled)]
  samples = [evidence.Sample.of(x) for x in (usual(30), anomalies, rest)]
  return evidence.fit(*samples), samples[2], fault
