"""One objective for MAML and MetaLog, its value and its gradient.

    L_S(θ) · support_weight + L_Q(adapt(θ, S)) · query_weight

MAML is (0, 1), the default; MetaLog is (1, β). The modes of the meta-gradient differ
in the second term; the first is always differentiated exactly.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metalog_jax import errors, types
from metalog_jax.meta import approximate, derivatives, differences, inner, variables
from metalog_jax.meta.config import MetaConfig

Loss = Callable[..., Any]  # (params, batch) or (params, hyper, batch) -> scalar


def meta_loss(
  loss_fn: Loss,
  params: Any,
  task: types.Task,
  config: MetaConfig,
  step: Any = 0,
  *,
  hyper: Any = None,
  has_aux: bool = False,
) -> Any:
  """The meta-objective of one task.

  With `config.support_per_step`, the support's loss is the mean over its slices,
  all at the initial parameters (MetaLog, eq. 3).

  Args:
    loss_fn: (params, batch) -> scalar; with `hyper`, (params, hyper, batch).
    params: any pytree; with an inner rule that learns, its meta-parameters.
    task: support and query, whatever `loss_fn` understands; see `inner.adapt`.
    config: see `MetaConfig`.
    step: meta-steps taken; matters with `config.anneal` alone, see `step_weights`.
    hyper: hyperparameters of the loss and of the inner rule, any pytree; see
      `variables`.
    has_aux: whether the loss gives (scalar, aux).

  Returns:
    The meta-objective, []; with `has_aux` a pair of it and the aux of the query's
    loss at the adapted parameters.

  References:
    Zhang et al, MetaLog, ICSE 2024, eq. 2 and 3. Finn et al, MAML, ICML 2017.
  """
  check_task(task)
  loss, parts = objective(loss_fn, params, hyper, task, config, step, has_aux)
  return (loss, parts['aux']) if has_aux else loss


def value_and_meta_grad(
  loss_fn: Loss,
  params: Any,
  task: types.Task,
  config: MetaConfig,
  step: Any = 0,
  *,
  hyper: Any = None,
  wrt: variables.Wrt = 'params',
  has_aux: bool = False,
) -> tuple[Any, Any]:
  """What `meta_loss` gives, and the gradient of the meta-objective of one task.

  Args:
    wrt: what the gradient is taken in: 'params'; 'hyper', where the initial
      parameters are fixed; 'both': a pair of gradients.

  Raises:
    UserError: the mode has no gradient in the hyperparameters: see `gradients`.
  """
  start, merge = variables.trained(params, hyper, wrt)

  def loss(trained):
    params, hyper = merge(trained)
    options: Any = {'hyper': hyper, 'has_aux': has_aux}
    return meta_loss(loss_fn, params, task, config, step, **options)

  return jax.value_and_grad(loss, has_aux=has_aux)(start)


def meta_grad(
  loss_fn: Loss,
  params: Any,
  task: types.Task,
  config: MetaConfig,
  step: Any = 0,
  *,
  hyper: Any = None,
  wrt: variables.Wrt = 'params',
) -> Any:
  """The gradient alone of `value_and_meta_grad`."""
  options: Any = {'hyper': hyper, 'wrt': wrt}
  return value_and_meta_grad(loss_fn, params, task, config, step, **options)[1]


def step_weights(steps: int, anneal: int, step: Any) -> jax.Array:
  """How much the query's loss after each inner step counts: [K], of sum one.

  All alike at first; those before the last fall to zero over `anneal` meta-steps, in
  a straight line (the paper leaves the line open).

  Args:
    steps: K.
    anneal: > 0.
    step: meta-steps taken.

  References:
    Antoniou et al, How to train your MAML, ICLR 2019, section 4, eq. 4.
  """
  early = jnp.maximum(1 - step / anneal, 0) / steps
  return jnp.full(steps, early).at[-1].set(1 - (steps - 1) * early)


def check_task(task: Any) -> None:
  """Checks that it is a `Task`.

  Raises:
    UserError: it is something else.
  """
  if not isinstance(task, types.Task):
    raise errors.UserError(
      f'a task is metalog_jax.meta.Task(support, query), not a {type(task).__name__}'
    )


def objective(
  loss_fn: Loss,
  params: Any,
  hyper: Any,
  task: types.Task,
  config: MetaConfig,
  step: Any,
  has_aux: bool,
) -> tuple[jax.Array, dict[str, Any]]:
  """The meta-objective, and its parts by name; takes what `meta_loss` takes."""
  if config.mode == 'finite':
    plain = dataclasses.replace(config, order='first')  # the values are the same
    real, merge = derivatives.split(hyper)

    def f(both, task):
      params, hyper = both[0], merge(both[1])
      return objective(loss_fn, params, hyper, task, plain, step, has_aux)

    return differences.differentiated(f)((params, real), task)
  loss_fn, with_aux, config = variables.bind(loss_fn, config, hyper, has_aux)
  start, loss_fn = config.inner_rule.split(params)[0], variables.scalar(loss_fn)
  support = jnp.zeros(())
  if inner.is_positive(config.support_weight):
    support_loss = inner.support_loss(loss_fn, config, config.gradient)
    support = support_loss(start, task.support)
  if config.anneal and config.inner_steps:
    path = inner.path(loss_fn, params, task.support, config)
    losses, aux = jax.lax.map(lambda params: with_aux(params, task.query), path)
    variables.check_scalar(losses[0])
    step = jnp.asarray(step, losses.dtype)  # or integers make weights of float32
    query = step_weights(config.inner_steps, config.anneal, step) @ losses
    adapted, aux = jax.tree.map(lambda x: x[-1], (path, aux))
  else:
    adapted = inner.adapt(loss_fn, params, task.support, config)
    query, aux = with_aux(adapted, task.query)
    variables.check_scalar(query)
  if config.mode == 'reptile':  # of K + 1 steps, whose last is on the query
    query += approximate.reptile(start, adapted, config.inner_lr)
  loss = config.support_weight * support + config.query_weight * query
  parts = {'loss': loss, 'support_loss': support, 'query_loss': query}
  return loss, parts | ({'aux': aux} if has_aux else {})
