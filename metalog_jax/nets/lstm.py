"""A long short-term memory over grids of events, in PyTorch's parameter layout."""

from collections.abc import Mapping

from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import lstm_recurrence, recurrent

Array = types.Array


def lstm(
  params: Mapping[str, Array], batch: types.Batch, layers: int, bidirectional: bool
) -> Array:
  """The states after every cell, [N, H * directions]: see `recurrent.run`.

  The four gates stand in the order i, f, g, o in the parameters.
  """
  return recurrent.run(lstm_recurrence.states, params, batch, layers, bidirectional)


class Lstm(recurrent.Recurrent):
  """Declares the parameters of `lstm`."""

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    params = self.declare(4, batch.vectors.shape[-1])
    return lstm(params, batch, self.layers, self.bidirectional)
