"""Ways that do not differentiate the inner loop: what they put in its place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import flatten_util


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

  Where θ' minimizes L(θ') + λ/2 |θ' - θ|², the Jacobian is dθ'/dθ = (I + H/λ)⁻¹
  with H = ∇²L(θ'). It is applied to a vector by conjugate gradients, with one
  product with the Hessian a step and nothing kept of the inner loop. I + H/λ has
  to be positive definite: in problems that are not convex, λ has to outweigh the
  most negative curvature.

  Args:
    loss_fn: L, (params, support) -> scalar.
    params: θ.
    adapted: θ' as far as the inner steps came.
    support: data.
    proximal: λ > 0.
    steps: conjugate gradient steps at most.
    tolerance: of the residual, relative to the right side.

  References:
    Rajeswaran et al, Meta-Learning with Implicit Gradients, NeurIPS 2019, eq. 6, 7.
  """

  @jax.custom_vjp
  def solution(params, adapted, support):
    del params, support
    return adapted

  def backward(saved, v):
    adapted, support = saved

    def matvec(u):
      grad = lambda p: jax.grad(loss_fn)(p, support)
      product = jax.jvp(grad, (adapted,), (u,))[1]
      return jax.tree.map(lambda u, h: u + h / proximal, u, product)

    return conjugate_gradients(matvec, v, steps, tolerance), None, None

  solution.defvjp(lambda _, adapted, support: (adapted, (adapted, support)), backward)
  return solution(params, adapted, support)


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
  return sum(jax.tree.leaves(jax.tree.map(term, params, adapted)))
