"""The inner loop: gradient descent on the support, differentiable as a whole."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from metalog_jax.meta import gradients


@dataclasses.dataclass(frozen=True)
class MetaConfig:
  """What the meta-objective is, and how it is differentiated.

  Attributes:
    inner_lr: α, the step size of the inner updates.
    inner_steps: K, how many inner updates.
    order: 'second' for the exact meta-gradient; 'first' drops the derivative of
      the inner gradients, as the released MetaLog does.
    gradient: how inner gradients are differentiated in second order; every way is
      exact, see `gradients`.
    support_weight: of the support's loss at the initial parameters; MAML 0, MetaLog 1.
    query_weight: of the query's loss at the adapted parameters; MAML 1, MetaLog β.
    support_per_step: whether the support's leaves carry a leading axis of length
      `inner_steps`, one batch for each inner step (MetaLog's splits).
  """

  inner_lr: float = 2e-3
  inner_steps: int = 5
  order: gradients.Order = 'second'
  gradient: gradients.Gradient = 'mixed'
  support_weight: float = 1.0
  query_weight: float = 4.0
  support_per_step: bool = True


def adapt(
  loss_fn: Callable[[Any, Any], jax.Array],
  params: Any,
  support: Any,
  config: MetaConfig,
) -> Any:
  """Takes K steps of gradient descent: θᵢ = θᵢ₋₁ - α ∇L(θᵢ₋₁; support).

  Args:
    loss_fn: (params, batch) -> scalar.
    params: any pytree.
    support: what `loss_fn` understands; with `config.support_per_step`, K of them
      stacked along a leading axis of every leaf.
    config: see `MetaConfig`.

  Returns:
    θ_K, shaped like `params` and differentiable in them.

  Raises:
    ValueError: the support's leading axis is not `inner_steps` long.
  """
  if not config.inner_steps:
    return params
  if config.support_per_step:
    _check_steps(support, config.inner_steps)
  grad_fn = gradients.inner_gradient(loss_fn, config.order, config.gradient)

  def step(params, batch):
    grads = grad_fn(params, batch if config.support_per_step else support)
    return jax.tree.map(lambda p, g: p - config.inner_lr * g, params, grads), None

  batches = support if config.support_per_step else None
  return jax.lax.scan(step, params, batches, length=config.inner_steps)[0]


def _check_steps(support: Any, steps: int) -> None:
  for leaf in jax.tree.leaves(support):
    if jax.numpy.ndim(leaf) < 1 or leaf.shape[0] != steps:
      raise ValueError(
        f'with support_per_step every leaf of the support needs a leading axis of '
        f'inner_steps={steps}, but one has the shape {jax.numpy.shape(leaf)}'
      )
