"""Linear layers in PyTorch's layout; how parameters start and are cast."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types

Array = types.Array


def uniform(fan: int, gain: float = 1.0) -> nn.initializers.Initializer:
  """U(-g/sqrt(fan), g/sqrt(fan)): PyTorch's start of recurrent and linear layers."""
  bound = gain / math.sqrt(fan)

  def draw(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return draw


def orthonormal_rows(key: Any, shape: tuple[int, int], dtype: Any = jnp.float32) -> Any:
  """A random [n, m] matrix, n <= m, of orthonormal rows."""
  return jnp.linalg.qr(jax.random.normal(key, shape[::-1], dtype))[0].T


def cast(tree: Any, dtype: Any) -> Any:
  """Casts every floating array to `dtype`; None leaves all as they are."""
  if dtype is None:
    return tree
  is_real = lambda x: jnp.issubdtype(jnp.result_type(x), jnp.floating)
  return jax.tree.map(lambda x: jnp.asarray(x, dtype) if is_real(x) else x, tree)


def torch_linear(features: int, inputs: int, name: str) -> 'Linear':
  """PyTorch's `Linear` of [inputs]: weight and bias start uniformly."""
  return Linear(features, bias_init=uniform(inputs), name=name)


class Linear(nn.Module):
  """x Wᵀ + b: `weight` [features, inputs], `bias` [features].

  Attributes:
    weight_init: PyTorch's start by default.
    bias: whether there is one; zero at the start unless `bias_init` says otherwise.
  """

  features: int
  weight_init: Any = None
  dtype: Any = None
  bias: bool = True
  bias_init: Any = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.features, x.shape[-1])
    weight = self.param('weight', self.weight_init or uniform(shape[1]), shape)
    y = x @ cast(weight, self.dtype).T
    if self.bias:
      bias = self.param('bias', self.bias_init, shape[:1])
      y += cast(bias, self.dtype)
    return y
