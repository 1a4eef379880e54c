"""DeepLog's network: an LSTM over event numbers that names the next event."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, layers, lstm

Array = types.Array


class Network(nn.Module):
  """Logits of the event after each window: [B, V].

  Attributes:
    hidden: H, the size of the state.
    layers: layers of the LSTM.

  References:
    Du et al, DeepLog, CCS 2017.
  """

  hidden: int = 64
  layers: int = 2

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    """Reads windows of events, one-hot: the event table is the identity [V, V]."""
    reader = lstm.Lstm(self.hidden, self.layers, name='lstm')
    final = grid.last(grid.places(reader(batch), batch), batch)
    num = batch.vectors.shape[0]
    return layers.torch_linear(num, self.hidden, 'head')(final)


def next_event_loss(
  logits: Array, events: Array, weights: Array, axis: str | None = None
) -> Array:
  """Weighted mean of -log p(next event).

  Args:
    logits: [B, V]; events: [B], whole numbers of any type; weights: [B].
    axis: name of the mesh axis that the batch's rows are dealt along.
  """
  log_p = jax.nn.log_softmax(logits)
  chosen = jnp.take_along_axis(log_p, events.astype(jnp.int32)[:, None], 1)[:, 0]
  add = (lambda x: jax.lax.psum(x, axis)) if axis else lambda x: x
  total = add(weights.sum())
  return -add(weights @ chosen) / jnp.where(total > 0, total, 1)


def windows(batch: types.Batch, length: int) -> types.Batch:
  """The events before each cell as a batch of windows, a column for each cell.

  Args:
    batch: sessions on a grid of N cells without shared beginnings.
    length: events of a window at most; at the beginning of a session there are fewer.

  Returns:
    A batch on a grid [length, N]: session i is the window before cell i, and its
    label the event in it. The event table is the identity.
  """
  steps, rows = batch.sessions.shape
  back = jnp.arange(steps)[None] - jnp.arange(length, 0, -1)[:, None]  # [length, L]
  at = jnp.maximum(back, 0)
  inside = (back >= 0)[:, :, None] & (batch.sessions[at] == batch.sessions)
  flat = lambda x: x.reshape(length, steps * rows)
  number = jnp.broadcast_to(jnp.arange(steps * rows), (length, steps * rows))
  num = batch.vectors.shape[0]
  return types.Batch(
    jnp.eye(num, dtype=batch.vectors.dtype),
    flat(batch.events[at]),
    jnp.where(flat(inside), number, steps * rows),
    batch.events.ravel().astype(batch.vectors.dtype),
    grid.mask(batch).astype(batch.vectors.dtype),
  )


def ranks(logits: Array, events: Array, seen: Array) -> Array:
  """The place of each event among those expected: [N], 1 for the likeliest.

  Args:
    logits: [N, V]; events: [N].
    seen: [V] bool; events that training never had come after all others.
  """
  logit = jnp.take_along_axis(logits, events[:, None], 1)
  rank = 1 + jnp.sum((logits > logit) & seen, 1)
  return jnp.where(seen[events], rank, len(seen) + 1)
