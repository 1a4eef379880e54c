"""LogMeta's network: bidirectional LSTM, attention, two logits."""

import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import attention, grid, layers, lstm

Array = types.Array


class Network(nn.Module):
  """Logits of a batch of sessions: [B, 2], normal and anomalous.

  LogMeta's own code is not public; the form and the sizes are those of its authors'
  earlier models, which are. They read the words of a text and attend to its padding;
  here the steps are a session's events, and there is no padding.

  Attributes:
    hidden: H, the size of the state of one direction.
    recurrent: without, attention weighs the event vectors themselves (an ablation).
    attention: without, the context is the last state of each direction (an ablation
      of LogRoBERTa's).

  References:
    Sun et al, LogRoBERTa, Automated Software Engineering 2025; Sun et al, SemiRALD,
    Information and Software Technology 183, 2025.
  """

  hidden: int = 256
  recurrent: bool = True
  attention: bool = True

  def __call__(self, batch: types.Batch) -> Array:
    return self.attend(batch)[0]

  @nn.compact
  def attend(self, batch: types.Batch) -> tuple[Array, Array]:
    """Logits [B, 2], and the attention weight of every place [N']."""
    if self.recurrent:
      reader = lstm.Lstm(self.hidden, bidirectional=True, name='lstm')
      states = grid.places(reader(batch), batch)
    else:
      events = grid.places(jnp.asarray(batch.events).ravel(), batch)
      states = jnp.asarray(batch.vectors)[events]
    if self.attention:
      attend = attention.ScoreAttention(name='attention')
      context, weights = attend(states, batch)
    else:
      context, weights = ends(states, batch)
    return layers.torch_linear(2, context.shape[-1], 'head')(context), weights


def ends(states: Array, batch: types.Batch) -> tuple[Array, Array]:
  """The last state of each direction: the context [B, H], and weights [N'] of one half.

  Args:
    states: [N', H], the first half read forward and the second backward.
    batch: the batch that the states are of.
  """
  inside = (batch.sessions[1:] == batch.sessions[:-1]).astype(states.dtype)
  edge = jnp.ones_like(batch.sessions[:1], states.dtype)
  real = grid.mask(batch)
  first = jnp.concatenate([edge, 1 - inside]).ravel() * real
  last = jnp.concatenate([1 - inside, edge]).ravel() * real
  forward, backward = jnp.split(states, 2, axis=-1)
  parts = [last[:, None] * forward, first[:, None] * backward]
  return grid.sums(jnp.concatenate(parts, -1), batch), (first + last) / 2
