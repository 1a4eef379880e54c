"""The outer loop: one objective for MAML and MetaLog, and the step that lowers it.

    L_S(θ) · support_weight + L_Q(adapt(θ, S)) · query_weight

MAML is (0, 1), the default; MetaLog is (1, β). The modes of the meta-gradient differ
in the second term; the first is always differentiated exactly.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metalog_jax import errors, types
from metalog_jax.meta import approximate, differences, gradients, inner, rules
from metalog_jax.meta import mesh as meshes

Loss = Callable[[Any, Any], jax.Array]


class State(NamedTuple):
  """All that a meta-step reads and writes."""

  params: Any
  optimizer: Any
  step: jax.Array  # [] int32, meta-steps taken


class Step:
  """A compiled meta-step: step(state, tasks) -> (state, metrics)."""

  __slots__ = ('_compiled', '__weakref__')  # `jax.jit(step)` copies a __dict__

  def __init__(self, compiled: Any):
    self._compiled = compiled

  def lower(self, state: State, tasks: types.Task) -> Any:
    """As of a function that `jax.jit` returns."""
    return self._compiled.lower(state, tasks)

  def _cache_size(self) -> int:
    return self._compiled._cache_size()

  def __call__(
    self, state: State, tasks: types.Task
  ) -> tuple[State, dict[str, jax.Array]]:
    """Takes one step; see `make_meta_step`.

    Raises:
      UserError: the state was given to a step before, or something does not fit.
    """
    try:
      return self._compiled(state, tasks)
    except (RuntimeError, ValueError) as error:
      if 'has been deleted' not in str(error):
        raise
      raise errors.UserError(
        'this state was given to a step before, which takes its memory over: go on '
        'with the state that the step returns, `state, metrics = step(state, tasks)`'
      ) from error


def meta_loss(
  loss_fn: Loss, params: Any, task: types.Task, config: inner.MetaConfig, step: Any = 0
) -> jax.Array:
  """The meta-objective of one task.

  With `config.support_per_step`, the support's loss is the mean over its slices,
  all at the initial parameters (MetaLog, eq. 3).

  Args:
    loss_fn: (params, batch) -> scalar.
    params: any pytree; with an inner rule that learns, its meta-parameters.
    task: support and query, whatever `loss_fn` understands; see `inner.adapt`.
    config: see `inner.MetaConfig`.
    step: meta-steps taken; matters with `config.anneal` alone, see `step_weights`.

  References:
    Zhang et al, MetaLog, ICSE 2024, eq. 2 and 3. Finn et al, MAML, ICML 2017.
  """
  _check_task(task)
  return _objective(loss_fn, params, task, config, step)[0]


def value_and_meta_grad(
  loss_fn: Loss, params: Any, task: types.Task, config: inner.MetaConfig, step: Any = 0
) -> tuple[jax.Array, Any]:
  """The meta-objective of one task and its gradient in `params`; see `meta_loss`."""
  inner.check_real(params)
  loss = lambda params: meta_loss(loss_fn, params, task, config, step)
  return jax.value_and_grad(loss)(params)


def meta_grad(
  loss_fn: Loss, params: Any, task: types.Task, config: inner.MetaConfig, step: Any = 0
) -> Any:
  """The gradient in `params` of the meta-objective of one task; see `meta_loss`."""
  return value_and_meta_grad(loss_fn, params, task, config, step)[1]


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


def init_state(params: Any, optimizer: rules.Transformation) -> State:
  """The state before the first meta-step. Copies, since steps donate their state."""
  params = jax.tree.map(jnp.array, params)
  return State(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_meta_step(
  loss_fn: Loss,
  optimizer: rules.Transformation,
  config: inner.MetaConfig,
  mesh: jax.sharding.Mesh | None = None,
  runs: bool = False,
) -> Step:
  """Makes the compiled step(state, tasks) -> (state, metrics).

  Args:
    loss_fn: (params, batch) -> scalar.
    optimizer: an optax transformation.
    config: see `inner.MetaConfig`.
    mesh: over which the step runs, see `mesh`. `loss_fn` then sees the rows of one
      device and must add up over the axis `mesh.ROWS`.
    runs: whether all that is read and returned is of S runs side by side, in a leading
      axis of all leaves: each takes its own step, as it would alone.

  Returns:
    The step. `state` is of `init_state`, and donated: go on with the one returned.
    `tasks` is a Task whose leaves carry a leading axis T, over which the meta-gradient
    is averaged ([T, D, ...] over a mesh). `metrics` has the means over tasks of `loss`
    (the meta-objective), `support_loss` (0 where its weight is 0) and `query_loss`,
    all before the update. A state or tasks of another structure are a UserError.
  """

  # Along which what belongs to one task differs from device to device.
  axes = (meshes.RUNS, meshes.TASKS)[0 if runs else 1 :] if mesh else ()

  def gradient(params, tasks, step):
    """Means over the tasks of the gradients and of the metrics."""
    if mesh:  # each device adapts to its own tasks
      params = jax.tree.map(meshes.vary, params)
    mode, _ = choose(loss_fn, params, tasks, config)
    chosen = dataclasses.replace(config, gradient=mode) if mode != 'first' else config
    objective = lambda params, task: _objective(loss_fn, params, task, chosen, step)
    alone = _num(tasks) == 1
    mean = _mean_in_turn if alone or _are_in_turn(config) else _mean_side_by_side
    results = mean(objective, params, tasks, axes)
    return jax.lax.pmean(results, meshes.TASKS) if mesh else results

  def step(state, tasks):
    grads, metrics = gradient(state.params, tasks, state.step)
    updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), state.params, updates)
    return State(params, optimizer_state, state.step + 1), metrics

  each = (_in_turn if _are_in_turn(config) else jax.vmap) if runs else None
  if mesh:
    step = meshes.shard(step, mesh, each)
  elif each:
    step = each(step)

  def checked(state, tasks):
    _check(state, tasks, optimizer, 1 + runs)
    return step(state, tasks)

  return Step(jax.jit(checked, donate_argnums=0))


def _check(state: Any, tasks: Any, optimizer: Any, axes: int) -> None:
  """Checks what a step is given; costs nothing once the step is compiled."""
  if not isinstance(state, State):
    raise errors.UserError(
      f'a step takes init_state(params, optimizer), not a {type(state).__name__}'
    )
  _check_task(tasks)
  inner.check_real(state.params)
  needed: Any = jax.tree.structure(jax.eval_shape(optimizer.init, state.params))
  if jax.tree.structure(state.optimizer) != needed:
    raise errors.UserError(
      'the state is of another optimizer or of other parameters than the step: make '
      'both with the same optimizer'
    )
  shapes = {jnp.shape(x)[:axes] for x in jax.tree.leaves(tasks)}
  if len(shapes) != 1 or len(min(shapes)) < axes:
    raise errors.UserError(
      'every leaf of the tasks of a step needs the same leading axis, an entry a task; '
      f'the shapes begin with {sorted(shapes)}'
    )


def _check_task(task: Any) -> None:
  if not isinstance(task, types.Task):
    raise errors.UserError(
      f'a task is metalog_jax.meta.Task(support, query), not a {type(task).__name__}'
    )


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
  """The mode in which a step takes the meta-gradient of `tasks`, and why.

  Takes what `make_meta_step` and its step take. Needs shapes alone, and compiles
  nothing; see `gradients.choose`.
  """
  if mesh:  # traced as the step is, where the loss can sum over its axis
    choices = []

    def look(params, tasks):
      choices.append(choose(loss_fn, params, tasks, config))
      return params

    jax.eval_shape(meshes.shard(look, mesh), params, tasks)
    return choices[0]
  split = lambda p, t: (
    config.inner_rule.split(p)[0],
    jax.tree.map(lambda x: x[0], t.support),
  )
  seen, support = jax.eval_shape(split, params, tasks)
  at_once = 1 if _are_in_turn(config) else _num(tasks)
  return inner.choose(loss_fn, seen, support, config, at_once)


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


def _objective(loss_fn, params, task, config, step):
  """The meta-objective, and its parts by name."""
  if config.mode == 'finite':
    plain = dataclasses.replace(config, order='first')  # the values are the same
    f = lambda params, task: _objective(loss_fn, params, task, plain, step)
    return differences.differentiated(f)(params, task)
  start, loss_fn = config.inner_rule.split(params)[0], inner.scalar(loss_fn)
  support = jnp.zeros(())
  if inner.is_positive(config.support_weight):
    support_loss = inner.support_loss(loss_fn, config, config.gradient)
    support = support_loss(start, task.support)
  if config.anneal and config.inner_steps:
    path = inner.path(loss_fn, params, task.support, config)
    losses = jax.lax.map(lambda params: loss_fn(params, task.query), path)
    step = jnp.asarray(step, losses.dtype)  # or integers make weights of float32
    query = step_weights(config.inner_steps, config.anneal, step) @ losses
    adapted = jax.tree.map(lambda x: x[-1], path)
  else:
    adapted = inner.adapt(loss_fn, params, task.support, config)
    query = loss_fn(adapted, task.query)
  if config.mode == 'reptile':  # of K + 1 steps, whose last is on the query
    query += approximate.reptile(start, adapted, config.inner_lr)
  loss = config.support_weight * support + config.query_weight * query
  return loss, {'loss': loss, 'support_loss': support, 'query_loss': query}
