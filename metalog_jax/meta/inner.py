"""The inner loop: descent on the support, differentiable as a whole."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metalog_jax import errors
from metalog_jax.meta import approximate, gradients, rules

Loss = Callable[[Any, Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class MetaConfig:
  """What the meta-objective is, and how it is differentiated.

  Attributes:
    inner_lr: α, the step size of the inner updates.
    inner_steps: K, how many inner updates.
    order: 'second' as `gradient` says; 'first' drops the derivative of the inner
      gradients, as the released MetaLog does, whatever `gradient` says.
    gradient: the way to take the meta-gradient, see `gradients`.
    support_weight: of the support's loss at the initial parameters; MAML 0, MetaLog 1.
    query_weight: of the query's loss at the adapted parameters; MAML 1, MetaLog β.
    support_per_step: whether the support's leaves carry a leading axis of length
      `inner_steps`, one batch for each inner step (MetaLog's splits).
    rule: of the inner updates, see `rules`; None: gradient descent with `inner_lr`.
    anneal: > 0: the query's loss is taken after every inner step, with weights that
      move to the last one over so many meta-steps (MAML++); 0: after the last alone.
    truncate: with 'truncated', the last so many inner steps are differentiated
      exactly, those before in first order. 0 is first order, K is exact.
    proximal: λ >= 0. Adds λ/2 |θᵢ - θ|² to the inner loss, whatever the way; with
      'implicit' it must be positive.
    cg_steps: with 'implicit', steps of conjugate gradients at most.
    cg_tol: with 'implicit', their residual relative to the right side.
    tasks: how a device takes the tasks of a step: 'side_by_side' (`vmap`) or
      'in_turn' (`scan`), which needs the memory of one; 'auto': in turn on a CPU.
  """

  inner_lr: float = 2e-3
  inner_steps: int = 5
  order: gradients.Order = 'second'
  gradient: gradients.Gradient = 'mixed'
  support_weight: float = 1.0
  query_weight: float = 4.0
  support_per_step: bool = True
  rule: rules.Rule | None = None
  anneal: int = 0
  truncate: int = 1
  proximal: float = 0.0
  cg_steps: int = 10
  cg_tol: float = 1e-6
  tasks: Literal['auto', 'in_turn', 'side_by_side'] = 'auto'

  @property
  def way(self) -> str:
    """'first', or the gradient's."""
    return 'first' if self.order == 'first' else self.gradient


def rule_of(config: MetaConfig) -> rules.Rule:
  """The inner rule."""
  return config.rule or rules.sgd(config.inner_lr)


def adapt(loss_fn: Loss, params: Any, support: Any, config: MetaConfig) -> Any:
  """Takes K inner steps, by default of gradient descent: θᵢ = θᵢ₋₁ - α ∇L(θᵢ₋₁; S).

  Args:
    loss_fn: (params, batch) -> scalar.
    params: any pytree; with a rule that learns, its meta-parameters.
    support: what `loss_fn` understands; with `config.support_per_step`, K of them
      stacked along a leading axis of every leaf.
    config: see `MetaConfig`. 'reptile' and 'finite' are ways for a whole objective:
      here the one is first order, the other 'reverse'.

  Returns:
    θ_K, shaped like what the loss sees of `params`, and differentiable in them.

  Raises:
    UserError: the support's leading axis is not `inner_steps` long, or a setting
      does not fit the way or the rule.
  """
  start, rates = rule_of(config).split(params)
  if not config.inner_steps:
    return start
  config = _checked(loss_fn, start, rates, support, config)
  adapted, _ = _descend(loss_fn, start, rates, support, config)
  if config.way != 'implicit':
    return adapted
  return approximate.implicit(
    support_loss(loss_fn, config, 'reverse'),  # can be differentiated twice
    start,
    adapted,
    support,
    config.proximal,
    config.cg_steps,
    config.cg_tol,
  )


def path(loss_fn: Loss, params: Any, support: Any, config: MetaConfig) -> Any:
  """All that `adapt` comes by: θ₁ .. θ_K, stacked along a leading axis.

  Takes what `adapt` takes, at least one inner step, and raises what it raises.

  Raises:
    UserError: the way is 'implicit' or 'reptile', which know the last of them alone.
  """
  if config.way in ('implicit', 'reptile'):
    raise errors.UserError(
      f'gradient={config.way!r} has no losses after each inner step'
    )
  start, rates = rule_of(config).split(params)
  config = _checked(loss_fn, start, rates, support, config)
  return _descend(loss_fn, start, rates, support, config, every=True)[1]


def after(
  loss_fn: Loss, params: Any, support: Any, config: MetaConfig, steps: Any
) -> Any:
  """θ after the first `steps` of the K inner steps.

  One program serves all numbers of steps, and keeps no step but the last. It has no
  reverse derivative. Takes what `adapt` takes, and raises what it raises.

  Args:
    steps: 0 .. K, a number or a traced integer.
  """
  start, rates = rule_of(config).split(params)
  config = _checked(loss_fn, start, rates, support, config)
  step = _stepper(loss_fn, start, support, config)
  xs = support if config.support_per_step else None, rates

  def body(i, carry):
    return step(carry, jax.tree.map(lambda x: x[i], xs), exact=False)

  return jax.lax.fori_loop(0, steps, body, (start, rule_of(config).init(start)))[0]


def _checked(loss_fn, start, rates, support, config: MetaConfig) -> MetaConfig:
  """The config with its way chosen, if everything fits it."""
  if config.support_per_step:
    _check_steps(support, config.inner_steps)
  if config.way == 'auto':
    way, _ = choose(loss_fn, start, support, config)
    config = dataclasses.replace(config, gradient=way)
  _check_way(config, start, rates)
  return config


def support_loss(loss_fn: Loss, config: MetaConfig, gradient: str) -> Loss:
  """L(θ; S), the mean over the batches of the inner steps if each has its own."""
  if config.support_per_step:
    return gradients.mean_loss(loss_fn, gradient)
  return loss_fn


def choose(
  loss_fn: Loss, params: Any, support: Any, config: MetaConfig, tasks: int = 1
) -> tuple[str, str]:
  """The way that 'auto' stands for, and why: see `gradients.choose`.

  Args:
    loss_fn: (params, batch) -> scalar.
    params: what the loss sees, arrays or their shapes.
    support: of one task, arrays or their shapes.
    config: any; if its way is not 'auto', that is the answer.
    tasks: T, how many tasks are taken side by side.
  """
  if config.way != 'auto':
    return config.way, 'as asked for'
  if config.support_per_step and config.inner_steps:
    first = lambda s: jax.tree.map(lambda x: x[0], s)
    support = jax.eval_shape(first, support)
  return gradients.choose(loss_fn, params, support, config.inner_steps, tasks)


def _descend(loss_fn, start, rates, support, config, every=False):
  """The scan over the inner steps: those in first order, then the exact ones.

  Returns θ_K and, with `every`, θ₁ .. θ_K.
  """
  num, step = config.inner_steps, _stepper(loss_fn, start, support, config)
  xs = (support if config.support_per_step else None, rates)
  carry, cut = (start, rule_of(config).init(start)), num - _exact_steps(config)
  paths = []

  def one(carry, xs, exact):
    carry = step(carry, xs, exact)
    return carry, carry[0] if every else None

  for exact, part in ((False, slice(0, cut)), (True, slice(cut, num))):
    body = functools.partial(one, exact=exact)
    if config.way == 'remat':
      body = jax.checkpoint(body, prevent_cse=False)
    if length := part.stop - part.start:
      some = jax.tree.map(lambda x: x[part], xs) if length < num else xs  # noqa: B023
      carry, passed = jax.lax.scan(body, carry, some, length=length)
      paths.append(passed)
  return carry[0], jax.tree.map(lambda *x: jnp.concatenate(x), *paths)


def _stepper(loss_fn, start, support, config: MetaConfig) -> Callable:
  """step((params, state), (batch, rates), exact) -> (params, state)."""
  rule = rule_of(config)
  grad_fn = gradients.inner_gradient(loss_fn, config.gradient)

  def step(carry, xs, exact):
    (params, state), (batch, rates) = carry, xs
    hold = (lambda x: x) if exact else jax.lax.stop_gradient
    at, anchor = hold((params, start))
    grads = grad_fn(at, batch if config.support_per_step else support)
    if config.proximal:  # ∇ λ/2 |θᵢ - θ|²
      pull = lambda g, p, a: g + config.proximal * (p - a)
      grads = jax.tree.map(pull, grads, at, anchor)
    return rule.update(grads, state, params, rates)

  return step


def _exact_steps(config: MetaConfig) -> int:
  if config.way == 'truncated':
    return min(config.truncate, config.inner_steps)
  return 0 if config.way in ('first', 'reptile', 'implicit') else config.inner_steps


def _check_way(config: MetaConfig, params: Any, rates: Any) -> None:
  if config.rule and _exact_steps(config):
    rules.check(config.rule, jax.tree.map(jnp.asarray, params))
  if config.way in ('implicit', 'reptile') and rates is not None:
    raise errors.UserError(
      f'gradient={config.way!r} gives learned inner rates no gradient'
    )
  if config.way == 'implicit' and config.proximal <= 0:
    raise errors.UserError("gradient='implicit' needs proximal > 0")
  if config.way == 'truncated' and config.truncate < 0:
    raise errors.UserError(f'truncate={config.truncate} is negative')


def _check_steps(support: Any, steps: int) -> None:
  for leaf in jax.tree.leaves(support):
    if jnp.ndim(leaf) < 1 or leaf.shape[0] != steps:
      raise errors.UserError(
        f'with support_per_step every leaf of the support needs a leading axis of '
        f'inner_steps={steps}, but one has the shape {jnp.shape(leaf)}'
      )
