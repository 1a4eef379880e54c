"""Meta-steps over devices: runs, tasks, and the rows inside a task are a mesh's axes.

Every device holds all parameters, some of the tasks and, of each of these, some of
the rows. A loss adds its rows up over the axis ROWS (`lax.psum`), a meta-step averages
its tasks over TASKS; jax derives from that where gradients are to be reduced, at every
order. The same program serves one core, several, a TPU slice and several hosts.

Runs that differ in seed or data, but not in shapes, can train side by side along RUNS;
nothing is exchanged between them.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from metalog_jax import errors

RUNS, TASKS, ROWS = 'runs', 'tasks', 'rows'
_SPEC = P(TASKS, ROWS)  # of what a step reads: leaves [T, D, ...]
_SPEC_OF_RUNS = P(RUNS, TASKS, ROWS)  # leaves [S, T, D, ...]


def make_mesh(
  tasks: int = 1, devices: list[Any] | None = None, runs: int = 1
) -> jax.sharding.Mesh:
  """A mesh with `runs` devices along RUNS, `tasks` along TASKS, the others along ROWS.

  Args:
    devices: by default all, those of other processes too.

  Raises:
    UserError: the devices cannot be shared out so.
  """
  devices = jax.devices() if devices is None else devices
  if len(devices) % (runs * tasks):
    raise errors.UserError(
      f'{len(devices)} devices cannot be {tasks} along the tasks of {runs} runs'
    )
  grid = np.array(devices).reshape(runs, tasks, -1)
  return jax.sharding.Mesh(grid, (RUNS, TASKS, ROWS))


def shard(
  step: Callable, mesh: jax.sharding.Mesh, each: Callable | None = None
) -> Callable:
  """step(state, tasks) -> (state, metrics), run over the mesh.

  Args:
    step: reads leaves [T', ...], the tasks and rows of one device. What it returns
      must be the same on all devices, which jax proves.
    each: takes `step` to the same function of stacked runs, e.g. `jax.vmap`; None:
      there is one run. A step of runs may read a third argument, [] of each run.

  Returns:
    The same function of leaves [T, D, ...] for T tasks, the rows of each dealt to
    the D devices along ROWS; of runs, with an axis before that in all it reads and
    returns.
  """

  def local(state, tasks, *active):
    return step(state, jax.tree.map(lambda x: x.squeeze(1), tasks), *active)

  if each is None:
    return jax.shard_map(local, mesh=mesh, in_specs=(P(), _SPEC), out_specs=P())

  def over_runs(state, tasks, *active):
    specs = (P(RUNS), _SPEC_OF_RUNS, *[P(RUNS) for _ in active])
    mapped = jax.shard_map(each(local), mesh=mesh, in_specs=specs, out_specs=P(RUNS))
    return mapped(state, tasks, *active)

  return over_runs


def donated() -> tuple[int, ...]:
  """The arguments of a step whose memory it takes over: the state, the first.

  Not on several CPU devices: there a program of jax 0.10 that comes from the cache of
  compiled programs frees what it was given twice, and the process dies.
  """
  on_cpu = jax.default_backend() == 'cpu'
  return () if on_cpu and jax.device_count() > 1 else (0,)


def vary(x: jax.Array, axes: tuple[str, ...] = (TASKS,)) -> jax.Array:
  """Marks `x` as differing from device to device along `axes`.

  jax then leaves derivatives in it unreduced until they are averaged.
  """
  return jax.lax.pcast(x, axes, to='varying') if axes else x


def put(tasks: Any, mesh: jax.sharding.Mesh, runs: bool = False) -> Any:
  """Places host arrays over the mesh; every process places its part of them.

  Args:
    tasks: leaves [T, D, ...], or of stacked runs [S, T, D, ...].
  """
  sharding = jax.sharding.NamedSharding(mesh, _SPEC_OF_RUNS if runs else _SPEC)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, x.__getitem__), tasks
  )


def along_runs(runs: int, devices: int) -> int:
  """How many of the devices go along RUNS: as many as can, for runs exchange nothing.

  >>> along_runs(10, 8), along_runs(3, 8), along_runs(3, 2), along_runs(1, 4)
  (8, 2, 2, 1)
  """
  return max(n for n in range(1, devices + 1) if devices % n == 0 and n <= runs)


def replicate(tree: Any, mesh: jax.sharding.Mesh) -> Any:
  """Places a copy on every device."""
  return jax.device_put(tree, jax.sharding.NamedSharding(mesh, P()))


def stack(states: list[Any], mesh: jax.sharding.Mesh) -> Any:
  """The states of S runs, stacked and dealt along RUNS: leaves [S, ...]."""
  sharding = jax.sharding.NamedSharding(mesh, P(RUNS))
  stacked = jax.tree.map(lambda *x: np.stack(x), *states)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, x.__getitem__), stacked
  )


def local(tree: Any) -> Any:
  """One device's copy of replicated arrays, in this process."""
  return jax.tree.map(lambda x: x.addressable_data(0), tree)
