"""The first version of the released MetaLog: two trainings that take turns.

In every epoch one Adam goes through the sources, then another through the target at
β times the rate on β times the loss. There is no inner loop and no meta-gradient.
"""

from typing import Any

from metalog_jax.training import base, metalog_batches, supervised, two_optimizers

CLIP = 1.0  # norm that gradients are cut to


def make(net: Any, adam: Any, config: Any) -> base.Detector:
  """Returns the detector.

  Args:
    net: of two logits; adam: the optimizer of the sources.
    config: MetaLog's.
  """
  import optax

  from metalog_jax.meta import mesh
  from metalog_jax.nets import losses

  weight = config.target_weight
  clipped = optax.chain(optax.clip_by_global_norm(CLIP), adam)
  both = two_optimizers.optimizers(clipped, optax.chain(clipped, optax.scale(weight)))

  def loss_of(weight):
    def loss(params, batch, key):
      logits = net.apply({'params': params}, batch)
      return weight * losses.cross_entropy(
        logits, batch.labels, batch.weights, mesh.ROWS
      )

    return loss

  def batches_of(transfer, seed, devices):
    support, query = metalog_batches.pools_of(config, transfer, seed)
    both_sides = (
      supervised.stream(pools, config, seed, devices, config.epochs)
      for pools in (support, [query])
    )
    return two_optimizers.stream(*both_sides, config.epochs)

  return supervised.make(
    net,
    both[0],
    config,
    batches_of,
    step=two_optimizers.make_step((loss_of(1.0), loss_of(weight)), both, mesh.make()),
    selects=not config.estimated_labels,
  )
