"""A gated recurrent unit over a grid, its first and second derivatives by hand.

Four loops, each over the steps of the grid (see the drawing in `grid`):

    _forward            h_t from h_{t-1}        down the grid
    _forward_tangent    ḣ_t from ḣ_{t-1}        down
    _backward           h̄_{t-1} from h̄_t        up
    _backward_tangent   h̄'_{t-1} from h̄'_t      up

A loop holds the one product that has to wait for the step before, [R, H] x [H, 3H],
and the arithmetic on single numbers, done while these are in the processor's caches.
The derivatives of the weights need no loop: each is one product with all states. (jax's
own derivative of the loop adds up the gradient of the weights step by step, and does so
several times over at the second order.)

This serves `grad`, and `jvp` and `grad` of `grad`; jax derives higher orders from
these. Forward mode alone, `jvp` of a loss, is refused by jax with a clear error; a scan
of `cell` has it.

A dot is a tangent (ẋ), a bar a cotangent (x̄). Arrays are flat over the batch's cells,
[N, ...]; t-1 is the cell that the link names. In PyTorch's parameter layout.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, products, recurrent

Array = types.Array


class Gru(recurrent.Recurrent):
  """The states after every cell, [N, H * directions]; gates in the order r, z, n."""

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    return self.run(states, 3, batch)


def cell(x: Array, h: Array, w: Array, b: Array) -> tuple[Array, ...]:
  """One step. x: [..., 3H], h: [..., H], w: [3H, H], b: [3H].

      r, z = sigmoid(x_r + W_r h + b_r), sigmoid(x_z + W_z h + b_z)
      m = W_n h + b_n
      n = tanh(x_n + r m)
      h' = (1 - z) n + z h

  Returns:
    h', r, z, n, m, all [..., H].
  """
  return _update(x, h, h @ w.T + b)


def _update(x: Array, h: Array, y: Array) -> tuple[Array, ...]:
  """See `cell`; y: [..., 3H], W h + b."""
  (x_r, x_z, x_n), (y_r, y_z, m) = _gates(x), _gates(y)
  r, z = jax.nn.sigmoid(x_r + y_r), jax.nn.sigmoid(x_z + y_z)
  n = jnp.tanh(x_n + r * m)
  return n + z * (h - n), r, z, n, m


def states(x: Array, w: Array, b: Array, link: Array, order: grid.Order) -> Array:
  """The state after every cell: [N, H].

  Args:
    x: [N, 3H], what the events add to the gates r, z, n.
    w: [3H, H]; b: [3H].
    link: of the batch, see `grid.link`.
    order: how the recurrence runs, see `grid`.
  """
  return _states(order, x, *products.vary_as(x, w, b), link)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(order, x, w, b, link):
  def body(h, x):
    h, *gates = _update(x, h, products.in_loop(h, w) + b)
    return h, h, gates[:3]

  return grid.down_once(body, x, w.shape[1], link, order, 3)


def _states_forward(order, x, w, b, link):
  h, *residuals = _forward(order, x, w, b, link)
  return h, (residuals, w, link)


def _states_backward(order, saved, bar):
  residuals, w, link = saved
  x_bar, y_bar, _ = _backward(order, residuals, w, bar, link)
  return x_bar, products.outer(y_bar, residuals[0]), y_bar.sum(0), jnp.zeros_like(link)


_states.defvjp(_states_forward, _states_backward)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(order, x, w, b, link):
  """h and all that derivatives need: h_{t-1}, r, z, n, m; each [N, H]."""

  def body(h, x):
    new, *gates = cell(x, h, w, b)
    return new, (new, h, *gates)

  return grid.down(body, x, w.shape[1], link, order)


@_forward.defjvp
def _forward_tangent(order, primals, tangents):
  (x, w, b, link), (x_dot, w_dot, b_dot, _) = primals, tangents
  results = _forward(order, x, w, b, link)

  @grid.whole
  def body(h_dot, inputs):
    h, r, z, n, m, x_dot, y_dot = inputs
    x_r, x_z, x_n = _gates(x_dot)
    y_r, y_z, m_dot = _gates(h_dot @ w.T + y_dot)
    r_dot = r * (1 - r) * (x_r + y_r)
    z_dot = z * (1 - z) * (x_z + y_z)
    n_dot = (1 - n * n) * (x_n + r_dot * m + r * m_dot)
    new = n_dot + z_dot * (h - n) + z * (h_dot - n_dot)
    return new, (new, h_dot, r_dot, z_dot, n_dot, m_dot)

  # Ẇ h_{t-1} + ḃ waits for nothing: one product over all cells, before the loop.
  inputs = *results[1:], x_dot, results[1] @ w_dot.T + b_dot
  return results, grid.down(body, inputs, w.shape[1], link, order)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _backward(order, residuals, w, bar, link):
  """x̄ [N, 3H], ȳ of y = W h_{t-1} + b [N, 3H], and h̄ in whole [N, H].

  bar: [N, H], the part of h̄ that comes from outside of the recurrence.
  """

  def body(later, inputs):
    h, r, z, n, m, bar = inputs
    bar += later
    n_bar = bar * (1 - z) * (1 - n * n)
    z_bar = bar * (h - n) * z * (1 - z)
    r_bar = n_bar * m * r * (1 - r)
    y_bar = jnp.concatenate([r_bar, z_bar, n_bar * r], -1)
    return bar * z + y_bar @ w, (jnp.concatenate([r_bar, z_bar, n_bar], -1), y_bar, bar)

  return grid.up(body, (*residuals, bar), w.shape[1], link, order)


@_backward.defjvp
def _backward_tangent(order, primals, tangents):
  residuals, w, bar, link = primals
  residuals_dot, w_dot, bar_dot, _ = tangents
  results = _backward(order, residuals, w, bar, link)

  @grid.whole
  def body(later, inputs):
    h, r, z, n, m, h_dot, r_dot, z_dot, n_dot, m_dot, bar, bar_dot, product = inputs
    bar_dot += later  # from outside, and from the steps after
    of_n, of_z, of_r = 1 - n * n, z * (1 - z), r * (1 - r)  # σ' and tanh'
    n_bar = bar * (1 - z) * of_n  # as in `_backward`; below, its product rule
    n_bar_dot = (bar_dot * (1 - z) - bar * z_dot) * of_n
    n_bar_dot -= 2 * bar * (1 - z) * n * n_dot
    z_bar_dot = (bar_dot * (h - n) + bar * (h_dot - n_dot)) * of_z
    z_bar_dot += bar * (h - n) * (1 - 2 * z) * z_dot
    r_bar_dot = (n_bar_dot * m + n_bar * m_dot) * of_r
    r_bar_dot += n_bar * m * (1 - 2 * r) * r_dot
    m_bar_dot = n_bar_dot * r + n_bar * r_dot
    y_bar_dot = jnp.concatenate([r_bar_dot, z_bar_dot, m_bar_dot], -1)
    x_bar_dot = jnp.concatenate([r_bar_dot, z_bar_dot, n_bar_dot], -1)
    earlier = bar_dot * z + bar * z_dot + y_bar_dot @ w + product
    return earlier, (x_bar_dot, y_bar_dot, bar_dot)

  _, y_bar, whole = results
  # ȳ Ẇ, the part of h̄'_{t-1} that waits for nothing: one product over all cells.
  inputs = *residuals, *residuals_dot, whole, bar_dot, y_bar @ w_dot
  return results, grid.up(body, inputs, w.shape[1], link, order)


def _gates(x: Array) -> list[Array]:
  """[..., 3H] -> three times [..., H]."""
  return jnp.split(x, 3, axis=-1)
