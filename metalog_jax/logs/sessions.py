"""Lines to sessions."""

import numpy as np

from metalog_jax import types


def hashes(sessions: types.Sessions) -> np.ndarray:
  """A 64-bit hash of every event sequence, [S] uint64: equal sequences, equal hash.

  The sum over positions of a mixed (event, position), as in splitmix64.
  """
  lengths = sessions.lengths
  starts = np.repeat(sessions.offsets[:-1], lengths)
  position = np.arange(len(sessions.events), dtype=np.int64) - starts
  mixed = position.astype(np.uint64) << np.uint64(32)
  mixed += sessions.events.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
  for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
  mixed ^= mixed >> np.uint64(31)
  total = np.concatenate([[0], np.cumsum(mixed, dtype=np.uint64)]).astype(np.uint64)
  return total[sessions.offsets[1:]] - total[sessions.offsets[:-1]]
