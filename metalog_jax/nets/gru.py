"""A gated recurrent unit over grids of events, in PyTorch's parameter layout."""

from collections.abc import Mapping

from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import gru_recurrence, recurrent

Array = types.Array


def gru(
  params: Mapping[str, Array], batch: types.Batch, layers: int, bidirectional: bool
) -> Array:
  """The states after every cell, [N, H * directions]: see `recurrent.run`.

  The three gates stand in the order r, z, n in the parameters.
  """
  return recurrent.run(gru_recurrence.states, params, batch, layers, bidirectional)


class Gru(recurrent.Recurrent):
  """Declares the parameters of `gru`."""

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    params = self.declare(3, batch.vectors.shape[-1])
    return gru(params, batch, self.layers, self.bidirectional)
