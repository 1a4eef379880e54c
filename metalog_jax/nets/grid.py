"""The geometry of a batch (`types.Batch`): a grid of L steps times R rows.

Four sessions a, b, c, d of 4, 2, 3 and 2 events, packed into L = 4 steps of R = 3 rows;
`.` is an empty cell. A recurrence takes one step of all rows at once, and a cell reads
the state of the cell above it unless another session begins there (link 0):

    step  row 0  row 1  row 2        link (forward)
     0     a0     b0     c0           0  0  0
     1     a1     b1     c1           1  1  1
     2     a2     d0     c2           1  0  1
     3     a3     d1     .            1  1  0

Arrays inside the networks are flat, [N, ...] with N = L R, the cell of step t and row r
at t R + r, so that whatever concerns each event alone is one product over all cells.

Sessions that begin alike share cells: in a tree a cell reads the state of its parent,
any cell of an earlier step. Whatever looks at whole sessions (attention, sums) runs
over their places, [N', ...], which are the cells themselves unless cells are shared.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metalog_jax import types

Array = types.Array
Order = Literal['forward', 'backward', 'tree']  # how a recurrence runs over the cells


def link(batch: types.Batch, order: Order) -> Array:
  """What each cell goes on from.

  Returns:
    For a chain, [L, R]: 1 where a cell goes on from its neighbour, else 0. For a
    tree, [L, R]: the flat number of the cell that it goes on from, N for none.
  """
  if order == 'tree':
    return batch.parents
  inside = batch.sessions[1:] == batch.sessions[:-1]
  edge = jnp.zeros_like(inside[:1], shape=(1, *inside.shape[1:]))
  parts = [edge, inside] if order == 'forward' else [inside, edge]
  return jnp.concatenate(parts).astype(batch.vectors.dtype)


def down(body: Callable, xs: Any, size: int, link: Array, order: Order) -> Any:
  """Runs body(h [R, size], x [R, ...]) -> (h, y [R, ...]) with the links.

  Args:
    xs: flat arrays [N, ...]; size: H of the state h; the first state is zero.

  Returns:
    The ys as flat arrays [N, ...].
  """
  xs = _steps(xs, link)
  zero = _zeros(xs, size)
  if order == 'tree':
    return _flat(_down_tree(body, xs, zero, link))

  def step(h, inputs):
    x, keep = inputs
    return body(h * keep[:, None], x)

  return _flat(jax.lax.scan(step, zero, (xs, link), reverse=order == 'backward')[1])


def down_once(
  body: Callable, xs: Any, size: int, link: Array, order: Order, num: int
) -> Any:
  """As `down`, of a body(h, x) -> (h, h, parts) with `num` parts [R, size] of h.

  The loop carries the parts along, so that the CPU's compiler computes each once, and
  not again for the state and for what is given back.

  Args:
    body: whose parts are in [-1, 1].
  """
  if order == 'tree':
    # Here they are written out beside y, which does the same and costs more.
    def wide(h, x):
      h, y, parts = body(h, x)
      return h, jnp.concatenate([y, *parts], -1)

    return down(wide, xs, size, link, order)[:, :size]
  xs = _steps(xs, link)
  zero = _zeros(xs, size)

  def step(carry, inputs):
    x, keep = inputs
    h, y, parts = body(carry[0] * keep[:, None], x)
    return (h, *parts), y

  backward = order == 'backward'
  (h, *parts), ys = jax.lax.scan(
    step, (zero,) * (num + 1), (xs, link), reverse=backward
  )
  # Never so, but the compiler would drop parts that nothing depends on.
  outside = functools.reduce(jnp.logical_or, [jnp.abs(part) > 2 for part in parts])
  return _flat(ys.at[0 if backward else -1].set(jnp.where(outside, jnp.nan, h)))


def up(body: Callable, xs: Any, size: int, link: Array, order: Order) -> Any:
  """Runs body(m [R, size], x [R, ...]) -> (m, y) against the links.

  The transposition of `down`: what a body gives is added up in the cell that the
  link names.
  """
  xs = _steps(xs, link)
  zero = _zeros(xs, size)
  if order == 'tree':
    return _flat(_up_tree(body, xs, zero, link))

  def step(m, inputs):
    x, keep = inputs
    m, y = body(m, x)
    return m * keep[:, None], y

  return _flat(jax.lax.scan(step, zero, (xs, link), reverse=order == 'forward')[1])


def _down_tree(body, xs, zero, link):
  """The states of all cells so far are the carry, and each step reads its parents'."""
  rows = link.shape[1]
  states = jnp.tile(zero, (link.shape[0], 1))

  def step(states, inputs):
    i, x, parents = inputs
    h, y = body(states.at[parents].get(mode='fill', fill_value=0), x)
    return jax.lax.dynamic_update_slice_in_dim(states, h, i * rows, 0), y

  return jax.lax.scan(step, states, (jnp.arange(len(link)), xs, link))[1]


def _up_tree(body, xs, zero, link):
  rows = link.shape[1]
  sums = jnp.tile(zero, (link.shape[0], 1))

  def step(sums, inputs):
    i, x, parents = inputs
    m, y = body(jax.lax.dynamic_slice_in_dim(sums, i * rows, rows), x)
    return sums.at[parents].add(m, mode='drop'), y

  inputs = jnp.arange(len(link)), xs, link
  return jax.lax.scan(step, sums, inputs, reverse=True)[1]


def _steps(xs, link):
  return jax.tree.map(lambda x: x.reshape(*link.shape, *x.shape[1:]), xs)


def _flat(ys):
  return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), ys)


def _zeros(xs, size):
  """[R, size], made from the data so that it varies over a mesh as they do."""
  return jnp.zeros_like(jax.tree.leaves(xs)[0][0, :, :1]) * jnp.zeros(
    size, jax.tree.leaves(xs)[0].dtype
  )


def whole(body: Callable) -> Callable:
  """Keeps the body of a tangent's loop in one piece where it is linearized.

  Otherwise jax computes ahead, and keeps, whatever depends on the saved states alone
  (σ', tanh' and their products): several times the size of the states.
  """
  return jax.checkpoint(body, prevent_cse=False)


def places(x: Array, batch: types.Batch) -> Array:
  """Cells [N, ...] -> what stands at the places of sessions [N', ...]."""
  return x if batch.places is None else x[batch.places.ravel()]


def mask(batch: types.Batch) -> Array:
  """Whether a place belongs to a session: [N']."""
  return (batch.sessions < batch.labels.shape[0]).ravel()


def rows(x: Array, batch: types.Batch) -> Array:
  """Places [N', ...] -> [R', L', ...], each row's along time."""
  return x.reshape(*batch.sessions.shape, *x.shape[1:]).swapaxes(0, 1)


def sums(x: Array, batch: types.Batch) -> Array:
  """The sum over the places of each session: [N', ...] -> [B, ...]."""
  num = batch.labels.shape[0]
  return jax.ops.segment_sum(x, batch.sessions.ravel(), num + 1)[:num]


@jax.custom_jvp
def _largest(x: Array, sessions: Array, like: Array) -> Array:
  return jax.ops.segment_max(x, sessions, like.shape[0] + 1)[: like.shape[0]]


@_largest.defjvp
def _largest_jvp(primals, tangents):
  """The mean derivative of the places that attain the maximum, as `jnp.max` has it."""
  x, sessions, like = primals
  largest = _largest(x, sessions, like)
  total = lambda y: jax.ops.segment_sum(y, sessions, like.shape[0] + 1)
  padded = jnp.concatenate([largest, jnp.zeros_like(largest[:1])])
  attained = (x == padded[sessions]).astype(x.dtype)
  attained /= jnp.maximum(total(attained), 1)[sessions]
  return largest, total(attained * tangents[0])[: like.shape[0]]


def maxima(x: Array, batch: types.Batch, floor: Any) -> Array:
  """The maximum over the places of each session, `floor` at least: [B, ...]."""
  return jnp.maximum(_largest(x, batch.sessions.ravel(), batch.labels), floor)


def means(x: Array, batch: types.Batch) -> Array:
  """The mean over the places of each session, zero without any: [N', H] -> [B, H]."""
  where = mask(batch).astype(x.dtype)
  total = sums(where[:, None] * x, batch)
  return total / jnp.maximum(sums(where, batch), 1)[:, None]


def last(states: Array, batch: types.Batch) -> Array:
  """The state at the last place of every session: [N', H] -> [B, H].

  Zero for sessions without events. Later steps have higher flat numbers, so the last
  place of a session is its highest.
  """
  num = batch.labels.shape[0]
  places = jnp.arange(batch.sessions.size)
  highest = jax.ops.segment_max(places, batch.sessions.ravel(), num + 1)[:num]
  return states.at[jnp.where(highest < 0, states.shape[0], highest)].get(
    mode='fill', fill_value=0
  )
