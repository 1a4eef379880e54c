"""Meta-steps over devices: tasks, and the rows inside a task, are axes of a mesh.

Every device holds all parameters, some of the tasks and, of each of these, some of
the rows. A loss adds its rows up over the axis ROWS (`lax.psum`), a meta-step averages
its tasks over TASKS; jax derives from that where gradients are to be reduced, at every
order. The same program serves one core, several, a TPU slice and several hosts.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

TASKS, ROWS = 'tasks', 'rows'
_SPEC = P(TASKS, ROWS)  # of what a step reads: leaves [T, D, ...]


def make(tasks: int = 1, devices: list[Any] | None = None) -> jax.sharding.Mesh:
  """A mesh with `tasks` devices along TASKS and the others along ROWS.

  Args:
    devices: by default all, those of other processes too.

  Raises:
    ValueError: the devices cannot be shared out so.
  """
  devices = jax.devices() if devices is None else devices
  if len(devices) % tasks:
    raise ValueError(f'{len(devices)} devices cannot be {tasks} along the tasks')
  grid = np.array(devices).reshape(tasks, -1)
  return jax.sharding.Mesh(grid, (TASKS, ROWS))


def shard(step: Callable, mesh: jax.sharding.Mesh) -> Callable:
  """step(state, tasks) -> (state, metrics), run over the mesh.

  Args:
    step: reads leaves [T', ...], the tasks and rows of one device. What it returns
      must be the same on all devices, which jax proves.

  Returns:
    The same function of leaves [T, D, ...] for T tasks, the rows of each dealt to
    the D devices along ROWS.
  """

  def local(state, tasks):
    return step(state, jax.tree.map(lambda x: x.squeeze(1), tasks))

  return jax.shard_map(local, mesh=mesh, in_specs=(P(), _SPEC), out_specs=P())


def vary(x: jax.Array) -> jax.Array:
  """Tells jax that derivatives in `x` are each task's own, until they are averaged."""
  return jax.lax.pcast(x, TASKS, to='varying')


def put(tasks: Any, mesh: jax.sharding.Mesh) -> Any:
  """Places host arrays [T, D, ...] over the mesh; each process its own part of them."""
  sharding = jax.sharding.NamedSharding(mesh, _SPEC)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, x.__getitem__), tasks
  )


def replicate(tree: Any, mesh: jax.sharding.Mesh) -> Any:
  """Places a copy on every device."""
  return jax.device_put(tree, jax.sharding.NamedSharding(mesh, P()))


def local(tree: Any) -> Any:
  """This process's copy of what is replicated, on one device."""
  return jax.tree.map(lambda x: x.addressable_data(0), tree)
