"""Finite differences: the oracle, for problems so small that cost does not matter."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import flatten_util

from metalog_jax import errors
from metalog_jax.meta import derivatives

STEP = 1e-4  # truncation O(STEP⁴) and rounding O(1e-16 / STEP) are both below 1e-11
REFUSAL = (
  "gradient='finite' has differences in params and hyper alone, not in the data or in "
  "what the loss closes over: take gradient='mixed', which is exact there too"
)


def gradient(f: Callable[[Any], jax.Array], params: Any) -> Any:
  """Central differences of fourth order over every coordinate, in float64.

      ∂f/∂xᵢ ≈ (f(x - 2h eᵢ) - 8 f(x - h eᵢ) + 8 f(x + h eᵢ) - f(x + 2h eᵢ)) / 12h

  Costs 4 P values of f for P parameters, one after another.

  Args:
    f: params -> scalar.
    params: any pytree of real numbers; computed on as float64.

  Raises:
    UserError: jax is not set to compute in float64.
  """
  if jax.dtypes.canonicalize_dtype(float) != jnp.float64:
    raise errors.UserError("gradient='finite' needs float64: set jax_enable_x64")
  double = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
  flat, unravel = flatten_util.ravel_pytree(double)
  offsets = STEP * jnp.array([-2.0, -1.0, 1.0, 2.0])

  def slope(i):
    values = jax.lax.map(lambda t: f(unravel(flat.at[i].add(t))), offsets)
    return values @ jnp.array([1.0, -8.0, 8.0, -1.0]) / (12 * STEP)

  grads = unravel(jax.lax.map(slope, jnp.arange(flat.size)))
  return jax.tree.map(lambda g, p: g.astype(jnp.asarray(p).dtype), grads, params)


def differentiated(f: Callable[[Any, Any], tuple[jax.Array, Any]]) -> Callable:
  """f(params, data) -> (scalar, aux), whose derivative in params is `gradient`.

  No derivative flows from `aux`; one in the data is refused with a UserError.
  """

  def forward(f, params, data):
    def pullback(params, data, v):
      grads = gradient(lambda p: f(p, data)[0], params)
      return jax.tree.map(lambda g: g * v[0].astype(g.dtype), grads), None

    return f(params, data), jax.tree_util.Partial(pullback, params, data)

  def differenced(params, data):
    explicit, data = derivatives.explicit(f, params, data)
    data = derivatives.refuse(data, REFUSAL)
    rule = lambda params, data, _: forward(explicit, params, data)
    return derivatives.with_rule(explicit, rule)(params, data)

  return differenced
