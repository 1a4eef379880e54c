"""The inner loop: descent on the support, differentiable as a whole."""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metalog_jax import errors
from metalog_jax.meta import approximate, gradients, rules

Loss = Callable[[Any, Any], jax.Array]
COUNTS = ('inner_steps', 'anneal', 'truncate', 'cg_steps')
NUMBERS = ('inner_lr', 'support_weight', 'query_weight', 'proximal', 'cg_tol')


@dataclasses.dataclass(frozen=True)
class MetaConfig:
  """What the meta-objective is, and how it is differentiated. By default MAML's.

  Attributes:
    inner_lr: α, the step size of the inner updates.
    inner_steps: K, how many inner updates.
    order: 'second' as `gradient` says; 'first' drops the derivative of the inner
      gradients, as the released MetaLog does, whatever `gradient` says.
    gradient: how the meta-gradient is taken, see `gradients`.
    support_weight: of the support's loss at the initial parameters; MAML 0, MetaLog 1.
    query_weight: of the query's loss at the adapted parameters; MAML 1, MetaLog β.
    support_per_step: whether the support's leaves carry a leading axis of length
      `inner_steps`, one batch for each inner step (MetaLog's splits); by default all
      steps read the whole support.
    rule: of the inner updates: one of `rules`, or a transformation of optax; None:
      gradient descent with `inner_lr`.
    anneal: > 0: the query's loss is taken after every inner step, with weights that
      move to the last one over so many meta-steps (MAML++); 0: after the last alone.
    truncate: with 'truncated', the last so many inner steps are differentiated
      exactly, those before in first order. 0 is first order, K is exact.
    proximal: λ >= 0. Adds λ/2 ‖θᵢ - θ‖² to the inner loss, whatever the mode; with
      'implicit' it must be positive.
    cg_steps: with 'implicit', steps of conjugate gradients at most.
    cg_tol: with 'implicit', their residual relative to the right side.
    tasks: how a device takes the tasks of a step: 'side_by_side' (`vmap`) or
      'in_turn' (`scan`), which needs the memory of one; 'auto': in turn on a CPU.

  Raises:
    UserError: there is no such choice, or a number is negative or not finite.
  """

  inner_lr: float = 2e-3
  inner_steps: int = 5
  order: gradients.Order = 'second'
  gradient: gradients.Gradient = 'mixed'
  support_weight: float = 0.0
  query_weight: float = 1.0
  support_per_step: bool = False
  rule: rules.Rule | rules.Transformation | None = None
  anneal: int = 0
  truncate: int = 1
  proximal: float = 0.0
  cg_steps: int = 10
  cg_tol: float = 1e-6
  tasks: Literal['auto', 'in_turn', 'side_by_side'] = 'auto'

  def __post_init__(self):
    errors.check_choices(self, 'MetaConfig.')
    for name in COUNTS + NUMBERS:
      _check_number(name, getattr(self, name), name in COUNTS)
    if not isinstance(self.support_per_step, bool):
      raise errors.UserError(
        f'MetaConfig.support_per_step={self.support_per_step!r} is not True or False'
      )
    if self.rule is not None:
      object.__setattr__(self, 'rule', rules.as_rule(self.rule))

  @property
  def mode(self) -> str:
    """'first', or the gradient's."""
    return 'first' if self.order == 'first' else self.gradient

  @property
  def inner_rule(self) -> rules.Rule:
    """The rule, or gradient descent."""
    return rules.as_rule(self.rule) if self.rule else rules.sgd(self.inner_lr)


def _check_number(name: str, value: Any, whole: bool) -> None:
  """Traced numbers pass: the derivative in a learning rate may be asked for."""
  if isinstance(value, jax.core.Tracer):
    return
  try:
    number = operator.index(value) if whole else float(value)
  except (TypeError, ValueError):
    number = math.nan
  if isinstance(value, (bool, str)) or not 0 <= number < math.inf:
    kind = 'whole number' if whole else 'finite number'
    raise errors.UserError(f'MetaConfig.{name}={value!r} is not a {kind} >= 0')


def adapt(loss_fn: Loss, params: Any, support: Any, config: MetaConfig) -> Any:
  """Takes K inner steps, by default of gradient descent: θᵢ = θᵢ₋₁ - α ∇L(θᵢ₋₁; S).

  Args:
    loss_fn: (params, batch) -> scalar.
    params: any pytree; with a rule that learns, its meta-parameters.
    support: what `loss_fn` understands; with `config.support_per_step`, K of them
      stacked along a leading axis of every leaf.
    config: see `MetaConfig`. 'reptile' and 'finite' are modes of a whole objective:
      here the one is first order, the other 'reverse'.

  Returns:
    θ_K, shaped like what the loss sees of `params`, and differentiable in them and,
    as `gradients` says, in the support.

  Raises:
    UserError: the support's leading axis is not `inner_steps` long, the loss is no
      scalar, or a setting does not fit the mode or the rule.
  """
  start, rates = config.inner_rule.split(params)
  if not config.inner_steps:
    return start
  loss_fn, config = _checked(loss_fn, start, rates, support, config)
  adapted, _ = _descend(loss_fn, start, rates, support, config)
  if config.mode != 'implicit':
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
  """The parameters after every inner step: θ₁ .. θ_K, along a leading axis.

  Takes what `adapt` takes, at least one inner step, and raises what it raises.

  Raises:
    UserError: the mode is 'implicit' or 'reptile', which know the last of them alone.
  """
  if config.mode in ('implicit', 'reptile'):
    raise errors.UserError(
      f'gradient={config.mode!r} has no losses after each inner step'
    )
  start, rates = config.inner_rule.split(params)
  loss_fn, config = _checked(loss_fn, start, rates, support, config)
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
  start, rates = config.inner_rule.split(params)
  loss_fn, config = _checked(loss_fn, start, rates, support, config)
  step = _stepper(loss_fn, start, support, config)
  xs = support if config.support_per_step else None, rates

  def body(i, carry):
    return step(carry, jax.tree.map(lambda x: x[i], xs), exact=False)

  return jax.lax.fori_loop(0, steps, body, (start, config.inner_rule.init(start)))[0]


def check_real(params: Any) -> None:
  """Checks that all parameters have derivatives.

  Raises:
    UserError: some are whole numbers or the like.
  """
  for place, leaf in jax.tree_util.tree_leaves_with_path(params):
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise errors.UserError(
        f'params{jax.tree_util.keystr(place)} is of {jnp.result_type(leaf)}: only '
        'real numbers can be adapted'
      )


def scalar(loss_fn: Loss) -> Loss:
  """The loss, checked where it is traced.

  Raises:
    UserError: it is no real scalar.
  """

  def checked(params, batch):
    loss = loss_fn(params, batch)
    leaf = jax.tree.structure(loss) == jax.tree.structure(0)
    if (
      not leaf
      or jnp.shape(loss)
      or not jnp.issubdtype(jnp.result_type(loss), jnp.floating)
    ):
      kind = jax.tree.map(lambda x: f'{jnp.result_type(x)}{[*jnp.shape(x)]}', loss)
      raise errors.UserError(
        f'loss_fn(params, batch) gives {kind}: it has to give one real number'
      )
    return loss

  return checked


def is_positive(number: Any) -> bool:
  """Whether a setting is above 0; a traced one is taken to be."""
  return isinstance(number, jax.core.Tracer) or number > 0


def support_loss(
  loss_fn: Loss, config: MetaConfig, gradient: gradients.Gradient
) -> Loss:
  """L(θ; S), the mean over the batches of the inner steps if each has its own."""
  if config.support_per_step:
    return gradients.mean_loss(loss_fn, gradient)
  return loss_fn


def choose(
  loss_fn: Loss, params: Any, support: Any, config: MetaConfig, tasks: int = 1
) -> tuple[Any, str]:
  """The mode that 'auto' stands for, and why: see `gradients.choose`.

  Args:
    loss_fn: (params, batch) -> scalar.
    params: what the loss sees, arrays or their shapes.
    support: of one task, arrays or their shapes.
    config: any; if its mode is not 'auto', that is the answer.
    tasks: T, how many tasks are taken side by side.
  """
  if config.mode != 'auto':
    return config.mode, 'as asked for'
  if config.support_per_step and config.inner_steps:
    first = lambda s: jax.tree.map(lambda x: x[0], s)
    support = jax.eval_shape(first, support)
  return gradients.choose(loss_fn, params, support, config.inner_steps, tasks)


def _checked(
  loss_fn, start, rates, support, config: MetaConfig
) -> tuple[Loss, MetaConfig]:
  """The loss and the config with its mode chosen, if everything fits."""
  loss_fn = scalar(loss_fn)
  check_real(start)
  if config.support_per_step:
    _check_steps(support, config.inner_steps)
  if config.mode == 'auto':
    mode, _ = choose(loss_fn, start, support, config)
    config = dataclasses.replace(config, gradient=mode)
  if config.rule and _exact_steps(config):
    rules.check(config.inner_rule, jax.tree.map(jnp.asarray, start))
  if config.mode in ('implicit', 'reptile') and rates is not None:
    raise errors.UserError(
      f'gradient={config.mode!r} gives learned inner rates no gradient'
    )
  if config.mode == 'implicit' and not is_positive(config.proximal):
    raise errors.UserError("gradient='implicit' needs proximal > 0")
  return loss_fn, config


def _check_steps(support: Any, steps: int) -> None:
  for leaf in jax.tree.leaves(support):
    if jnp.ndim(leaf) < 1 or leaf.shape[0] != steps:
      raise errors.UserError(
        f'with support_per_step every leaf of the support needs a leading axis of '
        f'inner_steps={steps}, but one has the shape {jnp.shape(leaf)}'
      )


def _descend(loss_fn, start, rates, support, config, every=False):
  """The scan over the inner steps: those in first order, then the exact ones.

  Returns θ_K and, with `every`, θ₁ .. θ_K.
  """
  num, step = config.inner_steps, _stepper(loss_fn, start, support, config)
  xs = (support if config.support_per_step else None, rates)
  carry, cut = (start, config.inner_rule.init(start)), num - _exact_steps(config)
  paths = []

  def one(carry, xs, exact):
    carry = step(carry, xs, exact)
    return carry, carry[0] if every else None

  for exact, part in ((False, slice(0, cut)), (True, slice(cut, num))):
    body = functools.partial(one, exact=exact)
    if config.mode == 'remat':
      body = jax.checkpoint(body, prevent_cse=False)
    if length := part.stop - part.start:
      some = jax.tree.map(lambda x: x[part], xs) if length < num else xs  # noqa: B023
      carry, passed = jax.lax.scan(body, carry, some, length=length)
      paths.append(passed)
  return carry[0], jax.tree.map(lambda *x: jnp.concatenate(x), *paths)


def _stepper(loss_fn, start, support, config: MetaConfig) -> Callable:
  """step((params, state), (batch, rates), exact) -> (params, state)."""
  exact_gradient = gradients.inner_gradient(loss_fn, config.gradient)
  constant_gradient = gradients.constant(loss_fn, _refusal(config))

  def step(carry, xs, exact):
    (params, state), (batch, rates) = carry, xs
    gradient = exact_gradient if exact else constant_gradient
    grads = gradient(params, batch if config.support_per_step else support)
    if is_positive(config.proximal):  # ∇ λ/2 ‖θᵢ - θ‖²
      hold = (lambda x: x) if exact else jax.lax.stop_gradient
      pull = lambda g, p, a: g + config.proximal * (p - a)
      grads = jax.tree.map(pull, grads, *hold((params, start)))
    return config.inner_rule.update(grads, state, params, rates)

  return step


def _exact_steps(config: MetaConfig) -> int:
  if config.mode == 'truncated':
    return min(config.truncate, config.inner_steps)
  return 0 if config.mode in ('first', 'reptile', 'implicit') else config.inner_steps


def _refusal(config: MetaConfig) -> str:
  """The error for derivatives in the data of inexact steps; '' if they are defined.

  They are with 'implicit', and with 'truncated' through the last steps, if these read
  the same data.
  """
  last_steps = config.mode == 'truncated' and _exact_steps(config)
  if config.mode == 'implicit' or (last_steps and not config.support_per_step):
    return ''
  name = "order='first'" if config.mode == 'first' else f'gradient={config.mode!r}'
  return (
    f'with {name} the inner gradients are constants, so nothing flows into the '
    "support's data or into what the loss closes over: take order='second' and "
    "gradient='mixed', which is exact there too"
  )
