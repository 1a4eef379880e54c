"""LogTAD's network: the mean state of an LSTM, and which system it comes from."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers, lstm

Array = types.Array


def reversed_gradient(x: Array, alpha: float) -> Array:
  """x, whose derivative is -α (Ganin et al, Domain-adversarial training, 2016)."""
  return jax.lax.stop_gradient((1 + alpha) * x) - alpha * x


class Network(nn.Module):
  """Representations of sessions [B, H], and logits of their domain [B, 2].

  Attributes:
    hidden: H, the size of each LSTM layer's state.
    layers: layers of the LSTM.
    dropout: share of the states dropped between the layers while training.
    alpha: how much of the domain's gradient is turned against the LSTM.

  References:
    Han and Yuan, LogTAD, CIKM 2021.
  """

  hidden: int = 128
  layers: int = 2
  dropout: float = 0.3
  alpha: float = 0.1
  train: bool = False

  @nn.compact
  def __call__(self, batch: types.Batch) -> tuple[Array, Array]:
    z = grid.means(self.states(batch), batch)
    y = reversed_gradient(z, self.alpha)
    for name, size in (('domain_1', self.hidden // 2), ('domain_2', 2)):
      y = layers.torch_linear(size, y.shape[-1], name)(y)
    return z, y

  @nn.compact
  def states(self, batch: types.Batch) -> Array:
    """The last layer's state at every place [N', H]."""
    cells = jnp.arange(batch.events.size, dtype=jnp.int32).reshape(batch.events.shape)
    for layer in range(self.layers):
      states = lstm.Lstm(self.hidden, name=f'lstm_{layer}')(batch)
      if layer < self.layers - 1:
        states = nn.Dropout(self.dropout, deterministic=not self.train)(states)
        batch = batch._replace(vectors=states, events=cells)
    return grid.places(states, batch)
