"""Steps of runs that differ by their seed alone, taken in one program.

Runs lie along the mesh's axis RUNS, as many devices as there are runs, and exchange
nothing. Runs that share a device are batched (`jax.vmap`) on accelerators, where they
fill a chip that waits for its loops otherwise, and taken in turn on processors.
"""

import math
from collections.abc import Callable
from typing import Any

from metalog_jax import lazy
from metalog_jax.training import base

jax = lazy.module('jax')
mesh = lazy.module('metalog_jax.meta.mesh')
outer = lazy.module('metalog_jax.meta.outer')


def make_steps(
  loss: Callable,
  optimizer: Any,
  config: Any,
  batches: Callable,
  runs: int,
  tasks: int = 1,
) -> base.SideBySide:
  """The meta-steps of `runs` runs side by side.

  Args:
    loss: (params, batch) -> scalar, its rows added up over the mesh's axis ROWS.
    optimizer: of optax.
    config: a `MetaConfig`.
    batches: (transfer, seed, devices) -> Stream of one run, whose rows are dealt to
      so many devices.
    tasks: in a step of one run.
  """
  total = len(jax.devices())
  along = mesh.along_runs(runs, total)
  devices = mesh.make_mesh(math.gcd(tasks, total // along), runs=along)
  places = -(-runs // along) * along
  return base.SideBySide(
    batches=lambda transfer, seed: batches(transfer, seed, devices.shape[mesh.ROWS]),
    put=lambda stacked: mesh.put(stacked, devices, runs=True),
    step=outer.make_meta_step(loss, optimizer, config, devices, runs=True),
    stack=lambda states: mesh.stack(
      [*states, *states[:1] * (places - len(states))], devices
    ),
    places=places,
  )
