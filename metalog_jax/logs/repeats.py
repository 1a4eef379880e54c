"""What a block holds several times, once: distinct texts, and distinct numbers."""

import numpy as np
import polars as pl


def encode(texts: pl.Series) -> tuple[list[str], np.ndarray]:
  """Distinct texts in order of appearance, and each text's index into them [N]."""
  distinct = texts.unique(maintain_order=True)
  codes = texts.cast(pl.Enum(distinct)).to_physical().to_numpy()
  return distinct.to_list(), codes


def mixed(x: np.ndarray) -> np.ndarray:
  """uint64 of which every bit depends on all of x's (the finalizer of SplitMix64)."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def numbers(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Distinct keys, ascending, and the index of each into them; nothing is sorted where
  the keys lie close together.

  Args:
    keys: [N] int64, 0 or above.

  Returns:
    As `numpy.unique(keys, return_inverse=True)`.
  """
  space = int(keys.max(initial=-1)) + 1
  if space > 8 * len(keys) + 1024:
    return np.unique(keys, return_inverse=True)
  present = np.zeros(space, bool)
  present[keys] = True
  distinct = np.flatnonzero(present)
  place = np.zeros(space, np.int64)
  place[distinct] = np.arange(len(distinct))
  return distinct, place[keys]
