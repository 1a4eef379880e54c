"""The GRU's recurrence over a grid, with one product in the loop.

h_t = cell(x_t, h_{t-1}) for all t is one triangular system. So its derivative is
a triangular system too, linear this time,

    y_t = W v_{t-1} + q_t
    v_t = z_t v_{t-1} + Σ_gates a_t y_t + u_t,

whose coefficients z, a and right sides q, u come from all the states at once,
outside of any loop; and the derivative of that is again such a system, and so on.
Only the solves below are sequential, each with one [R, H] x [H, 3H] product a
step, and they serve derivatives of every order, in both modes: the transposed
system yields the gradients of the gates, and those of the weights are one product
with all states. (Differentiating the loop itself adds up the gradient of the
weights step by step, and at the second order does so several times over.)

Arrays are flat over the batch's cells, [N, ...]; t-1 is the cell that the link
names; see `grid`.
"""

import functools

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.nets import grid

Array = types.Array


def cell(x: Array, h: Array, w: Array, b: Array) -> tuple[Array, ...]:
  """One step. x: [..., 3H], h: [..., H], w: [3H, H], b: [3H].

      r, z = sigmoid(x_r + W_r h + b_r), sigmoid(x_z + W_z h + b_z)
      m = W_n h + b_n
      n = tanh(x_n + r m)
      h' = (1 - z) n + z h

  Returns:
    h' [..., H], (r, z) side by side [..., 2H], n and m [..., H].
  """
  cut = 2 * h.shape[-1]
  y = h @ w.T + b
  rz, m = jax.nn.sigmoid(x[..., :cut] + y[..., :cut]), y[..., cut:]
  r, z = jnp.split(rz, 2, axis=-1)
  n = jnp.tanh(x[..., cut:] + r * m)
  return (1 - z) * n + z * h, rz, n, m


def states(x: Array, w: Array, b: Array, link: Array, order: grid.Order) -> Array:
  """The state after every cell: [N, H].

  Args:
    x: [N, 3H], what the events add to the gates r, z, n.
    w: [3H, H]; b: [3H].
    link: of the batch, see `grid.link`.
    order: how the recurrence runs, see `grid`.
  """
  return _run(order, x, w, b, link)[0][:, : w.shape[1]]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(order, x, w, b, link):
  def body(h, x):
    h, rz, n, m = cell(x, h, w, b)
    # In one array, so that the gates are stored even where only h is asked for:
    # as one kernel with h, the CPU's compiler computes them three times slower.
    return h, (jnp.concatenate([h, rz], -1), n, m)

  return grid.down(body, x, w.shape[1], link, order)


@_run.defjvp
def _run_jvp(order, primals, tangents):
  (x, w, b, link), (d_x, d_w, d_b, _) = primals, tangents
  h_rz, n, m = _run(order, x, w, b, link)
  h, r, z = jnp.split(h_rz, 3, axis=-1)
  before = grid.before(h, link, order)
  # ∂h'/∂x and ∂h'/∂(W h + b), gate by gate.
  of_n = (1 - z) * (1 - n * n)
  of_r, of_z = of_n * m * r * (1 - r), (before - n) * z * (1 - z)
  of_y = jnp.concatenate([of_r, of_z, of_n * r], -1)
  d_xr, d_xz, d_xn = jnp.split(d_x, 3, axis=-1)
  u = of_r * d_xr + of_z * d_xz + of_n * d_xn
  d_h, d_y = _solve(z, of_y, w, u, before @ d_w.T + d_b, link, order)
  d_yr, d_yz, d_m = jnp.split(d_y, 3, axis=-1)
  d_r, d_z = r * (1 - r) * (d_xr + d_yr), z * (1 - z) * (d_xz + d_yz)
  d_n = (1 - n * n) * (d_xn + d_r * m + r * d_m)
  return (h_rz, n, m), (jnp.concatenate([d_h, d_r, d_z], -1), d_n, d_m)


def _solve(z, a, w, u, q, link, order):
  """v [N, H] and y [N, 3H] of the system above."""
  size = w.shape[1]

  def solve(_, right):
    def body(v, xs):
      z, a, u, q = xs
      y = v @ w.T + q
      v = z * v + _fold(a * y) + u
      return v, (v, y)

    return grid.down(body, (z, a, *right), size, link, order)

  def transpose_solve(_, right):
    def body(m, xs):
      z, a, c_v, c_y = xs
      v = c_v + m
      y = c_y + a * jnp.concatenate([v, v, v], -1)
      return z * v + y @ w, (v, y)

    return grid.up(body, (z, a, *right), size, link, order)

  def system(unknowns):
    v, y = unknowns
    before = grid.before(v, link, order)
    return v - z * before - _fold(a * y), y - before @ w.T

  return jax.lax.custom_linear_solve(system, (u, q), solve, transpose_solve)


def _fold(x: Array) -> Array:
  """Sums the three gates: [..., 3H] -> [..., H]."""
  return sum(jnp.split(x, 3, axis=-1))
