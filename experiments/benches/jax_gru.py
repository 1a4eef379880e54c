"""MetaLog by this library: its meta-step and scores."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import reference_gru, variants, workloads
from experiments.benches.variants import Runner, Variant
from metalog_jax import flags, types
from metalog_jax.detectors import metalog
from metalog_jax.evaluation import scoring
from metalog_jax.training import base

_B1 = 0.9  # of Adam, whose first moment after one step is (1 - _B1) gradient


def detector(
  workload: workloads.Workload, variant: Variant, dtype: str | None = None
) -> base.Detector:
  """MetaLog's `paper` preset in the workload's size."""
  config = flags.replace(
    metalog.PRESETS['paper'],
    hidden=workload.hidden,
    layers=workload.layers,
    inner_steps=workload.inner_steps,
    inner_lr=workload.inner_lr,
    target_weight=workload.beta,
    order=variant.order,
    share=variant.sharing,
  )
  if variant.gradient:
    config = flags.replace(config, gradient=variant.gradient)
  if dtype:
    config = flags.replace(config, dtype=dtype)
  return metalog.make_detector(config)


def first_weights(workload: workloads.Workload) -> dict:
  """`workloads.params` as the network's tree, on the device."""
  return jax.tree.map(jnp.asarray, variants.nest(workloads.params(workload)))


def meta_step(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, each a step of Adam on its meta-gradient, taken in turn."""
  if variant.how == 'reference':
    draws = workloads.Draws(workload, 'nothing', folders)
    return reference_gru.runner(workload, draws, variant.order)
  return runner(*prepare(workload, variant, folders, num))


def prepare(
  workload: workloads.Workload,
  variant: Variant,
  folders: dict[str, str],
  num: int,
  dtype: str | None = None,
) -> tuple[Callable, Any, list]:
  """The detector's meta-step, its first state and `num` tasks."""
  draws = workloads.Draws(workload, variant.sharing, folders, jax.device_count())
  metalog_detector = detector(workload, variant, dtype)
  tasks = [metalog_detector.training.put(draws.task(i)) for i in range(num)]
  state = metalog_detector.init(jax.random.key(0), types.Transfer((), draws.target))
  place = lambda x, old: jax.device_put(x, old.sharding)
  params = jax.tree.map(place, first_weights(workload), state.params)
  return metalog_detector.training.step, state._replace(params=params), tasks


def scorer(
  workload: workloads.Workload, variant: Variant, data: types.Dataset
) -> Callable[[types.Sessions], np.ndarray]:
  """Makes score(sessions) -> [S], the detector's scores of sessions of `data`."""
  metalog_detector = detector(workload, variant)
  state = metalog_detector.init(jax.random.key(0), types.Transfer((), data))
  state = state._replace(params=first_weights(workload))
  compiled = scoring.Scorer(metalog_detector)

  def score(sessions: types.Sessions) -> np.ndarray:
    seqs = workloads.sequences(sessions, variant.sharing)
    return compiled.scores(state, data._replace(sessions=sessions), seqs)

  return score


def runner(step: Callable, state: Any, tasks: list) -> Runner:
  """Takes tasks in turn; Adam's first moment after the first tells its gradient."""
  gradient: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    nonlocal state
    state, metrics = step(state, tasks[i % len(tasks)])
    jax.block_until_ready((state, metrics))
    if not gradient:
      moment = optax.tree_utils.tree_get(state.optimizer, 'mu')
      scaled = jax.tree.map(lambda m: np.array(m) / (1 - _B1), moment)
      gradient.update(variants.flatten(scaled))

  return Runner(run, lambda: gradient)
