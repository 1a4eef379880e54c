"""Layers of a recurrent unit over grids of events, in PyTorch's parameter layout.

What a unit is, is its recurrence: states(x, w, b, link, order) -> [N, H]. The rest
is the same for all of them and stands here. Both biases of every gate are kept:
merging them would train differently, since two biases with equal gradients move
their sum twice as far. Events are ids into a table, so the first layer projects the
table once and looks the result up; the [B, L, D] tensor of event vectors never
exists.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import errors, types
from metalog_jax.nets import grid, layers, products

Array = types.Array


def run_layers(
  recurrence: Callable[..., Array],
  params: Mapping[str, Array],
  batch: types.Batch,
  layers: int,
  bidirectional: bool,
) -> Array:
  """Runs a recurrence of G gates over the events of every row, layer upon layer.

  Args:
    recurrence: from what the events add to the gates [N, G H], the weights [G H, H]
      and the biases [G H], the state after every cell [N, H].
    params: arrays by PyTorch's names: `weight_ih_l0` [G H, D], `weight_hh_l0`
      [G H, H], `bias_ih_l0`, `bias_hh_l0` [G H]; with the suffix `_reverse` for the
      backward direction.
    batch: the events; with shared beginnings (`batch.parents`), a cell's state is
      that of every session which begins so.
    layers: how many layers.
    bidirectional: whether every layer also runs from the end, side by side.

  Returns:
    The last layer's states after every cell, flat (see `grid`): [N, H * directions].
    States of empty cells are finite and mean nothing.

  Raises:
    UserError: a layer that runs from the end is given shared beginnings.
  """
  shared = batch.parents is not None
  if shared and bidirectional:
    raise errors.UserError('sessions that share cells can be read forward only')
  orders: tuple[grid.Order, grid.Order] = ('tree' if shared else 'forward', 'backward')
  states = None
  for layer in range(layers):
    directions = []
    for suffix, order in zip(_suffixes(bidirectional), orders):
      w_ih, w_hh, b_ih, b_hh = (params[n + suffix] for n in _names(layer))
      if states is None:
        x = projected(batch, w_ih, b_ih)
      else:
        x = products.linear(states, w_ih) + b_ih
      link = grid.link(batch, order)
      directions.append(recurrence(x, w_hh, b_hh, link, order))
    states = jnp.concatenate(directions, -1)
  return states


def projected(batch: types.Batch, w: Array, b: Array) -> Array:
  """w x + b of every cell's vector x, with w [G, D] and b [G]: [N, G].

  Of the table or of the cells, whichever is fewer: a single session has few cells.
  """
  vectors, events = jnp.asarray(batch.vectors), batch.events.ravel()
  if events.shape[0] < vectors.shape[0]:
    return vectors[events] @ w.T + b
  return (vectors @ w.T + b)[events]


def _names(layer: int) -> tuple[str, ...]:
  return tuple(
    f'{n}_l{layer}' for n in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
  )


def _suffixes(bidirectional: bool) -> tuple[str, ...]:
  return ('', '_reverse') if bidirectional else ('',)


class Recurrent(nn.Module):
  """What the modules of all units have in common.

  Attributes:
    hidden: H, the size of the state of one direction.
    layers: how many layers.
    bidirectional: whether every layer also runs from the end, side by side.
    dtype: what to compute in; by default the type of the parameters.
  """

  hidden: int
  layers: int = 1
  bidirectional: bool = False
  dtype: Any = None

  def run(self, recurrence: Callable, gates: int, batch: types.Batch) -> Array:
    """Declares the parameters of a unit of so many gates and runs it over a batch."""
    params = {
      name: self.param(name, layers.uniform(self.hidden), shape)
      for name, shape in self._shapes(gates * self.hidden, batch.vectors.shape[-1])
    }
    params = layers.cast(params, self.dtype)
    return run_layers(recurrence, params, batch, self.layers, self.bidirectional)

  def _shapes(self, size: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in range(self.layers):
      shapes = (size, inputs), (size, self.hidden), (size,), (size,)
      for suffix in _suffixes(self.bidirectional):
        yield from zip((n + suffix for n in _names(layer)), shapes, strict=True)
      inputs = self.hidden * (1 + self.bidirectional)
