"""The outer loop: the step that lowers the meta-objective of many tasks."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metalog_jax import errors, types
from metalog_jax.meta import gradients, inner, rules, variables
from metalog_jax.meta import mesh as meshes
from metalog_jax.meta import objective as objectives
from metalog_jax.meta.config import MetaConfig

Loss = Callable[..., Any]  # (params, batch) or (params, hyper, batch) -> scalar


class State(NamedTuple):
  """All that a meta-step reads and writes."""

  params: Any
  optimizer: Any
  step: jax.Array  # [] int32, meta-steps taken


class HyperState(NamedTuple):
  """The state of a meta-step with hyperparameters."""

  params: Any
  hyper: Any
  optimizer: Any
  step: jax.Array  # [] int32, meta-steps taken


class Step:
  """A compiled meta-step: step(state, tasks) -> (state, metrics)."""

  __slots__ = ('_compiled', '__weakref__')  # `jax.jit(step)` copies a __dict__

  def __init__(self, compiled: Any):
    self._compiled = compiled

  def lower(self, state: Any, tasks: types.Task, active: Any = None) -> Any:
    """As of a function that `jax.jit` returns."""
    return self._compiled.lower(state, tasks, *_given(active))

  def _cache_size(self) -> int:
    return self._compiled._cache_size()

  def __call__(
    self, state: Any, tasks: types.Task, active: Any = None
  ) -> tuple[Any, dict[str, jax.Array]]:
    """Takes one step; see `make_meta_step`.

    Raises:
      UserError: the state was given to a step before, or something does not fit.
    """
    try:
      return self._compiled(state, tasks, *_given(active))
    except (RuntimeError, ValueError) as error:
      if 'has been deleted' not in str(error):
        raise
      raise errors.UserError(
        'this state was given to a step before, which takes its memory over: go on '
        'with the state that the step returns, `state, metrics = step(state, tasks)`'
      ) from error


def init_state(
  params: Any,
  optimizer: rules.Transformation,
  *,
  hyper: Any = None,
  wrt: variables.Wrt = 'params',
) -> Any:
  """The state before the first meta-step. Copies, since steps donate their state.

  Args:
    hyper, wrt: as of `make_meta_step`. The optimizer sees what is trained: with 'both'
      the pair (params, hyper), so that `optax.partition({'params': .., 'hyper': ..},
      ('params', 'hyper'))` gives each its own.

  Returns:
    A `State`; with hyperparameters a `HyperState`.
  """
  params, hyper = jax.tree.map(jnp.array, (params, hyper))
  start = optimizer.init(variables.trained(params, hyper, wrt)[0])
  step = jnp.zeros((), jnp.int32)
  if hyper is None:
    return State(params, start, step)
  return HyperState(params, hyper, start, step)


def _given(active: Any) -> tuple[Any, ...]:
  """Nothing for None: a compiled step takes exactly what it was lowered with."""
  return () if active is None else (active,)


def make_meta_step(
  loss_fn: Loss,
  optimizer: rules.Transformation,
  config: MetaConfig,
  mesh: jax.sharding.Mesh | None = None,
  runs: bool = False,
  *,
  wrt: variables.Wrt = 'params',
  has_aux: bool = False,
) -> Step:
  """Makes the compiled step(state, tasks) -> (state, metrics).

  Args:
    loss_fn: (params, batch) -> scalar; of a `HyperState`, (params, hyper, batch).
    optimizer: an optax transformation.
    config: see `MetaConfig`.
    mesh: over which the step runs, see `mesh`. `loss_fn` then sees the rows of one
      device and must add up over the axis `mesh.ROWS`.
    runs: whether all that is read and returned is of S runs side by side, in a leading
      axis of all leaves: each takes its own step, as it would alone. With a third
      argument, `active` [S] bool, only those where it is true take one; the state of
      the others stays, and their metrics are 0.
    wrt: what is trained: 'params', 'hyper' (the initial parameters stay) or 'both'.
    has_aux: whether the loss gives (scalar, aux), aux of real numbers alone.

  Returns:
    The step. `state` is of `init_state`, and donated: go on with the one returned.
    `tasks` is a Task whose leaves carry a leading axis T, over which the meta-gradient
    is averaged ([T, D, ...] over a mesh). `metrics` has the means over tasks of `loss`
    (the meta-objective), `support_loss` (0 where its weight is 0), `query_loss` and,
    with `has_aux`, the query's `aux`, all before the update. A state or tasks of
    another structure are a UserError.
  """

  # Along which what belongs to one task differs from device to device.
  axes = (meshes.RUNS, meshes.TASKS)[0 if runs else 1 :] if mesh else ()

  def gradient(trained, merge, tasks, step):
    """Means over the tasks of the gradients and of the metrics."""
    if mesh:  # each device adapts to its own tasks
      trained = jax.tree.map(meshes.vary, trained)
    params, hyper = merge(trained)
    options: Any = {'hyper': hyper, 'has_aux': has_aux}
    mode, _ = choose(loss_fn, params, tasks, config, **options)
    chosen = dataclasses.replace(config, gradient=mode) if mode != 'first' else config

    def one(trained, task):
      params, hyper = merge(trained)
      loss, parts = objectives.objective(
        loss_fn, params, hyper, task, chosen, step, has_aux
      )
      _check_aux(parts.get('aux'))
      return loss, parts

    in_turn = tasks_in_turn(loss_fn, params, tasks, config, **options)
    mean = _mean_in_turn if in_turn else _mean_side_by_side
    results = mean(one, trained, tasks, axes)
    return jax.lax.pmean(results, meshes.TASKS) if mesh else results

  def step(state, tasks):
    start, merge = variables.trained(state.params, _hyper(state), wrt)
    grads, metrics = gradient(start, merge, tasks, state.step)
    updates, optimizer_state = optimizer.update(grads, state.optimizer, start)
    moved = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), start, updates)
    params, hyper = merge(moved)
    changed = {'hyper': hyper} if isinstance(state, HyperState) else {}
    state = state._replace(
      params=params, optimizer=optimizer_state, step=state.step + 1, **changed
    )
    return state, metrics

  def step_if_active(state, tasks, active):
    none = jax.tree.map(
      lambda x: meshes.vary(jnp.zeros(x.shape, x.dtype), axes[:1]),
      jax.eval_shape(step, state, tasks)[1],
    )
    return jax.lax.cond(active, step, lambda state, _: (state, none), state, tasks)

  each = (_in_turn if _are_in_turn(config) else jax.vmap) if runs else None

  def placed(step):
    if mesh:
      return meshes.shard(step, mesh, each)
    return each(step) if each else step

  def checked(state, tasks, active=None):
    _check(state, tasks, optimizer, wrt, 1 + runs)
    if active is None:
      return placed(step)(state, tasks)
    if each is None:
      raise errors.UserError('active is of a step of several runs: give runs=True')
    return placed(step_if_active)(state, tasks, active)

  return Step(jax.jit(checked, donate_argnums=meshes.donated()))


def _hyper(state: Any) -> Any:
  return state.hyper if isinstance(state, HyperState) else None


def _check_aux(aux: Any) -> None:
  for leaf in jax.tree.leaves(aux):
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise errors.UserError(
        f'aux has {jnp.result_type(leaf)}: a step averages it over tasks, so it needs '
        'real numbers, such as x.astype(float)'
      )


def _check(state: Any, tasks: Any, optimizer: Any, wrt: Any, axes: int) -> None:
  """Checks what a step is given; costs nothing once the step is compiled."""
  if not isinstance(state, (State, HyperState)):
    raise errors.UserError(
      f'a step takes init_state(params, optimizer), not a {type(state).__name__}'
    )
  objectives.check_task(tasks)
  variables.check_real(state.params)
  start, _ = variables.trained(state.params, _hyper(state), wrt)
  needed: Any = jax.tree.structure(jax.eval_shape(optimizer.init, start))
  if jax.tree.structure(state.optimizer) != needed:
    raise errors.UserError(
      'the state is of another optimizer, of other parameters or of another wrt than '
      'the step: make both with the same'
    )
  shapes = {jnp.shape(x)[:axes] for x in jax.tree.leaves(tasks)}
  if len(shapes) != 1 or len(min(shapes)) < axes:
    raise errors.UserError(
      'every leaf of the tasks of a step needs the same leading axis, an entry a task; '
      f'the shapes begin with {sorted(shapes)}'
    )


def _in_turn(f: Callable) -> Callable:
  """As `jax.vmap`, one after another."""
  return lambda *args: jax.lax.map(lambda xs: f(*xs), args)


def choose(
  loss_fn: Loss,
  params: Any,
  tasks: types.Task,
  config: MetaConfig,
  mesh: jax.sharding.Mesh | None = None,
  *,
  hyper: Any = None,
  has_aux: bool = False,
) -> tuple[str, str]:
  """The mode in which a step takes the meta-gradient of `tasks`, and why.

  Takes what `make_meta_step` and its step take. Needs shapes alone, and compiles
  nothing; see `inner.choose`.
  """
  options: Any = {'hyper': hyper, 'has_aux': has_aux}
  if mesh:  # traced as the step is, where the loss can sum over its axis
    choices = []

    def look(params, tasks):
      choices.append(choose(loss_fn, params, tasks, config, **options))
      return params

    jax.eval_shape(meshes.shard(look, mesh), params, tasks)
    return choices[0]
  if config.mode != 'auto':
    return config.mode, 'as asked for'
  in_turn = tasks_in_turn(loss_fn, params, tasks, config, **options)
  loss_fn, _, config = variables.bind(loss_fn, config, hyper, has_aux)
  seen, support = _of_one_task(params, tasks, config)
  return inner.choose(loss_fn, seen, support, config, 1 if in_turn else _num(tasks))


def tasks_in_turn(
  loss_fn: Loss,
  params: Any,
  tasks: types.Task,
  config: MetaConfig,
  *,
  hyper: Any = None,
  has_aux: bool = False,
) -> bool:
  """Whether a device takes the tasks of a step one after another.

  On a CPU 'auto' does so, unless there is one inner step and what the losses of all
  tasks keep for their gradients stays in the caches: then what it costs to begin and
  end a task rules. Takes what `choose` takes but for the mesh, and traces alone.
  """
  if _num(tasks) == 1:
    return True
  if config.tasks != 'auto' or config.inner_steps != 1 or not _are_in_turn(config):
    return _are_in_turn(config)
  loss_fn, _, config = variables.bind(loss_fn, config, hyper, has_aux)
  keep = lambda p, b: jax.vjp(lambda p: loss_fn(p, b), p)[1]
  seen, support = _of_one_task(params, tasks, config)
  batch = jax.eval_shape(lambda s: inner.of_step(s, config), support)
  kept = gradients.total_bytes(jax.eval_shape(keep, seen, batch))
  return _num(tasks) * kept > gradients.KEEP


def _of_one_task(params: Any, tasks: types.Task, config: MetaConfig) -> Any:
  """The shapes of what a task's loss sees: (parameters, support)."""
  split = lambda params, support: (
    config.inner_rule.split(params)[0],
    jax.tree.map(lambda x: x[0], support),
  )
  return jax.eval_shape(split, params, tasks.support)


def _are_in_turn(config: MetaConfig) -> bool:
  """Whether a device takes like work one after another."""
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
