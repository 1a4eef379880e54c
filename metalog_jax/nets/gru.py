"""A gated recurrent unit over grids of events, in PyTorch's parameter layout.

Both biases of every gate are kept: merging them would train differently, since
two biases with equal gradients move their sum twice as far. Events are ids into
a table, so the first layer projects the table once and looks the result up; the
[B, L, D] tensor of event vectors never exists.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, init, recurrence

Array = types.Array


def gru(
  params: Mapping[str, Array], batch: types.Batch, layers: int, bidirectional: bool
) -> Array:
  """Runs a GRU over the events of every row.

  Args:
    params: arrays by PyTorch's names: `weight_ih_l0` [3H, D], `weight_hh_l0`
      [3H, H], `bias_ih_l0`, `bias_hh_l0` [3H], gates in the order r, z, n; with
      the suffix `_reverse` for the backward direction.
    batch: the events; with shared beginnings (`batch.parents`), a cell's state is
      that of every session which begins so.
    layers: how many layers.
    bidirectional: whether every layer also runs from the end, side by side.

  Returns:
    The last layer's states after every cell, flat (see `grid`): [N, H * directions].
    States of empty cells are finite and mean nothing.

  Raises:
    ValueError: a layer that runs from the end is given shared beginnings.
  """
  shared = batch.parents is not None
  if shared and bidirectional:
    raise ValueError('sessions that share cells can be read forward only')
  orders = ('tree' if shared else 'forward', 'backward')
  states = None
  for layer in range(layers):
    directions = []
    for suffix, order in zip(_suffixes(bidirectional), orders):
      w_ih, w_hh, b_ih, b_hh = (params[n + suffix] for n in _names(layer))
      if states is None:
        x = (jnp.asarray(batch.vectors) @ w_ih.T + b_ih)[batch.events.ravel()]
      else:
        x = states @ w_ih.T + b_ih
      link = grid.link(batch, order)
      directions.append(recurrence.states(x, w_hh, b_hh, link, order))
    states = jnp.concatenate(directions, -1)
  return states


def _names(layer: int) -> tuple[str, ...]:
  return tuple(
    f'{n}_l{layer}' for n in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
  )


def _suffixes(bidirectional: bool) -> tuple[str, ...]:
  return ('', '_reverse') if bidirectional else ('',)


class Gru(nn.Module):
  """Declares the parameters of `gru`."""

  hidden: int
  layers: int = 1
  bidirectional: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    params = {
      name: self.param(name, init.uniform(self.hidden), shape)
      for name, shape in self._shapes(batch.vectors.shape[-1])
    }
    return gru(init.cast(params, self.dtype), batch, self.layers, self.bidirectional)

  def _shapes(self, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    gates = 3 * self.hidden
    for layer in range(self.layers):
      shapes = (gates, inputs), (gates, self.hidden), (gates,), (gates,)
      for suffix in _suffixes(self.bidirectional):
        yield from zip((n + suffix for n in _names(layer)), shapes, strict=True)
      inputs = self.hidden * (1 + self.bidirectional)
