"""How parameters start (PyTorch's rules, which both papers rely on) and are cast."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def uniform(fan: int, gain: float = 1.0) -> nn.initializers.Initializer:
  """U(-g/sqrt(fan), g/sqrt(fan)): PyTorch's start of recurrent and linear layers."""
  bound = gain / math.sqrt(fan)

  def draw(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return draw


def orthonormal_rows(key, shape, dtype=jnp.float32):
  """A random [n, m] matrix, n <= m, of orthonormal rows."""
  return jnp.linalg.qr(jax.random.normal(key, shape[::-1], dtype))[0].T


def cast(tree: Any, dtype: Any) -> Any:
  """Casts every floating array to `dtype`; None leaves all as they are."""
  if dtype is None:
    return tree
  is_real = lambda x: jnp.issubdtype(jnp.result_type(x), jnp.floating)
  return jax.tree.map(lambda x: jnp.asarray(x, dtype) if is_real(x) else x, tree)
