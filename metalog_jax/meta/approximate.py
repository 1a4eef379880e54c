"""Modes that do not differentiate the inner loop: what they put in its place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import flatten_util

from metalog_jax.meta import derivatives, gradients


def implicit(
  loss_fn: Callable[[Any, Any], jax.Array],
  params: Any,
  adapted: Any,
  support: Any,
  proximal: float,
  steps: int,
  tolerance: float,
) -> Any:
  """`adapted` with the Jacobian that the exact solution of the inner problem has.

  Where θ' minimizes L(θ'; D) + λ/2 |θ' - θ|², the Jacobians are dθ'/dθ = (I + H/λ)⁻¹
  with H = ∇²L(θ'), and dθ'/dD = -(I + H/λ)⁻¹ ∂_D∇L(θ') / λ. The inverse is applied to
  a vector by conjugate gradients, with one product with the Hessian a step and
  nothing kept of the inner loop. I + H/λ has to be positive definite: in problems
  that are not convex, λ has to outweigh the most negative curvature.

  Args:
    loss_fn: L, (params, support) -> scalar.
    params: θ.
    adapted: θ' as far as the inner steps came.
    support: D.
    proximal: λ > 0.
    steps: conjugate gradient steps at most.
    tolerance: of the residual, relative to the right side.

  References:
    Rajeswaran et al, Meta-Learning with Implicit Gradients, NeurIPS 2019, eq. 6, 7.
    Lorraine et al, Optimizing Millions of Hyperparameters by Implicit
    Differentiation, AISTATS 2020, eq. 3 (in the data).
  """

  loss, data = derivatives.explicit(loss_fn, adapted, support)

  def forward(both, data, in_data):
    def pullback(adapted, data, v):
      def along(u, too):  # ∂/∂ε ∇L(θ' + ε u) in θ, and in the data too
        return jax.jvp(gradients.joint(loss, data, too), (adapted,), (u,))[1]

      matvec = lambda u: jax.tree.map(
        lambda u, h: u + h / proximal, u, along(u, False)[0]
      )
      u = conjugate_gradients(matvec, v, steps, tolerance)
      mixed = along(u, True)[1] if in_data else None
      return (u, None), jax.tree.map(lambda x: -x / proximal, mixed)

    return both[1], jax.tree_util.Partial(pullback, both[1], data)

  rule = derivatives.with_rule(lambda both, _: both[1], forward)
  return rule((params, adapted), data)


def conjugate_gradients(
  matvec: Callable[[Any], Any], right: Any, steps: int, tolerance: float
) -> Any:
  """Solves A x = b for a symmetric positive definite A, until |A x - b| <= tol |b|.

  In place of `jax.scipy.sparse.linalg.cg`, whose result shard_map takes to differ
  between devices wherever `matvec` sums over them.

  Args:
    matvec: x -> A x, pytrees like `right`.
    right: b.
    steps: at most so many products with A.
    tolerance: tol.

  References:
    Hestenes and Stiefel, Methods of Conjugate Gradients, 1952, eq. 3:1.
  """
  b, unravel = flatten_util.ravel_pytree(right)
  product = lambda p: flatten_util.ravel_pytree(matvec(unravel(p)))[0]

  def go_on(state):
    _, r, _, step = state
    return (step < steps) & (r @ r > tolerance**2 * (b @ b))

  def advance(state):
    x, r, p, step = state
    ap, rr = product(p), r @ r
    alpha = rr / (p @ ap)
    x, r = x + alpha * p, r - alpha * ap
    return x, r, r + (r @ r) / rr * p, step + 1

  start = (0 * b, b, b, 0)  # not zeros_like: b may differ between devices
  return unravel(jax.lax.while_loop(go_on, advance, start)[0])


def reptile(params: Any, adapted: Any, rate: float) -> jax.Array:
  """Zero, with the derivative (θ - θ_K) / α: [].

  Added to the query's loss at θ_K in first order, the derivative of the sum is the
  pseudo-gradient (θ - θ_K₊₁) / α of an inner loop whose last step is on the query:
  Reptile's, where a task's data are its support batches and then its query. With
  another inner rule than gradient descent only the scale of the first K steps
  differs; the step on the query is a plain one.

  References:
    Nichol et al, On First-Order Meta-Learning Algorithms, 2018, algorithm 1.
  """
  hold = jax.lax.stop_gradient
  term = lambda p, a: jnp.sum((p - hold(p)) * hold(p - a) / rate)
  total: Any = sum(jax.tree.leaves(jax.tree.map(term, params, adapted)))
  return total
