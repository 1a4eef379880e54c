"""A linear layer in PyTorch's parameter layout."""

from typing import Any

from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import init

Array = types.Array


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
    weight = self.param('weight', self.weight_init or init.uniform(shape[1]), shape)
    y = x @ init.cast(weight, self.dtype).T
    if self.bias:
      bias = self.param('bias', self.bias_init, shape[:1])
      y += init.cast(bias, self.dtype)
    return y
