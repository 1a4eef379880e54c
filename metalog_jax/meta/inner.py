"""The inner loop: descent on the support, differentiable as a whole."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metalog_jax import errors
from metalog_jax.meta import approximate, gradients, rules, variables
from metalog_jax.meta.config import MetaConfig

Loss = Callable[..., Any]  # (params, batch) or (params, hyper, batch) -> scalar
SHORT = 16  # inner steps that are never cut into segments by themselves


def adapt(
  loss_fn: Loss,
  params: Any,
  support: Any,
  config: MetaConfig,
  *,
  hyper: Any = None,
  has_aux: bool = False,
) -> Any:
  """Takes K inner steps, by default of gradient descent: θᵢ = θᵢ₋₁ - α ∇L(θᵢ₋₁; S).

  Args:
    loss_fn: (params, batch) -> scalar; with `hyper`, (params, hyper, batch).
    params: any pytree; with a rule that learns, its meta-parameters.
    support: what `loss_fn` understands; with `config.support_per_step`, K of them
      stacked along a leading axis of every leaf.
    config: see `MetaConfig`. 'reptile' and 'finite' are modes of a whole objective:
      here the one is first order, the other 'reverse'.
    hyper: hyperparameters of the loss and the rule, any pytree; see `variables`.
    has_aux: whether the loss gives (scalar, aux); what it gives here is dropped.

  Returns:
    θ_K, shaped like what the loss sees of `params`, and differentiable in them and,
    as `gradients` says, in the hyperparameters and the support.

  Raises:
    UserError: the support's leading axis is not `inner_steps` long, the loss is no
      scalar, or a setting does not fit the mode or the rule.
  """
  loss_fn, _, config = variables.bind(loss_fn, config, hyper, has_aux)
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


def path(
  loss_fn: Loss,
  params: Any,
  support: Any,
  config: MetaConfig,
  *,
  hyper: Any = None,
  has_aux: bool = False,
) -> Any:
  """The parameters after every inner step: θ₁ .. θ_K, along a leading axis.

  Takes what `adapt` takes, at least one inner step, and raises what it raises.

  Raises:
    UserError: the mode is 'implicit' or 'reptile', which know the last of them alone.
  """
  if config.mode in ('implicit', 'reptile'):
    raise errors.UserError(
      f'gradient={config.mode!r} has no losses after each inner step'
    )
  loss_fn, _, config = variables.bind(loss_fn, config, hyper, has_aux)
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
  """The mode that 'auto' stands for, by what the inner steps would keep: (mode, why).

  Keeping is quicker than computing again only while it stays near the processor, or
  where one step keeps for itself alone: on two CPU cores, five inner steps of a GRU of
  100 units took 407 ms linearized and 390 ms mixed. (Accelerators were not measured.)
  Traces the loss and compiles nothing.

  Args:
    loss_fn: (params, batch) -> scalar.
    params: what the loss sees, arrays or their shapes.
    support: of one task, arrays or their shapes.
    config: any; if its mode is not 'auto', that is the answer.
    tasks: T, how many tasks are taken side by side.
  """
  steps = config.inner_steps
  if config.mode != 'auto':
    return config.mode, 'as asked for'
  if not steps:
    return 'reverse', 'there are no inner steps'
  batch = jax.eval_shape(lambda s: of_step(s, config), support)
  size = steps * tasks * gradients.kept_bytes(loss_fn, params, batch)
  kept = f'{size / 2**20:.1f} MiB to keep of {steps} inner steps, {tasks} tasks'
  if steps == 1 or size <= gradients.KEEP:
    return 'linearized', f'{kept}: quicker than computing again'
  return 'mixed', f'{kept}: quicker to compute again'


def num_segments(steps: int, carry: int, kept: int, memory: float) -> int:
  """The segments that `steps` inner steps are cut into, so as to fit the memory.

  Each segment keeps its first carry, and while it is differentiated what its steps
  keep: S · carry + ⌈K / S⌉ · kept bytes. The fewest segments that fit; where none
  do, those that need least, about √(K · kept / carry).

  Args:
    steps: K.
    carry: bytes of the parameters and the rule's state.
    kept: bytes that one step keeps for its derivative.
    memory: bytes.

  References:
    Chen et al, Training Deep Nets with Sublinear Memory Cost, 2016, section 3.
  """
  if steps * kept <= memory:
    return 1
  need = lambda segments: segments * carry + math.ceil(steps / segments) * kept
  sizes = {segments: need(segments) for segments in range(1, steps + 1)}
  fits = [segments for segments, size in sizes.items() if size <= memory]
  return fits[0] if fits else min(sizes, key=sizes.__getitem__)


def of_step(support: Any, config: MetaConfig) -> Any:
  """The batch of the first inner step."""
  return jax.tree.map(lambda x: x[0], support) if config.support_per_step else support


def _checked(
  loss_fn, start, rates, support, config: MetaConfig
) -> tuple[Loss, MetaConfig]:
  """The loss and the config with its mode chosen, if everything fits."""
  loss_fn = variables.scalar(loss_fn)
  variables.check_real(start)
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
      batch = of_step(support, config)
      cuts = _segments(loss_fn, carry, batch, config, length) if exact else 1
      carry, passed = _scan(body, carry, some, length, cuts)
      paths.append(passed)
  return carry[0], jax.tree.map(lambda *x: jnp.concatenate(x), *paths)


def _segments(loss_fn, carry, batch, config: MetaConfig, steps: int) -> int:
  """How many segments the exact inner steps are cut into."""
  if config.segments != 'auto':
    return min(config.segments, steps)
  if steps <= SHORT:
    return 1
  size = kept = gradients.total_bytes(jax.eval_shape(lambda: carry))
  if config.gradient in ('reverse', 'linearized'):
    kept += gradients.kept_bytes(loss_fn, carry[0], batch)
  return num_segments(steps, size, kept, config.memory)


def _scan(body: Callable, carry: Any, xs: Any, steps: int, segments: int) -> Any:
  """`jax.lax.scan`, whose derivative computes each segment again from its start."""
  if segments <= 1:
    return jax.lax.scan(body, carry, xs, length=steps)
  size = math.ceil(steps / segments)
  full, last = divmod(steps, size)

  def segment(carry, xs, length=size):
    return jax.lax.scan(body, carry, xs, length=length)

  again = functools.partial(jax.checkpoint, prevent_cse=False)
  cut = lambda x: x[: full * size].reshape(full, size, *x.shape[1:])
  carry, ys = jax.lax.scan(again(segment), carry, jax.tree.map(cut, xs), length=full)
  ys = jax.tree.map(lambda y: y.reshape(full * size, *y.shape[2:]), ys)
  if last:
    rest = jax.tree.map(lambda x: x[full * size :], xs)
    tail = again(functools.partial(segment, length=last))
    carry, more = tail(carry, rest)
    ys = jax.tree.map(lambda *y: jnp.concatenate(y), ys, more)
  return carry, ys


def _stepper(loss_fn, start, support, config: MetaConfig) -> Callable:
  """step((params, state), (batch, rates), exact) -> (params, state)."""
  exact_gradient = gradients.inner_gradient(loss_fn, config.gradient)
  # What all steps read alike has a derivative through the last of them alone.
  through_last = config.mode == 'truncated' and _exact_steps(config) > 0
  constant_gradient = gradients.constant(loss_fn, _refusal(config), not through_last)

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
    f'with {name} the inner gradients are constants, so nothing flows into '
    "hyperparameters of the loss, the support's data or what the loss closes over: "
    "take order='second' and gradient='mixed', which is exact there too"
  )
