"""A gated recurrent unit over staircase batches, in PyTorch's parameter layout.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    h' = (1 - z) n + z h

Both biases of every gate are kept: merging them would train differently, since
two biases with equal gradients move their sum twice as far. Events are ids into
a table, so the first layer projects the table once and looks the result up; the
[B, L, D] tensor of event vectors never exists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import init, staircase

Array = types.Array


def cell(x: Array, h: Array, w_hh: Array, b_hh: Array) -> Array:
  """One step. x: [R, 3H] the projected input, h: [R, H], w_hh: [3H, H]."""
  x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
  h_r, h_z, h_n = jnp.split(h @ w_hh.T + b_hh, 3, axis=-1)
  r = jax.nn.sigmoid(x_r + h_r)
  z = jax.nn.sigmoid(x_z + h_z)
  n = jnp.tanh(x_n + r * h_n)
  return (1 - z) * n + z * h


def scan(
  inputs: Sequence[Array],
  masks: Sequence[Array],
  w_hh: Array,
  b_hh: Array,
  reverse: bool = False,
) -> list[Array]:
  """One direction of one layer: the states after every event.

  Forwards, the rows that reach the next segment go on with their state. In
  reverse, the rows that end in an earlier segment join there with a zero state.

  Args:
    inputs: segments [L_k, R_k, 3H], time first, already projected.
    masks: segments [L_k, R_k]; where False the state is kept as it is.
    w_hh: [3H, H].
    b_hh: [3H].
    reverse: run from the last event to the first.

  Returns:
    Segments [L_k, R_k, H]; at padding, the state that was kept.
  """

  def step(h, x):
    inputs, mask = x
    h = jnp.where(mask[:, None], cell(inputs, h, w_hh, b_hh), h)
    return h, h

  h = jnp.zeros((0, w_hh.shape[1]), inputs[0].dtype)
  segments = list(zip(inputs, masks, strict=True))
  out = []
  for segment in segments[::-1] if reverse else segments:
    rows = segment[1].shape[1]
    if reverse or not out:
      h = jnp.pad(h, ((0, rows - h.shape[0]), (0, 0)))
    h, states = jax.lax.scan(step, h[:rows], segment, reverse=reverse)
    out.append(states)
  return out[::-1] if reverse else out


def gru(
  params: Mapping[str, Array], batch: types.Batch, layers: int, bidirectional: bool
) -> tuple[Array, ...]:
  """Runs a GRU over the events of every row.

  Args:
    params: arrays by PyTorch's names: `weight_ih_l0` [3H, D], `weight_hh_l0`
      [3H, H], `bias_ih_l0`, `bias_hh_l0` [3H], gates in the order r, z, n; with
      the suffix `_reverse` for the backward direction.
    batch: the events, as a staircase.
    layers: how many layers.
    bidirectional: whether every layer also runs from the end, side by side.

  Returns:
    The last layer's states by segments, [R_k, L_k, H * directions]. States at
    padding are finite and mean nothing.
  """
  masks = [mask.T for mask in staircase.masks(batch)]
  states = None
  for layer in range(layers):
    directions = []
    for suffix in ('', '_reverse')[: 1 + bidirectional]:
      name = f'l{layer}{suffix}'
      project = lambda x: x @ params[f'weight_ih_{name}'].T + params[f'bias_ih_{name}']
      if states is None:
        table = project(batch.vectors)  # [V, 3H]
        inputs = [table[events.T] for events in batch.events]
      else:
        inputs = [project(segment) for segment in states]
      w_hh, b_hh = params[f'weight_hh_{name}'], params[f'bias_hh_{name}']
      directions.append(scan(inputs, masks, w_hh, b_hh, reverse=bool(suffix)))
    states = [jnp.concatenate(s, -1) for s in zip(*directions, strict=True)]
  return tuple(segment.swapaxes(0, 1) for segment in states)


class Gru(nn.Module):
  """Declares the parameters of `gru`."""

  hidden: int
  layers: int = 1
  bidirectional: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(self, batch: types.Batch) -> tuple[Array, ...]:
    uniform = init.uniform(self.hidden)
    params, inputs = {}, batch.vectors.shape[-1]
    for layer in range(self.layers):
      for suffix in ('', '_reverse')[: 1 + self.bidirectional]:
        for name, shape in {
          'weight_ih': (3 * self.hidden, inputs),
          'weight_hh': (3 * self.hidden, self.hidden),
          'bias_ih': (3 * self.hidden,),
          'bias_hh': (3 * self.hidden,),
        }.items():
          name = f'{name}_l{layer}{suffix}'
          params[name] = self.param(name, uniform, shape)
      inputs = self.hidden * (1 + self.bidirectional)
    params = init.cast(params, self.dtype)
    return gru(params, batch, self.layers, self.bidirectional)
