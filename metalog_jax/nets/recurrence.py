"""The GRU's recurrence over a staircase, with one product in the loop.

h_t = cell(x_t, h_{t-1}) for all t is one triangular system. So its derivative is
a triangular system too, linear this time,

    v_t = J_t v_{t-1} + u_t,

whose Jacobians J and right side u come from all the states at once, outside of
any loop; and the derivative of that is again such a system, and so on. Only the
solves below are sequential, each with one [R, H] x [H, 3H] product a step, and
they serve derivatives of every order, in both modes. (Differentiating the loop
itself adds up the gradient of the weights step by step, and at the second order
does so several times over.)

Arrays are flat over the batch's positions, [N, ...]; see `staircase`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.nets import staircase

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


def make_states(
  layout: staircase.Layout, reverse: bool = False
) -> Callable[[Array, Array, Array], Array]:
  """Makes states(x, w, b): [N, 3H], [3H, H], [3H] -> [N, H].

  In time, the rows that reach the next segment go on with their state. In
  reverse, the rows that end in an earlier segment join there with a zero state.
  """

  @jax.custom_jvp
  def run(x, w, b):
    def body(h, x):
      h, rz, n, m = cell(x, h, w, b)
      # In one array, so that the gates are stored even where only h is asked for:
      # as one kernel with h, the CPU's compiler computes them three times slower.
      return h, (jnp.concatenate([h, rz], -1), n, m)

    return _scan(body, x, w.shape[1], layout, reverse)

  @run.defjvp
  def jvp(primals, tangents):
    (x, w, b), (d_x, d_w, d_b) = primals, tangents
    h_rz, n, m = run(x, w, b)
    h, rz = jnp.split(h_rz, [w.shape[1]], axis=-1)
    before = staircase.shift(h, layout, reverse)
    r, z = jnp.split(rz, 2, axis=-1)
    # ∂h'/∂x and ∂h'/∂(W h + b), gate by gate.
    of_n = (1 - z) * (1 - n * n)
    of_rz = jnp.concatenate([of_n * m, before - n], -1) * rz * (1 - rz)
    of_x = jnp.concatenate([of_rz, of_n], -1)
    of_y = jnp.concatenate([of_rz, of_n * r], -1)
    d_y = before @ d_w.T + d_b
    u = _fold(of_x * d_x) + _fold(of_y * d_y)
    d_h = _solve(z, of_y, w, u, layout, reverse)
    d_y += staircase.shift(d_h, layout, reverse) @ w.T
    cut = rz.shape[-1]
    d_rz = rz * (1 - rz) * (d_x + d_y)[:, :cut]
    d_m = d_y[:, cut:]
    d_n = (1 - n * n) * (d_x[:, cut:] + d_rz[:, : cut // 2] * m + r * d_m)
    return (h_rz, n, m), (jnp.concatenate([d_h, d_rz], -1), d_n, d_m)

  return lambda x, w, b: run(x, w, b)[0][:, : w.shape[1]]


def _solve(z, a, w, u, layout, reverse):
  """v_t = J_t v_{t-1} + u_t, where J_t v = z_t v + Σ_gates a_t (W v): [N, H]."""
  size = w.shape[1]
  step = lambda z, a, v: z * v + _fold(a * (v @ w.T))

  def solve(_, u):
    def body(v, xs):
      z, a, u = xs
      v = step(z, a, v) + u
      return v, v

    return _scan(body, (z, a, u), size, layout, reverse)

  def transpose_solve(_, c):
    def body(m, xs):
      z, a, c = xs
      v = c + m
      gates = a.reshape(-1, 3, size) * v[:, None]
      return z * v + gates.reshape(a.shape) @ w, v

    return _scan(body, (z, a, c), size, layout, not reverse)

  system = lambda v: v - step(z, a, staircase.shift(v, layout, reverse))
  return jax.lax.custom_linear_solve(system, u, solve, transpose_solve)


def _fold(x: Array) -> Array:
  """Sums the three gates: [..., 3H] -> [..., H]."""
  return sum(jnp.split(x, 3, axis=-1))


def _scan(
  body: Callable[[Array, Any], tuple[Array, Any]],
  xs: Any,
  size: int,
  layout: staircase.Layout,
  reverse: bool,
) -> Any:
  """Scans body(carry [R, size], xs [R, ...]) -> (carry, ys [R, ...]) over time.

  Rows leave, or join with a zero carry, from segment to segment.

  Args:
    body: one step for the R rows of a segment.
    xs: flat arrays, [N, ...].
    size: H of the carry.
    layout: of the batch.
    reverse: from the last step to the first.

  Returns:
    Flat arrays like what `body` returns, [N, ...].
  """
  dtype = jax.tree.leaves(xs)[0].dtype
  take = lambda at, rows: jax.tree.map(
    lambda x: jax.lax.dynamic_slice_in_dim(x, at, rows), xs
  )
  shapes = jax.eval_shape(body, jnp.zeros((1, size), dtype), take(0, 1))[1]
  ends = staircase.ends(layout)
  ys = jax.tree.map(lambda y: jnp.zeros((ends[-1], *y.shape[1:]), y.dtype), shapes)
  carry = jnp.zeros((0 if reverse else layout[0][0], size), dtype)

  def run(carry, ys, start, rows, steps):
    def step(i, state):
      carry, ys = state
      at = start + rows * (steps - 1 - i if reverse else i)
      carry, new = body(carry, take(at, rows))
      put = lambda y, new: jax.lax.dynamic_update_slice_in_dim(y, new, at, 0)
      return carry, jax.tree.map(put, ys, new)

    carry = jnp.pad(carry, ((0, max(rows - carry.shape[0], 0)), (0, 0)))[:rows]
    return jax.lax.fori_loop(0, steps, step, (carry, ys))

  segments = list(zip(ends, layout))
  for start, (rows, steps) in segments[::-1] if reverse else segments:
    carry, ys = run(carry, ys, start, rows, steps)
  return ys
