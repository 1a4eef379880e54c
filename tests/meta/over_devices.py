"""Prints the state after two meta-steps, computed over a mesh, as JSON.

  python -m tests.meta.over_devices TASKS_OF_THE_MESH DEVICES [ADDRESS PROCESS]

With an address, DEVICES are shared out to two processes, of which this is one.
"""

import json
import sys

import jax
import numpy as np
import optax

from metalog_jax import meta, types
from metalog_jax.batches import packing, sequences
from metalog_jax.meta import mesh as meshes
from metalog_jax.nets import losses, metalog
from tests import grids

NUM_TASKS, SPLITS, SESSIONS = 2, 2, 16


def share_out(seed: int, devices: int) -> types.Batch:
  """One batch, dealt to the devices: leaves [D, ...]."""
  rng = np.random.default_rng(seed)
  events = [
    rng.integers(0, 5, n).astype(np.int32) for n in rng.integers(1, 7, SESSIONS)
  ]
  offsets = np.cumsum([0, *map(len, events)])
  rank = np.argsort(np.argsort([str(x.tolist()) for x in events]))
  seqs = sequences.Sequences(
    np.concatenate(events), offsets, np.arange(SESSIONS), rank, None
  )
  draw = sequences.Draw(
    np.arange(SESSIONS), rng.random(SESSIONS), rng.integers(1, 4, SESSIONS)
  )
  room = packing.Room(8, SESSIONS, SESSIONS)
  vectors = np.random.default_rng(99).normal(size=(5, 3))
  parts = sequences.deal(seqs, draw, devices)
  made = [sequences.assemble(vectors, seqs, part, room) for part in parts]
  as_double = lambda x: x.astype(np.float64) if x.dtype == np.float32 else x
  return jax.tree.map(lambda *x: np.stack([as_double(i) for i in x]), *made)


def run(mesh: jax.sharding.Mesh) -> list[float]:
  network = metalog.Network(hidden=3, layers=1)
  rows = mesh.shape[meshes.ROWS]

  def loss_fn(params, batch):
    logits = network.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, meshes.ROWS)

  def task(i):
    splits = [share_out(10 * i + k, rows) for k in range(SPLITS)]
    support = jax.tree.map(lambda *x: np.stack(x, 1), *splits)
    return types.Task(support, share_out(10 * i + 9, rows))

  tasks = jax.tree.map(lambda *x: np.stack(x), *map(task, range(NUM_TASKS)))
  params = grids.params(network, grids.batch(dim=3))
  optimizer = optax.sgd(0.5)
  config = meta.MetaConfig(
    inner_lr=0.3,
    inner_steps=SPLITS,
    support_weight=1.0,
    query_weight=4.0,
    support_per_step=True,
  )
  step = meta.make_meta_step(loss_fn, optimizer, config, mesh)
  state = meshes.replicate(meta.init_state(params, optimizer), mesh)
  for _ in range(2):
    state, metrics = step(state, meshes.put(tasks, mesh))
  result = meshes.local((state.params, metrics))
  return [float(x) for leaf in jax.tree.leaves(result) for x in np.ravel(leaf)]


def main() -> None:
  tasks, devices = int(sys.argv[1]), int(sys.argv[2])
  jax.config.update('jax_enable_x64', True)
  jax.config.update('jax_disable_most_optimizations', True)
  several = len(sys.argv) > 3
  jax.config.update('jax_num_cpu_devices', devices // 2 if several else devices)
  if several:
    jax.distributed.initialize(sys.argv[3], 2, int(sys.argv[4]))
  print(json.dumps(run(meshes.make_mesh(tasks))))


if __name__ == '__main__':
  main()
