"""LogRobust's network: bidirectional LSTM, attention, two logits."""

from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import attention, grid, layers, lstm

Array = types.Array


class Network(nn.Module):
  """Logits of a batch of sessions: [B, 2], normal and anomalous.

  Attributes:
    hidden: H, the size of the state of one direction.
    dropout: share of the states' units that are dropped while training.

  References:
    Zhang et al, LogRobust, ESEC/FSE 2019.
  """

  hidden: int = 128
  dropout: float = 0.0
  train: bool = False

  def __call__(self, batch: types.Batch) -> Array:
    return self.attend(batch)[0]

  @nn.compact
  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and the attention weight of every place [N']."""
    reader = lstm.Lstm(self.hidden, bidirectional=True, name='lstm')
    states = grid.places(reader(batch), batch)
    states = nn.Dropout(self.dropout, deterministic=not self.train)(states)
    size = states.shape[-1]
    weight = self.param('attention_weight', layers.uniform(size), (size,))
    bias = self.param('attention_bias', layers.uniform(size), ())
    context, weights = attention.tanh_attention(weight, bias, states, batch)
    return layers.torch_linear(2, size, 'head')(context), weights
