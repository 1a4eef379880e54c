"""Ways to take the gradient of an inner step, and what its own derivative costs.

Every way gives the same first derivative; they differ in how (or whether) it is
differentiated again on the way to the meta-gradient.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax

Order = Literal['second', 'first']
Gradient = Literal['mixed', 'reverse']


def reverse(loss_fn: Callable) -> Callable:
  """Reverse over reverse: plain `jax.grad`, which keeps the whole inner backward."""
  return jax.grad(loss_fn)


def mixed(loss_fn: Callable) -> Callable:
  """Forward over reverse: exact too, and keeps only the parameters of each step.

  A Hessian is symmetric, so the backward pass vᵀ∇²L equals ∇²L v, one
  forward-mode derivative of the gradient. The batch is data: no derivative
  flows into it.

  References:
    Kemaev et al, Scalable Meta-Learning via Mixed-Mode Differentiation, ICML 2025.
  """

  @jax.custom_vjp
  def grad(params, batch):
    return jax.grad(loss_fn)(params, batch)

  def forward(params, batch):
    return grad(params, batch), (params, batch)

  def backward(saved, v):
    params, batch = saved
    at_batch = lambda p: jax.grad(loss_fn)(p, batch)
    return jax.jvp(at_batch, (params,), (v,))[1], None

  grad.defvjp(forward, backward)
  return grad


def mean_loss(loss_fn: Callable, gradient: Gradient) -> Callable[[Any, Any], jax.Array]:
  """The mean loss over stacked batches: (params, batches [K, ...]) -> scalar.

  'mixed' takes the gradient on the way forward, so that nothing else outlives it;
  then no second derivative can be asked of it.
  """

  def mean(params, batches):
    return jax.vmap(loss_fn, in_axes=(None, 0))(params, batches).mean()

  if gradient == 'reverse':
    return mean
  eager = jax.custom_vjp(mean)
  eager.defvjp(
    jax.value_and_grad(mean),
    lambda grads, v: (jax.tree.map(lambda g: g * v, grads), None),
  )
  return eager


def inner_gradient(
  loss_fn: Callable[[Any, Any], jax.Array], order: Order, gradient: Gradient
) -> Callable[[Any, Any], Any]:
  """The gradient of an inner step: (params, batch) -> grads, shaped like params.

  Args:
    loss_fn: (params, batch) -> scalar.
    order: 'second' is exact; 'first' takes the gradient for a constant.
    gradient: how the gradient is differentiated, see the functions above; without
      meaning in first order.
  """
  if order == 'first':
    return lambda params, batch: jax.lax.stop_gradient(jax.grad(loss_fn)(params, batch))
  return {'reverse': reverse, 'mixed': mixed}[gradient](loss_fn)
