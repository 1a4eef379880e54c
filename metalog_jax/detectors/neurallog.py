"""NeuralLog: a transformer encoder over what the messages say, without event numbers.

References:
  Le and Zhang, Log-based anomaly detection without log parsing, ASE 2021.
Differs from the released code:
  A System folder holds templates and no messages, so that it reads the templates'
  text, whose variable parts a parser has taken out, and so have severity words, which
  are a strong hint on BGL. Vectors are those of `embedding`, by default weighed word
  vectors in place of BERT's. Sessions in place of windows of 20; padding is neither
  attended to nor averaged over. The release counts the steps of its warm-up in
  sessions where it means batches; here it is a number of steps, and the rate stays.
"""

import dataclasses

from metalog_jax import flags, lazy
from metalog_jax.batches import sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, supervised

jax = lazy.module('jax')
optax = lazy.module('optax')
nets = lazy.module('metalog_jax.nets.transformer')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of NeuralLog."""

  embedding: sources.Config = gcse.Embedding()
  learn_from: supervised.LearnFrom = flags.field(
    'target', 'whose labels are learned from'
  )
  heads: int = flags.field(12, 'attention heads', least=1)
  size: int = flags.field(0, 'units of each head; 0: as many as a vector has')
  hidden: int = flags.field(2048, 'units of the feed-forward layer', least=1)
  dense: int = flags.field(32, 'units of the layer before the logits', least=1)
  dropout: float = flags.field(0.1, 'share dropped while training', below=1)
  reading: sequences.Reading = flags.group(sequences.Reading(max_events=75))
  batch: int = flags.field(256, 'sessions in a batch', least=1)
  anomaly_share: float = flags.field(
    1 / 6,
    'share of anomalies in a batch: the release has 5 normals to one anomaly',
    below=1,
  )
  lr: float = flags.field(3e-4, 'learning rate of AdamW')
  warmup: int = flags.field(100, 'steps in which the rate grows (our choice)')
  weight_decay: float = flags.field(0.01, 'decay of the weight matrices')
  epochs: int = flags.field(10, 'passes over the labelled sessions', least=1)
  least_steps: int = flags.field(0, 'steps at least, however few sessions are labelled')
  patience: int = flags.field(
    0, 'stop after so many validations without a better one; 0: never'
  )


PRESETS = {
  'default': Config(),
  'zero_shot': Config(learn_from='sources'),
  'pooled': Config(learn_from='both'),
}


def needs(config: Config) -> frozenset[str]:
  """The labels of the systems that are learned from."""
  return supervised.needs(config.learn_from)


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net = nets.Network(
    config.heads, config.size, config.hidden, config.dense, config.dropout
  )
  rate = optax.linear_schedule(0.0, config.lr, max(config.warmup, 1))
  matrices = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)
  return supervised.make_classifier(
    net,
    optax.adamw(rate, weight_decay=config.weight_decay, mask=matrices),
    config,
    lambda transfer, seed: supervised.stream_of(config, transfer, seed),
    patience=config.patience,
    note='read the text of templates: a System folder holds no raw messages',
  )
