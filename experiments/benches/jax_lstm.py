"""LogMeta's meta-step by this library."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import jax_gru, lstm_workloads, reference_lstm, variants
from experiments.benches.variants import Runner, Variant
from metalog_jax import meta, types
from metalog_jax.meta import mesh
from metalog_jax.nets import logmeta as nets
from metalog_jax.nets import losses


def meta_step(workload: lstm_workloads.MetaStep, variant: Variant, num: int) -> Runner:
  """`num` steps' tasks, each a step of Adam on their meta-gradient, taken in turn."""
  if variant.how == 'reference':
    return reference_lstm.meta_step(workload, variant, num)
  return jax_gru.runner(*prepare(workload, variant, num))


def prepare(
  workload: lstm_workloads.MetaStep, variant: Variant, num: int
) -> tuple[Callable, Any, list]:
  """The meta-step, its first state and the tasks of `num` steps."""
  network, devices = nets.Network(workload.hidden), mesh.make_mesh(jax.device_count())

  def loss(params, batch):
    logits = network.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

  config = meta.MetaConfig(
    inner_lr=workload.inner_lr,
    inner_steps=workload.inner_steps,
    support_weight=0.0,
    query_weight=1.0,
    support_per_step=False,
    gradient=variant.gradient or variants.DEFAULT_GRADIENT,
    tasks='side_by_side' if variant.how == 'side by side' else 'auto',
  )
  optimizer = optax.adam(2e-3)
  step = meta.make_meta_step(loss, optimizer, config, devices)
  state = meta.init_state(_first_weights(workload), optimizer)
  tasks = [mesh.put(_lay_out(workload, i), devices) for i in range(num)]
  return step, mesh.replicate(state, devices), tasks


def _lay_out(workload: lstm_workloads.MetaStep, step: int) -> types.Task:
  """A window a row of the grid: leaves [T, 1 device along the rows, ...]."""
  table = lstm_workloads.vectors(workload)

  def lay_out(part: lstm_workloads.Part) -> types.Batch:
    events = part.events.swapaxes(1, 2)  # [T, L, R]
    which = np.broadcast_to(np.arange(events.shape[2], dtype=np.int32), events.shape)
    vectors = np.broadcast_to(table, (len(events), *table.shape))
    labels = np.asarray(part.labels, np.float32)
    batch = types.Batch(vectors, events, which, labels, np.ones_like(labels))
    return jax.tree.map(lambda x: x[:, None], batch)

  return types.Task(*map(lay_out, lstm_workloads.tasks(workload, step)))


def _first_weights(workload: lstm_workloads.MetaStep):
  return jax.tree.map(jnp.asarray, variants.nest(lstm_workloads.params(workload)))
