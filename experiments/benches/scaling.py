"""How time and memory of a meta-step grow, for every way to take the meta-gradient.

A small MetaLog on random sessions of one length; one of its sizes changes at a time.
Memory is what the compiled program sets aside for temporaries, per device. Devices
are simulated by host threads: they show what sharding costs, not what it gains.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import bench_machine, interleave, variants, worker
from metalog_jax import atomic, memory, meta, types
from metalog_jax.cli import peers
from metalog_jax.meta import mesh
from metalog_jax.nets import losses
from metalog_jax.nets import metalog as nets

PACKAGES = ('jax', 'flax', 'optax', 'numpy')
SAMPLES = 5
SECONDS = 900  # that one curve may take


class Point(NamedTuple):
  """The sizes of one meta-step."""

  inner_steps: int = 5
  length: int = 32
  batch: int = 16
  tasks: int = 1
  devices: int = 1
  hidden: int = 32
  dim: int = 32
  templates: int = 64


AXES: dict[str, tuple[int, ...]] = {
  'inner_steps': (1, 2, 5, 10, 20),
  'length': (16, 32, 64, 128, 256, 512),
  'batch': (8, 16, 32, 64, 128),
  'tasks': (1, 4, 16, 64),
  'devices': (1, 2, 4, 8),
}
BASE = {axis: Point() for axis in AXES} | {
  'length': Point(inner_steps=2),
  'tasks': Point(inner_steps=2),
  'devices': Point(inner_steps=2, tasks=8),
}
WORKLOADS = tuple(AXES)
VARIANTS = {
  'first order': variants.Variant('jax', 'ours', 'first'),
  **{g: variants.Variant('jax', 'ours', gradient=g) for g in variants.GRADIENTS},
}


def run(options: interleave.Options) -> dict[str, Any]:
  """Every curve in a process of its own; `growth` has the slopes."""
  results, growth = [], {}
  for axis in options.workloads or AXES:
    growth[axis] = {}
    for name in options.variants or VARIANTS:
      print(f'scaling: {axis}, {name}', file=sys.stderr)
      rows = _curve(axis, name, options.samples)
      results += rows
      growth[axis][name] = {
        'time': slope(rows, 'median_ms'),
        'memory': slope(rows, 'temp_mib'),
      }
  return {'results': results, 'ratios': {}, 'growth': growth}


def slope(rows: list[dict[str, Any]], figure: str) -> float | None:
  """The exponent p of figure ~ size^p: least squares in logarithms, upper half alone.

  At small sizes what does not grow hides the growth.
  """
  known = [(row['value'], row[figure]) for row in rows if row.get(figure)]
  known = known[len(known) // 2 - 1 :] if len(known) > 3 else known
  if len(known) < 2:
    return None
  sizes, values = np.log(np.array(known, float)).T
  return round(float(np.polyfit(sizes, values, 1)[0]), 2)


def _curve(axis: str, name: str, samples: int) -> list[dict[str, Any]]:
  devices = max(AXES[axis]) if axis == 'devices' else 1
  flags = variants.Variant('jax', 'ours', devices=devices).environment
  command = [sys.executable, '-m', 'experiments.benches.scaling', axis, name]
  try:
    done = subprocess.run(
      [*command, str(samples)],
      env={**os.environ, **worker.SETTINGS, **flags},
      stdout=subprocess.PIPE,
      timeout=SECONDS,
    )
  except subprocess.TimeoutExpired:
    return [make_row(axis, name, None, f'did not finish in {SECONDS} s')]
  lines = done.stdout.decode().splitlines()
  rows = [json.loads(line) for line in lines if line.startswith('{')]
  if done.returncode:
    rows.append(make_row(axis, name, None, f'died with exit code {done.returncode}'))
  return rows


def make_row(
  axis: str, name: str, value: int | None, status: str, **facts: Any
) -> dict[str, Any]:
  """A line of the results; None where nothing is known."""
  figures = ('median_ms', 'spread_ms', 'samples', 'quiet', 'temp_mib', 'compile_s')
  return {
    'workload': axis,
    'variant': name,
    'order': VARIANTS[name].order,
    'value': value,
    **{figure: facts.get(figure) for figure in figures},
    'status': status,
  }


def measure(axis: str, name: str, value: int, samples: int) -> dict[str, Any]:
  """One point, in this process."""
  point = BASE[axis]._replace(**{axis: value})
  step, state, tasks = _problem(point, VARIANTS[name])
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
  facts |= bench_machine.summarize([sample['seconds'] for sample in chosen])
  return make_row(axis, name, value, 'ok', **facts, quiet=bool(quiet))


def _problem(point: Point, variant: variants.Variant):
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
    support_weight=1.0,
    query_weight=4.0,
    support_per_step=True,
  )
  tasks = types.Task(batch(point.tasks, point.inner_steps), batch(point.tasks))
  optimizer = optax.adam(2e-3)
  example = jax.tree.map(lambda x: jnp.asarray(x[0]), tasks.query)
  state = meta.init_state(net.init(jax.random.key(0), example)['params'], optimizer)
  devices = mesh.make_mesh(point.devices, jax.devices()[: point.devices])
  step = meta.make_meta_step(loss, optimizer, config, devices)
  tasks = jax.tree.map(lambda x: x[:, None], tasks)  # all rows on one device
  return step, mesh.replicate(state, devices), mesh.put(tasks, devices)


def main(axis: str, name: str, samples: str) -> None:
  """One curve, in a process of its own: prints a row a point."""
  peers.die_with_parent()
  memory.keep_freed()
  worker.limit_threads()
  for value in AXES[axis]:
    print(atomic.to_json(measure(axis, name, value, int(samples))), flush=True)


if __name__ == '__main__':
  main(*sys.argv[1:])
