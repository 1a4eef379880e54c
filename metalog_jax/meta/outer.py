"""The outer loop: one objective for MAML and MetaLog, and the step that lowers it.

    L_S(θ) · support_weight + L_Q(adapt(θ, S)) · query_weight

MAML is (0, 1); MetaLog is (1, β). The way to take the meta-gradient is one of the
second term; the first is always differentiated exactly.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.meta import approximate, differences, gradients, inner
from metalog_jax.meta import mesh as meshes

Loss = Callable[[Any, Any], jax.Array]


class Optimizer(Protocol):
  """What of an `optax.GradientTransformation` is needed."""

  init: Callable
  update: Callable


class State(NamedTuple):
  """All that a meta-step reads and writes."""

  params: Any
  optimizer: Any
  step: jax.Array  # [] int32, meta-steps taken


def meta_loss(
  loss_fn: Loss, params: Any, task: types.Task, config: inner.MetaConfig
) -> jax.Array:
  """The meta-objective of one task.

  With `config.support_per_step`, the support's loss is the mean over its slices,
  all at the initial parameters (MetaLog, eq. 3).

  Args:
    loss_fn: (params, batch) -> scalar.
    params: any pytree; with an inner rule that learns, its meta-parameters.
    task: support and query, whatever `loss_fn` understands; see `inner.adapt`.
    config: see `inner.MetaConfig`.

  References:
    Zhang et al, MetaLog, ICSE 2024, eq. 2 and 3. Finn et al, MAML, ICML 2017.
  """
  return _objective(loss_fn, params, task, config)[0]


def meta_grad(
  loss_fn: Loss, params: Any, task: types.Task, config: inner.MetaConfig
) -> tuple[jax.Array, Any]:
  """The meta-objective of one task and its gradient in `params`."""
  value, grads = jax.value_and_grad(meta_loss, argnums=1)(loss_fn, params, task, config)
  return value, grads


def init_state(params: Any, optimizer: Optimizer) -> State:
  """The state before the first meta-step. Copies, since steps donate their state."""
  params = jax.tree.map(jnp.array, params)
  return State(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_meta_step(
  loss_fn: Loss,
  optimizer: Optimizer,
  config: inner.MetaConfig,
  mesh: jax.sharding.Mesh | None = None,
  runs: bool = False,
) -> Callable[[State, types.Task], tuple[State, dict[str, jax.Array]]]:
  """Makes the compiled step(state, tasks) -> (state, metrics).

  `tasks` is a Task whose leaves carry a leading axis T; the meta-gradient is the
  mean over it. The state given is donated: do not use it again. `metrics` has the
  means over tasks of `loss` (the meta-objective), `support_loss` (0 where its weight
  is 0) and `query_loss`, all before the update.

  With a mesh, the leaves are [T, D, ...], `loss_fn` sees the rows of one device and
  must add up over the axis `mesh.ROWS`; see `mesh`. With `runs`, whatever is read and
  returned is of S runs side by side, in a leading axis of all leaves: each takes its
  own step, as it would alone.
  """

  # Along which what belongs to one task differs from device to device.
  axes = (meshes.RUNS, meshes.TASKS)[0 if runs else 1 :] if mesh else ()

  def gradient(params, tasks):
    """Means over the tasks of the gradients and of the metrics."""
    if mesh:  # each device adapts to its own tasks
      params = jax.tree.map(meshes.vary, params)
    way, _ = choose(loss_fn, params, tasks, config)
    chosen = dataclasses.replace(config, gradient=way) if way != 'first' else config
    objective = lambda params, task: _objective(loss_fn, params, task, chosen)
    alone = _num(tasks) == 1
    mean = _mean_in_turn if alone or _are_in_turn(config) else _mean_side_by_side
    results = mean(objective, params, tasks, axes)
    return jax.lax.pmean(results, meshes.TASKS) if mesh else results

  def step(state, tasks):
    grads, metrics = gradient(state.params, tasks)
    updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), state.params, updates)
    return State(params, optimizer_state, state.step + 1), metrics

  each = (_in_turn if _are_in_turn(config) else jax.vmap) if runs else None
  if mesh:
    step = meshes.shard(step, mesh, each)
  elif each:
    step = each(step)
  return jax.jit(step, donate_argnums=0)


def _in_turn(f: Callable) -> Callable:
  """As `jax.vmap`, one after another."""
  return lambda *args: jax.lax.map(lambda xs: f(*xs), args)


def choose(
  loss_fn: Loss,
  params: Any,
  tasks: types.Task,
  config: inner.MetaConfig,
  mesh: jax.sharding.Mesh | None = None,
) -> tuple[str, str]:
  """The way that a step takes the meta-gradient of `tasks`, and why.

  Takes what `make_meta_step` and its step take. Needs shapes alone, and compiles
  nothing; see `gradients.choose`.
  """
  if mesh:  # traced as the step is, where the loss can sum over its axis
    found = []
    look = lambda p, t: found.append(choose(loss_fn, p, t, config)) or p
    jax.eval_shape(meshes.shard(look, mesh), params, tasks)
    return found[0]
  split = lambda p, t: (
    inner.rule_of(config).split(p)[0],
    jax.tree.map(lambda x: x[0], t.support),
  )
  shapes = jax.eval_shape(split, params, tasks)
  at_once = 1 if _are_in_turn(config) else _num(tasks)
  return inner.choose(loss_fn, *shapes, config, at_once)


def _are_in_turn(config: inner.MetaConfig) -> bool:
  """Whether a device takes its tasks one after another."""
  if config.tasks == 'auto':
    return gradients.are_in_turn()
  return config.tasks == 'in_turn'


def _mean_in_turn(objective, params, tasks, axes):
  """Means over the tasks of (gradients, metrics), with the memory of one task."""
  num, gradient = _num(tasks), jax.grad(objective, has_aux=True)
  if num == 1:
    return gradient(params, jax.tree.map(lambda x: x[0], tasks))

  def add(total, task):
    return jax.tree.map(jnp.add, total, gradient(params, task)), None

  shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], tasks))
  zero = lambda x: meshes.vary(jnp.zeros(x.shape, x.dtype), axes)
  return jax.tree.map(
    lambda x: x / num, jax.lax.scan(add, jax.tree.map(zero, shapes), tasks)[0]
  )


def _mean_side_by_side(objective, params, tasks, _):
  def mean(params):
    results = jax.vmap(objective, in_axes=(None, 0))(params, tasks)
    return jax.tree.map(lambda x: x.mean(0), results)

  return jax.grad(mean, has_aux=True)(params)


def _num(tasks: types.Task) -> int:
  return jax.tree.leaves(tasks)[0].shape[0]


def _objective(loss_fn, params, task, config):
  """The meta-objective, and its parts by name."""
  if config.way == 'finite':
    plain = dataclasses.replace(config, order='first')  # the values are the same
    f = lambda params, task: _objective(loss_fn, params, task, plain)
    return differences.differentiated(f)(params, task)
  start = inner.rule_of(config).split(params)[0]
  support = jnp.zeros(())
  if config.support_weight:
    support_loss = inner.support_loss(loss_fn, config, config.gradient)
    support = support_loss(start, task.support)
  adapted = inner.adapt(loss_fn, params, task.support, config)
  query = loss_fn(adapted, task.query)
  if config.way == 'reptile':  # of K + 1 steps, whose last is on the query
    query += approximate.reptile(start, adapted, config.inner_lr)
  loss = config.support_weight * support + config.query_weight * query
  return loss, {'loss': loss, 'support_loss': support, 'query_loss': query}
