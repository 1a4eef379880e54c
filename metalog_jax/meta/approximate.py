"""Ways that do not differentiate the inner loop: what they put in its place.

Both are written as values plus terms that are zero, and whose derivative is what
is wanted. So they need no rule of their own under jit, vmap or shard_map.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg


def implicit(
  loss_fn: Callable[[Any], jax.Array],
  params: Any,
  adapted: Any,
  proximal: float,
  steps: int,
  tolerance: float,
) -> Any:
  """`adapted` with the Jacobian that the exact solution of the inner problem has.

  Where θ' minimizes L(θ') + λ/2 |θ' - θ|², the Jacobian is dθ'/dθ = (I + H/λ)⁻¹
  with H = ∇²L(θ'). It is applied to a vector by conjugate gradients, with one
  product with the Hessian a step and nothing kept of the inner loop. I + H/λ has
  to be positive definite: in problems that are not convex, λ has to outweigh the
  most negative curvature.

  Args:
    loss_fn: L, the loss on the support: params -> scalar.
    params: θ.
    adapted: θ' as far as the inner steps came.
    proximal: λ > 0.
    steps: conjugate gradient steps at most.
    tolerance: of the residual, relative to the right side.

  References:
    Rajeswaran et al, Meta-Learning with Implicit Gradients, NeurIPS 2019, eq. 6, 7.
  """
  adapted = jax.lax.stop_gradient(adapted)

  def matvec(u):
    product = jax.jvp(jax.grad(loss_fn), (adapted,), (u,))[1]
    return jax.tree.map(lambda u, h: u + h / proximal, u, product)

  # Solved for zero on the way forward, for the query's gradient on the way back.
  moved = linalg.cg(matvec, _zero(params), tol=tolerance, maxiter=steps)[0]
  return jax.tree.map(jnp.add, adapted, moved)


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
  moved = jax.tree.map(
    lambda z, p, a: jnp.sum(z * jax.lax.stop_gradient(p - a) / rate),
    _zero(params),
    params,
    adapted,
  )
  return sum(jax.tree.leaves(moved))


def _zero(params: Any) -> Any:
  """θ - θ, where only the first θ is differentiated."""
  return jax.tree.map(lambda p: p - jax.lax.stop_gradient(p), params)
