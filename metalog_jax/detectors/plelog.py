"""PLELog: labels estimated from clusters, then a GRU with attention on them.

References:
  Yang et al., Semi-supervised log-based anomaly detection via probabilistic label
  estimation, ICSE 2021; the network and label estimation that MetaLog's code builds on.
Differs from the released code:
  States do not depend on padding or on what else is in a batch. Clusters are
  computed on the different sessions with their multiplicities, exactly (the release
  takes an approximate spanning tree). There are no more independent components than
  directions. The last epoch counts; the release keeps the best by F1 on labelled
  validation sessions. The sessions that are clustered are all of the training part,
  those beyond the budgets without a label; MetaLog's budgets drop those.
"""

import dataclasses

from metalog_jax import flags, lazy
from metalog_jax.batches import sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, pseudo_labels, supervised

optax = lazy.module('optax')
nets = lazy.module('metalog_jax.nets.metalog')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of PLELog."""

  embedding: sources.Config = gcse.Embedding()
  learn_from: supervised.LearnFrom = flags.field(
    'target', 'whose sessions are learned from'
  )
  labels: pseudo_labels.Options = pseudo_labels.Options()
  hidden: int = flags.field(
    100, 'hidden units of each GRU layer and direction', least=1
  )
  layers: int = flags.field(2, 'GRU layers', least=1)
  reading: sequences.Reading = flags.group(sequences.Reading())
  batch: int = flags.field(100, 'sessions in a batch', least=1)
  lr: float = flags.field(2e-3, 'learning rate of Adam')
  adam_b2: float = flags.field(0.9, 'second-moment decay of Adam', below=1)
  adam_eps: float = flags.field(1e-12, 'epsilon of Adam')
  lr_decay: float = flags.field(0.75, 'rate times this every 1000 steps')
  clip: float = flags.field(1.0, 'norm that gradients are cut to')
  epochs: int = flags.field(5, 'passes over the sessions', least=1)
  least_steps: int = flags.field(0, 'steps at least, however few sessions are labelled')


PRESETS = {
  'default': Config(),
  'zero_shot': Config(learn_from='sources'),
  'released': Config(
    gcse.Embedding(variant='reference', idf='per_system'),
    reading=sequences.Reading(collapse=0, max_events=500),
  ),
}


def needs(config: Config) -> frozenset[str]:
  """Normal sessions; labels of the sources are seen whole or not at all."""
  return supervised.needs(config.learn_from) - {base.TARGET_ANOMALIES}


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  rate = optax.exponential_decay(config.lr, 1000, config.lr_decay, staircase=True)
  optimizer = optax.chain(
    optax.clip_by_global_norm(config.clip),
    optax.adam(rate, b2=config.adam_b2, eps=config.adam_eps),
  )

  def batches(transfer, seed):
    pools = []
    for i, data in enumerate(supervised.chosen(transfer, config.learn_from)):
      seqs = config.reading.sequences(data.sessions)
      pool = pseudo_labels.pool(data, seqs, config.labels, seed)
      pools.append(pool._replace(number=i))
    devices = supervised.num_devices()
    return supervised.labelled_stream(pools, config, seed, devices, config.epochs)

  net = nets.RELEASED.clone(hidden=config.hidden, layers=config.layers)
  return supervised.make_classifier(net, optimizer, config, batches, keeps_best=False)
