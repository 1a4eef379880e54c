"""The first version of the released MetaLog: two trainings that take turns.

In every epoch one Adam goes through the sources, then another through the target at
β times the rate on β times the loss. There is no inner loop and no meta-gradient.
"""

from collections.abc import Callable
from typing import Any

import optax

from metalog_jax.batches import drawing
from metalog_jax.meta import mesh
from metalog_jax.training import base, supervised, two_optimizers

CLIP = 1.0  # norm that gradients are cut to


def make_detector(
  net: Any, adam: Any, config: Any, pools: Callable, keeps_best: bool
) -> base.Detector:
  """Returns the detector.

  Args:
    net: of two logits.
    adam: the optimizer of the sources.
    config: MetaLog's.
    pools: (config, transfer, seed) -> (the parts of the sources, the target).
    keeps_best: see `base.Training`.
  """
  weight = config.meta.target_weight
  clipped = optax.chain(optax.clip_by_global_norm(CLIP), adam)
  both = two_optimizers.optimizers(clipped, optax.chain(clipped, optax.scale(weight)))

  def weighted(weight):
    loss = supervised.cross_entropy_of(net)
    return lambda params, batch, key: weight * loss(params, batch, key)

  def batches(transfer, seed):
    support, query = pools(config, transfer, seed)
    devices, epochs = supervised.num_devices(), config.training.epochs

    def stream(side: list[drawing.Pool]):
      return supervised.labelled_stream(side, config.sampling, seed, devices, epochs)

    return two_optimizers.in_turn(stream(support), stream([query]), epochs)

  step = two_optimizers.make_step(
    (weighted(1.0), weighted(weight)), both, mesh.make_mesh()
  )
  patience = config.training.patience
  return supervised.make_classifier(
    net, both[0], config, batches, step, patience, keeps_best
  )
