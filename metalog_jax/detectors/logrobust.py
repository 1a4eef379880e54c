"""LogRobust: a bidirectional LSTM with attention over semantic event vectors.

References:
  Zhang et al., Robust log-based anomaly detection on unstable log data, ESEC/FSE 2019.
Differs from the released code:
  Its authors released none. The sizes are those of the re-implementation in
  NeuralLog's repository (128 units a direction, softmax of tanh scores), which attends
  to padding and stops at 75 events. The re-implementation in LogADEmpirical has
  attention weights that are zero and never trained, so that it takes the plain mean;
  that in logdeep reads forward only, has no attention, and decides at 0.2.
  Events are Eq. 1's vectors, as in MetaLog's tables, in place of FastText's.
"""

import dataclasses

from metalog_jax import flags, lazy
from metalog_jax.batches import sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, supervised

optax = lazy.module('optax')
nets = lazy.module('metalog_jax.nets.logrobust')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of LogRobust; the optimizer, batch and epochs are our choice."""

  embedding: sources.Config = gcse.Embedding()
  learn_from: supervised.LearnFrom = flags.field(
    'target', 'whose labels are learned from'
  )
  hidden: int = flags.field(128, 'hidden units of the LSTM in each direction', least=1)
  dropout: float = flags.field(
    0.0, 'share of the states dropped while training', below=1
  )
  reading: sequences.Reading = flags.group(sequences.Reading())
  batch: int = flags.field(100, 'sessions in a batch', least=1)
  anomaly_share: float = flags.field(
    0.0, 'share of anomalies that batches are drawn with; 0: as they come', below=1
  )
  lr: float = flags.field(1e-3, 'learning rate of Adam')
  epochs: int = flags.field(20, 'passes over the labelled sessions', least=1)
  least_steps: int = flags.field(0, 'steps at least, however few sessions are labelled')
  patience: int = flags.field(
    0, 'stop after so many validations without a better one; 0: never'
  )


PRESETS = {
  'default': Config(),
  'zero_shot': Config(learn_from='sources'),
  'pooled': Config(learn_from='both'),
  'balanced': Config(anomaly_share=0.5),
}


def needs(config: Config) -> frozenset[str]:
  """The labels of the systems that are learned from."""
  return supervised.needs(config.learn_from)


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  return supervised.make_classifier(
    nets.Network(config.hidden, config.dropout),
    optax.adam(config.lr),
    config,
    lambda transfer, seed: supervised.stream_of(config, transfer, seed),
    patience=config.patience,
  )
