"""The LSTM's recurrence over a grid, with one product in the loop.

Here the derivative is written as for the GRU, and for the same reasons (see
`gru_recurrence`): as a linear triangular system,

    y_t = W h_{t-1} + q_t
    c_t = f_t c_{t-1} + Σ_{i,f,g} a_t y_t + u_t
    h_t = s_t c_t + a_t y_t (of the gate o) + u'_t,

whose coefficients f, s, a and right sides q, u, u' come from all the states at once.

Arrays are flat over the batch's cells, [N, ...]; t-1 is the cell that the link
names; see `grid`. c and h go side by side.
"""

import functools

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.nets import grid

Array = types.Array


def cell(x: Array, state: Array, w: Array) -> tuple[Array, Array]:
  """One step. x: [..., 4H], state: c and h side by side [..., 2H], w: [4H, H].

      i, f, o = sigmoid(x_i + W_i h), sigmoid(x_f + W_f h), sigmoid(x_o + W_o h)
      g = tanh(x_g + W_g h)
      c' = f c + i g
      h' = o tanh(c')

  Returns:
    c' and h' [..., 2H], (i, f, g, o) [..., 4H], both side by side.
  """
  size = w.shape[1]
  c, h = _halves(state)
  y = x + h @ w.T
  i_f, o = jax.nn.sigmoid(y[..., : 2 * size]), jax.nn.sigmoid(y[..., 3 * size :])
  i, f = _halves(i_f)
  g = jnp.tanh(y[..., 2 * size : 3 * size])
  c = f * c + i * g
  state = jnp.concatenate([c, o * jnp.tanh(c)], -1)
  return state, jnp.concatenate([i_f, g, o], -1)


def states(x: Array, w: Array, b: Array, link: Array, order: grid.Order) -> Array:
  """The state h after every cell: [N, H].

  Args:
    x: [N, 4H], what the events add to the gates i, f, g, o.
    w: [4H, H]; b: [4H].
    link: of the batch, see `grid.link`.
    order: how the recurrence runs, see `grid`.
  """
  size = w.shape[1]
  return _run(order, x + b, w, link)[:, size : 2 * size]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(order, x, w, link):
  """c, h, i, f, g, o of every cell, side by side: [N, 6H]."""

  def body(state, x):
    state, gates = cell(x, state, w)
    # In one array, for the reason that `gru_recurrence` gives.
    return state, jnp.concatenate([state, gates], -1)

  return grid.down(body, x, 2 * w.shape[1], link, order)


@_run.defjvp
def _run_jvp(order, primals, tangents):
  (x, w, link), (d_x, d_w, _) = primals, tangents
  out = _run(order, x, w, link)
  c, _, i, f, g, o = jnp.split(out, 6, axis=-1)
  state = out[:, : 2 * w.shape[1]]
  c_before, h_before = _halves(grid.before(state, link, order))
  tanh_c = jnp.tanh(c)
  # Of the gates by their pre-activations, and of (c, c, c, h) by those.
  slopes = jnp.concatenate([i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)], -1)
  a = slopes * jnp.concatenate([g, c_before, i, tanh_c], -1)
  of_c = o * (1 - tanh_c * tanh_c)  # of h
  u = jnp.concatenate(_parts(a, d_x), -1)
  d_state, d_y = _solve(f, of_c, a, w, u, h_before @ d_w.T, link, order)
  return out, jnp.concatenate([d_state, slopes * (d_x + d_y)], -1)


def _solve(f, s, a, w, u, q, link, order):
  """(c, h) [N, 2H] and y [N, 4H] of the system above."""
  size = w.shape[1]

  def solve(_, right):
    def body(state, xs):
      f, s, a, u, q = xs
      (c, h), (u_c, u_h) = _halves(state), _halves(u)
      y = h @ w.T + q
      to_c, to_h = _parts(a, y)
      c = f * c + to_c + u_c
      state = jnp.concatenate([c, s * c + to_h + u_h], -1)
      return state, (state, y)

    return grid.down(body, (f, s, a, *right), 2 * size, link, order)

  def transpose_solve(_, right):
    def body(m, xs):
      f, s, a, k, k_y = xs
      c, h = _halves(k + m)
      c = c + s * h
      y = k_y + a * jnp.concatenate([c, c, c, h], -1)
      m = jnp.concatenate([f * c, y @ w], -1)
      return m, (jnp.concatenate([c, h], -1), y)

    return grid.up(body, (f, s, a, *right), 2 * size, link, order)

  def system(unknowns):
    state, y = unknowns
    c_before, h_before = _halves(grid.before(state, link, order))
    to_c, to_h = _parts(a, y)
    expected = jnp.concatenate([f * c_before + to_c, s * state[:, :size] + to_h], -1)
    return state - expected, y - h_before @ w.T

  return jax.lax.custom_linear_solve(system, (u, q), solve, transpose_solve)


def _halves(x: Array) -> tuple[Array, Array]:
  """What is side by side apart: c and h, [..., 2H] -> two of [..., H]."""
  return tuple(jnp.split(x, 2, axis=-1))


def _parts(a: Array, y: Array) -> tuple[Array, Array]:
  """What the gates add to c (i, f and g) and to h (o): [..., 4H] -> two of [..., H]."""
  i, f, g, o = jnp.split(a * y, 4, axis=-1)
  return i + f + g, o
