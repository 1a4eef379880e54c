"""One curve of `scaling`, in a process of its own: prints a row a point.

python -m experiments.benches.scaling_point AXIS VARIANT SAMPLES VALUES
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import child_process
from experiments.benches import interleave, machine, scaling, variants, worker
from metalog_jax import atomic, memory, meta, types
from metalog_jax.meta import mesh
from metalog_jax.nets import losses
from metalog_jax.nets import metalog as nets


def measure(axis: str, name: str, value: int, samples: int) -> dict[str, Any]:
  """One point, in this process."""
  point = scaling.BASE[axis]._replace(**{axis: value})
  step, state, tasks = _problem(point, scaling.VARIANTS[name])
  begin = time.perf_counter()
  compiled = step.lower(state, tasks).compile()
  facts = {'compile_s': round(time.perf_counter() - begin, 2)}
  temporary = compiled.memory_analysis().temp_size_in_bytes
  facts['temp_mib'] = round(temporary / 2**20, 3)

  def once() -> None:
    nonlocal state
    state, _ = jax.block_until_ready(compiled(state, tasks))

  once()
  every = [worker.timed(once) for _ in range(samples * 2)]
  quiet = [sample for sample in every if sample['others'] < interleave.QUIET]
  chosen = (quiet or every)[:samples]
  facts |= machine.summarize([sample['seconds'] for sample in chosen])
  return scaling.make_row(axis, name, value, 'ok', **facts, quiet=bool(quiet))


def _problem(point: scaling.Point, variant: variants.Variant):
  """(the library's step, its state, its tasks), on as many devices as asked for."""
  rng, net = np.random.default_rng(0), nets.Network(hidden=point.hidden)

  def batch(*lead: int) -> types.Batch:
    rows, grid = (*lead, point.batch), (*lead, point.length, point.batch)
    return types.Batch(
      rng.standard_normal((*lead, point.templates, point.dim)).astype(np.float32),
      rng.integers(0, point.templates, grid, np.int32),
      np.broadcast_to(np.arange(point.batch, dtype=np.int32), grid),
      rng.integers(0, 2, rows).astype(np.float32),
      np.ones(rows, np.float32),
    )

  def loss(params, batch):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

  config = meta.MetaConfig(
    inner_steps=point.inner_steps,
    order=variant.order,
    gradient=variant.gradient or variants.DEFAULT_GRADIENT,
    proximal=float(variant.gradient == 'implicit'),
    support_weight=1.0,
    query_weight=4.0,
    support_per_step=True,
  )
  tasks = types.Task(batch(point.tasks, point.inner_steps), batch(point.tasks))
  optimizer = optax.adam(2e-3)
  example = jax.tree.map(lambda x: jnp.asarray(x[0]), tasks.query)
  state = meta.init_state(net.init(jax.random.key(0), example)['params'], optimizer)
  devices = mesh.make(point.devices, jax.devices()[: point.devices])
  step = meta.make_meta_step(loss, optimizer, config, devices)
  tasks = jax.tree.map(lambda x: x[:, None], tasks)  # all rows on one device
  return step, mesh.replicate(state, devices), mesh.put(tasks, devices)


def main(axis: str, name: str, samples: str, values: str) -> None:
  """Prints a row for each of the values, a JSON list."""
  worker.limit_threads()
  for value in json.loads(values):
    print(atomic.to_json(measure(axis, name, value, int(samples))), flush=True)


if __name__ == '__main__':
  child_process.die_with_parent()
  memory.keep_freed()
  main(*sys.argv[1:])
