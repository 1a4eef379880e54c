"""Products with weights, in the forms that processors are quickest at."""

import jax
import jax.numpy as jnp

from metalog_jax import types

Array = types.Array


def linear(x: Array, w: Array) -> Array:
  """x wᵀ [N, G], whose gradient in w is taken by `outer`. x: [N, H], w: [G, H]."""
  return _linear(x, *vary_as(x, w))


@jax.custom_vjp
def _linear(x, w):
  return x @ w.T


def _linear_backward(saved, y_bar):
  x, w = saved
  return y_bar @ w, outer(y_bar, x)


_linear.defvjp(lambda x, w: (x @ w.T, (x, w)), _linear_backward)


def outer(y: Array, x: Array) -> Array:
  """Σ_n y_n x_nᵀ, the gradient of weights [G, H]. y: [N, G], x: [N, H], G >= H.

  As the transposed product, which is a fifth quicker on a CPU; without the barrier,
  the compiler would turn it round again.
  """
  return jax.lax.optimization_barrier(x.T @ y).T


def in_loop(h: Array, w: Array) -> Array:
  """h wᵀ [R, G] inside of a loop over h [R, H], w: [G, H].

  Of one row it is computed by itself: where a CPU's compiler adds what is to be added
  as it multiplies, it copies wᵀ first, at every step, which takes as long again.
  """
  y = h @ w.T
  one_row = h.shape[0] == 1  # never of an exported program, whose sizes are open
  return jax.lax.optimization_barrier(y) if one_row else y


def vary_as(x: Array, *arrays: Array) -> list[Array]:
  """The arrays, varying over a mesh as `x` does: what custom rules return has to."""
  zero = jnp.zeros_like(x.ravel()[0])
  return [array + zero for array in arrays]
