"""Small systems for tests."""

import numpy as np

from metalog_jax import types


def sessions(rows: list[list[int]], labels=None) -> types.Sessions:
  lengths = [len(row) for row in rows]
  num = len(rows)
  return types.Sessions(
    ids=np.array([f's{i}' for i in range(num)], object),
    times=np.arange(num, dtype=float),
    events=np.array([e for row in rows for e in row], np.int32),
    offsets=np.cumsum([0, *lengths]).astype(np.int64),
    labels=np.zeros(num, np.int8) if labels is None else np.array(labels, np.int8),
    first_lines=np.zeros(num, np.int64),
    last_lines=np.zeros(num, np.int64),
  )
