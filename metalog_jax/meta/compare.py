"""How far one gradient is from another: direction, length, and both by part.

Enters: two pytrees of one structure. Leaves: plain numbers, computed in float64 on
the host, so that the comparison adds no rounding to what is compared.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

ALL = 'all'


class Distance(NamedTuple):
  """Of a from b; nan where b is zero and a is not."""

  cosine: float  # of the angle between a and b, -1..1
  difference: float  # |a - b| / |b|
  ratio: float  # |a| / |b|
  size: float  # |b|: where it is next to nothing, relative figures say little


def distance(a: Any, b: Any) -> Distance:
  """How far `a` is from `b`.

  Where the cosine is near 1 and the ratio near 1, an optimizer that scales every
  entry (Adam) still sees the difference of single entries; hence all three.

  Args:
    a: any pytree of arrays.
    b: another of the same structure, what `a` is held against.
  """
  return _of_flat(_flat(jax.tree.leaves(a)), _flat(jax.tree.leaves(b)))


def by_part(a: Any, b: Any, depth: int = 1) -> dict[str, Distance]:
  """The distance of each part of `a` from that of `b`.

  Args:
    depth: how many keys from the root make a part: 0 is all in one, named `ALL`; 1
      the entries at the top; more than there are keys, every leaf.

  Returns:
    Distances by name, keys joined by '/', in the order of the leaves.
  """
  theirs = jax.tree.leaves(b)
  parts: dict[str, tuple[list, list]] = {}
  for (path, leaf), other in zip(
    jax.tree_util.tree_leaves_with_path(a), theirs, strict=True
  ):
    name = jax.tree_util.keystr(path[:depth], simple=True, separator='/') or ALL
    mine, exact = parts.setdefault(name, ([], []))
    mine.append(leaf)
    exact.append(other)
  return {name: _of_flat(_flat(x), _flat(y)) for name, (x, y) in parts.items()}


def _flat(leaves: list) -> np.ndarray:
  return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in leaves])


def _of_flat(a: np.ndarray, b: np.ndarray) -> Distance:
  size, exact, apart = (float(np.linalg.norm(x)) for x in (a, b, a - b))
  if not apart:
    return Distance(1.0, 0.0, 1.0, exact)
  over = lambda x, y: x / y if y else math.nan
  return Distance(
    over(float(a @ b), size * exact), over(apart, exact), over(size, exact), exact
  )
