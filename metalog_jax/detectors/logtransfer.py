"""LogTransfer: trained on the sources, then its LSTM layers on the target's labels.

References:
  Chen et al., LogTransfer: Cross-system log anomaly detection for software systems
  with transfer learning, ISSRE 2020.
Differs from the released code:
  Its transfer script cannot run (it makes layers -10 and -8 of a model of 7 layers
  trainable); what is meant are the two LSTM layers, which is what is done here. It
  labels a window of 20 events by the line after it and reports the best of 50
  thresholds on the test; here sessions have their own label and the threshold is 0.5.
  Events are Eq. 1's vectors in place of GloVe trained on templates, and what counts
  is the state after a session's last event, not after its padding.
"""

import dataclasses

from metalog_jax import errors, flags, types
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, supervised, two_optimizers

NEEDS = supervised.needs('both')


@dataclasses.dataclass(frozen=True)
class Config:
  """Settings of LogTransfer."""

  embedding: sources.Config = gcse.Embedding()
  hidden: int = flags.field(128, 'hidden units of each of the two LSTM layers')
  dense: int = flags.field(150, 'units of the dense layer')
  dropout: float = flags.field(0.5, 'share of states dropped, on the sources')
  target_dropout: float = flags.field(0.2, 'share of states dropped, on the target')
  collapse: int = flags.field(2, 'cut runs of equal events to this many; 0: keep them')
  max_events: int = flags.field(96, 'events of a session that are read')
  batch: int = flags.field(256, 'sessions in a batch')
  anomaly_share: float = flags.field(
    0.0, 'share of anomalies that batches are drawn with; 0: as they come'
  )
  lr: float = flags.field(1e-3, 'learning rate of Adam')
  epochs: int = flags.field(25, 'passes over the sources')
  target_epochs: int = flags.field(25, 'passes over the target')
  patience: int = flags.field(0, 'not used: nothing is selected')


PRESETS = {'default': Config(), 'balanced': Config(anomaly_share=0.5)}


def make(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  from metalog_jax.meta import mesh
  from metalog_jax.nets import logtransfer as nets
  from metalog_jax.nets import losses

  net = nets.Network(config.hidden, config.dense)
  optimizers = _optimizers(config, nets.SHARED)

  def loss_of(dropout):
    learner = net.clone(train=True, dropout=dropout)

    def loss(params, batch, key):
      logits = learner.apply({'params': params}, batch, rngs={'dropout': key})
      return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

    return loss

  both = loss_of(config.dropout), loss_of(config.target_dropout)
  return supervised.make(
    net,
    optimizers[0],
    config,
    lambda transfer, seed, devices: stream(config, transfer, seed, devices),
    step=two_optimizers.make_step(both, optimizers, mesh.make()),
    selects=False,
  )


def _optimizers(config: Config, shared: tuple[str, ...]):
  """Adam on everything, then a new one on all but `shared`."""
  import optax

  def kinds(params):
    return {name: 'keep' if name in shared else 'learn' for name in params}

  adams = {'learn': optax.adam(config.lr), 'keep': optax.set_to_zero()}
  return two_optimizers.optimizers(
    optax.adam(config.lr), optax.multi_transform(adams, kinds)
  )


def stream(
  config: Config, transfer: types.Transfer, seed: int, devices: int = 1
) -> types.Stream:
  """Batches of the sources, as the support of a task; then the target's, as its query.

  Raises:
    UserError: one of them is missing.
  """
  first, second = (
    supervised.stream(
      supervised.wholes(systems, config, share=True), config, seed, devices, epochs
    )
    for systems, epochs in (
      (_chosen(transfer, 'sources'), config.epochs),
      (_chosen(transfer, 'target'), config.target_epochs),
    )
  )

  return two_optimizers.stream(first, second, 1)


def _chosen(transfer, kind):
  systems = supervised.chosen(transfer, 'both')
  if kind == 'target' and transfer.target is None:
    raise errors.UserError('logtransfer learns from labels of the --target: give one')
  if kind == 'sources' and not transfer.sources:
    raise errors.UserError('logtransfer learns from a --source first: give one')
  return systems[:-1] if kind == 'sources' else systems[-1:]
