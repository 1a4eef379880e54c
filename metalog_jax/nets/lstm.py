"""A long short-term memory over a grid, its first and second derivatives by hand.

Four loops as in `gru`, for the same reasons and with the same limits. c and h go side
by side from step to step, [R, 2H], and the biases are added before the loop, since all
gates add them to the same sum. In PyTorch's parameter layout.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from metalog_jax import types
from metalog_jax.nets import grid, products, recurrent

Array = types.Array


class Lstm(recurrent.Recurrent):
  """The states after every cell, [N, H * directions]; gates in the order i, f, g, o."""

  @nn.compact
  def __call__(self, batch: types.Batch) -> Array:
    return self.run(states, 4, batch)


def cell(x: Array, state: Array, w: Array) -> tuple[Array, ...]:
  """One step. x: [..., 4H], state: c and h side by side [..., 2H], w: [4H, H].

      i, f, o = sigmoid(x_i + W_i h), sigmoid(x_f + W_f h), sigmoid(x_o + W_o h)
      g = tanh(x_g + W_g h)
      c' = f c + i g
      h' = o tanh(c')

  Returns:
    c' and h' side by side [..., 2H], then i, f, g, o and tanh(c'), all [..., H].
  """
  c, h = _parts(state, 2)
  y_i, y_f, y_g, y_o = _parts(x + h @ w.T, 4)
  i, f, g, o = (*map(jax.nn.sigmoid, (y_i, y_f)), jnp.tanh(y_g), jax.nn.sigmoid(y_o))
  c = f * c + i * g
  t = jnp.tanh(c)
  return jnp.concatenate([c, o * t], -1), i, f, g, o, t


def states(x: Array, w: Array, b: Array, link: Array, order: grid.Order) -> Array:
  """The state h after every cell: [N, H].

  Args:
    x: [N, 4H], what the events add to the gates i, f, g, o.
    w: [4H, H]; b: [4H].
    link: of the batch, see `grid.link`.
    order: how the recurrence runs, see `grid`.
  """
  return _states(order, x + b, *products.vary_as(x, w), link)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(order, x, w, link):
  size = w.shape[1]

  def body(state, x):
    state, *gates = cell(x, state, w)
    # With the gates, for the reason that `gru` gives.
    return state, jnp.concatenate([state[:, size:], *gates[:4]], -1)

  return grid.down(body, x, 2 * size, link, order)[:, :size]


def _states_forward(order, x, w, link):
  h, *residuals = _forward(order, x, w, link)
  return h, (residuals, w, link)


def _states_backward(order, saved, bar):
  residuals, w, link = saved
  y_bar, *_ = _backward(order, residuals, w, bar, link)
  return y_bar, products.outer(y_bar, residuals[1]), jnp.zeros_like(link)


_states.defvjp(_states_forward, _states_backward)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(order, x, w, link):
  """h and all that derivatives need: c_{t-1}, h_{t-1}, i, f, g, o, t; each [N, H]."""
  size = w.shape[1]

  def body(state, x):
    new, *gates = cell(x, state, w)
    return new, (new[:, size:], *_parts(state, 2), *gates)

  return grid.down(body, x, 2 * size, link, order)


@_forward.defjvp
def _forward_tangent(order, primals, tangents):
  (x, w, link), (x_dot, w_dot, _) = primals, tangents
  results = _forward(order, x, w, link)

  @grid.whole
  def body(state_dot, inputs):
    c, _, i, f, g, o, t, y_dot = inputs
    c_dot, h_dot = _parts(state_dot, 2)
    y_i, y_f, y_g, y_o = _parts(h_dot @ w.T + y_dot, 4)
    i_dot, f_dot = i * (1 - i) * y_i, f * (1 - f) * y_f
    g_dot, o_dot = (1 - g * g) * y_g, o * (1 - o) * y_o
    new_c = f_dot * c + f * c_dot + i_dot * g + i * g_dot
    t_dot = (1 - t * t) * new_c
    new_h = o_dot * t + o * t_dot
    residuals = new_h, c_dot, h_dot, i_dot, f_dot, g_dot, o_dot, t_dot
    return jnp.concatenate([new_c, new_h], -1), residuals

  # Ẇ h_{t-1} waits for nothing: one product over all cells, before the loop.
  inputs = *results[1:], x_dot + results[2] @ w_dot.T
  return results, grid.down(body, inputs, 2 * w.shape[1], link, order)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _backward(order, residuals, w, bar, link):
  """ȳ of y = x + W h_{t-1} [N, 4H], and c̄ and h̄ in whole, both [N, H].

  bar: [N, H], the part of h̄ that comes from outside of the recurrence.
  """

  def body(later, inputs):
    c, _, i, f, g, o, t, bar = inputs
    c_bar, h_bar = _parts(later, 2)
    h_bar += bar
    c_bar += h_bar * o * (1 - t * t)
    of_i, of_f = c_bar * g * i * (1 - i), c_bar * c * f * (1 - f)
    of_g, of_o = c_bar * i * (1 - g * g), h_bar * t * o * (1 - o)
    y_bar = jnp.concatenate([of_i, of_f, of_g, of_o], -1)
    return jnp.concatenate([c_bar * f, y_bar @ w], -1), (y_bar, c_bar, h_bar)

  return grid.up(body, (*residuals, bar), 2 * w.shape[1], link, order)


@_backward.defjvp
def _backward_tangent(order, primals, tangents):
  (residuals, w, bar, link), (residuals_dot, w_dot, bar_dot, _) = primals, tangents
  results = _backward(order, residuals, w, bar, link)

  @grid.whole
  def body(later, inputs):
    (c, _, i, f, g, o, t), dots, c_bar, h_bar, bar_dot, product = inputs
    c_dot, _, i_dot, f_dot, g_dot, o_dot, t_dot = dots
    c_bar_dot, h_bar_dot = _parts(later, 2)
    h_bar_dot += bar_dot
    c_bar_dot += (h_bar_dot * o + h_bar * o_dot) * (1 - t * t)
    c_bar_dot -= 2 * h_bar * o * t * t_dot

    def sigmoid(y, y_dot, y_bar, y_bar_dot):  # ȳ y (1 - y), differentiated
      return y_bar_dot * y * (1 - y) + y_bar * (1 - 2 * y) * y_dot

    i_bar_dot = sigmoid(i, i_dot, c_bar * g, c_bar_dot * g + c_bar * g_dot)
    f_bar_dot = sigmoid(f, f_dot, c_bar * c, c_bar_dot * c + c_bar * c_dot)
    o_bar_dot = sigmoid(o, o_dot, h_bar * t, h_bar_dot * t + h_bar * t_dot)
    g_bar_dot = (c_bar_dot * i + c_bar * i_dot) * (1 - g * g)
    g_bar_dot -= 2 * c_bar * i * g * g_dot
    y_bar_dot = jnp.concatenate([i_bar_dot, f_bar_dot, g_bar_dot, o_bar_dot], -1)
    c_bar_dot, whole = c_bar_dot * f + c_bar * f_dot, c_bar_dot
    earlier = jnp.concatenate([c_bar_dot, y_bar_dot @ w + product], -1)
    return earlier, (y_bar_dot, whole, h_bar_dot)

  y_bar, c_bar, h_bar = results
  # ȳ Ẇ, the part of h̄'_{t-1} that waits for nothing: one product over all cells.
  inputs = residuals, residuals_dot, c_bar, h_bar, bar_dot, y_bar @ w_dot
  return results, grid.up(body, inputs, 2 * w.shape[1], link, order)


def _parts(x: Array, number: int) -> list[Array]:
  """[..., n H] -> n times [..., H]."""
  return jnp.split(x, number, axis=-1)
