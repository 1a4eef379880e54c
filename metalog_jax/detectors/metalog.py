"""MetaLog: meta-learning across log systems with exact second-order gradients.

References:
  Zhang et al., MetaLog: Generalizable Cross-System Anomaly Detection from Logs
  with Meta-Learning, ICSE 2024: Eq. 1 (embedding), Eq. 2-3 and Algorithm 1
  (meta-learning), Eq. 4 (attention).
Differs from the released code:
  The release takes first-order gradients of one step over one source batch, never
  trains the attention on the target, and reads source events from target rows.
  `reference_fixed` keeps its network and first-order step with those faults mended.
  The faults themselves are in `experiments.released`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from metalog_jax import flags, lazy, types
from metalog_jax.batches import metalog_batches, sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import adaptation, base, side_by_side, supervised

jax = lazy.module('jax')
jnp = lazy.module('jax.numpy')
optax = lazy.module('optax')
inner = lazy.module('metalog_jax.meta.inner')
mesh = lazy.module('metalog_jax.meta.mesh')
outer = lazy.module('metalog_jax.meta.outer')
losses = lazy.module('metalog_jax.nets.losses')
nets = lazy.module('metalog_jax.nets.metalog')


@dataclasses.dataclass(frozen=True)
class Network(flags.Settings):
  """The network: the fields of `nets.metalog.Network`."""

  hidden: int = flags.field(
    100, 'hidden units of each GRU layer and direction', least=1
  )
  layers: int = flags.field(2, 'GRU layers', least=1)
  bidirectional: bool = flags.field(False, 'read sessions in both directions')
  attention: Literal['self', 'guide', 'mean'] = flags.field(
    'self',
    'self: Eq. 4 of the paper; guide: the released additive attention; mean: of the '
    'states, an ablation',
  )
  pooling: Literal['sum', 'mean', 'log_sum'] = flags.field(
    'mean', 'how Eq. 4 sums over positions: sum (paper), mean, or the log of the sum'
  )
  scale: bool = flags.field(True, 'divide the scores of Eq. 4 by sqrt(hidden)')
  peaks: bool = flags.field(True, 'the peak of every unit beside the attention context')
  head: Literal['tanh_logit', 'linear'] = flags.field(
    'linear', 'tanh_logit: the paper; linear: the released code'
  )
  dtype: Literal['float32', 'bfloat16'] = flags.field(
    'float32',
    'what the network computes in, for accelerators; parameters, gradients and loss '
    'stay float32',
  )


@dataclasses.dataclass(frozen=True)
class Meta(flags.Settings):
  """The meta-objective, and how it is differentiated; see `meta.MetaConfig`."""

  inner_steps: int = flags.field(5, 'parts drawn per epoch, one inner step each (n_s)')
  inner_lr: float = flags.field(2e-3, 'inner learning rate (alpha)')
  order: types.Order = flags.field('second', 'order of the meta-gradient')
  gradient: types.Gradient = flags.field(
    'mixed', 'way to take the meta-gradient; all are exact but the last three'
  )
  truncate: int = flags.field(1, 'truncated: how many of the last steps are exact')
  proximal: float = flags.field(
    0.0, 'pull of the inner steps to their start (lambda); implicit needs it > 0'
  )
  source_weight: float = flags.field(1.0, 'weight of the source loss')
  target_weight: float = flags.field(4.0, 'weight of the target loss (beta)')


@dataclasses.dataclass(frozen=True)
class Training(flags.Settings):
  """The outer optimizer, and how long it runs."""

  outer_lr: float = flags.field(2e-3, 'outer learning rate of Adam (gamma)')
  adam_b2: float = flags.field(0.999, 'second-moment decay of Adam', below=1)
  adam_eps: float = flags.field(1e-8, 'epsilon of Adam')
  lr_decay: float = flags.field(1.0, 'outer rate times this every 1000 meta-steps')
  steps: int = flags.field(200, 'meta-steps; 0: as many as --metalog.epochs make')
  epochs: int = flags.field(5, 'passes over the parts, where steps is 0', least=1)
  patience: int = flags.field(
    5, 'stop after so many validations without a better one; 0: never'
  )


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of MetaLog; the defaults are the `default` preset."""

  embedding: sources.Config = gcse.Embedding()
  network: Network = flags.group(Network())
  reading: sequences.Reading = flags.group(sequences.Reading())
  sampling: metalog_batches.Sampling = flags.group(metalog_batches.Sampling())
  meta: Meta = flags.group(Meta())
  training: Training = flags.group(Training())


PRESETS = {
  'default': Config(),
  # The ablation: the same network, without the source and so without meta-learning.
  'target_only': flags.replace(Config(), inner_steps=0, source_weight=0.0),
  'paper': flags.replace(
    Config(gcse.Embedding(variant='paper', idf='per_system')),
    pooling='sum',
    scale=False,
    peaks=False,
    head='tanh_logit',
    batch=100,
    collapse=0,
    max_events=500,
    anomaly_share=0.0,
    steps=0,
    patience=0,
  ),
  'reference_fixed': flags.replace(
    Config(gcse.Embedding(variant='reference', idf='per_system')),
    bidirectional=True,
    attention='guide',
    peaks=False,
    head='linear',
    batch=100,
    collapse=0,
    max_events=500,
    anomaly_share=0.0,
    parts=1,
    inner_steps=1,
    order='first',
    target_weight=1.0,
    adam_b2=0.9,
    adam_eps=1e-12,
    lr_decay=0.75,
    steps=0,
    epochs=10,
    patience=0,
  ),
}


def needs(config: Config) -> frozenset[str]:
  """All labels within the budgets."""
  return frozenset({base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES})


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net = make_network(config.network)

  def start(key, example):
    return jax.jit(net.init)(key, example)['params']  # whole, to be kept compiled

  def batches(transfer, seed, devices):
    pools = metalog_batches.pools(config, transfer, seed)
    return metalog_batches.meta_stream(config, *pools, seed, devices)

  return assemble(config, net, loss_of(net), start, batches)


def assemble(
  config: Config,
  net: Any,
  loss: Callable,
  start: Callable,
  batches: Callable,
  keeps_best: bool = True,
) -> base.Detector:
  """A detector that lowers MetaLog's objective.

  Args:
    net: the Linen module that judges.
    loss: (params, batch, axis) -> scalar, its rows added up over the mesh's axis.
    start: (key, the smallest batch) -> params.
    batches: (transfer, seed, devices) -> Stream of tasks for the loss.
    keeps_best: see `base.Training`.
  """
  meta, devices = meta_config(config.meta), mesh.make_mesh()
  optimizer = make_optimizer(config.training)

  def init(key, transfer):
    params = start(key, supervised.example_of(transfer))
    return mesh.replicate(outer.init_state(params, optimizer), devices)

  adapt = adaptation.make_adapt(
    lambda params, batch: loss(params, batch, None),
    lambda params, batch: supervised.probability(net, params, batch),
    meta,
    adaptation.Settings(rounds=0),  # to a system that training never saw (our choice)
    config.reading,
  )
  return base.Detector(
    init=init,
    score=lambda state, batch: supervised.probability(net, state.params, batch),
    explain=lambda state, batch: supervised.attention(net, state.params, batch),
    reading=config.reading,
    training=base.Training(
      batches=lambda transfer, seed: batches(transfer, seed, devices.size),
      put=lambda task: mesh.put(task, devices),
      step=outer.make_meta_step(loss, optimizer, meta, devices),
      patience=config.training.patience,
      keeps_best=keeps_best,
      gradient_mode=lambda state, tasks: outer.choose(
        loss, state.params, tasks, meta, devices
      ),
      objective=(loss, meta),
      side_by_side=lambda runs: side_by_side.make_steps(
        loss, optimizer, meta, batches, runs
      ),
    ),
    adapt=adaptation.of_states(adapt, devices),
  )


def make_network(config: Network) -> Any:
  """The Linen module."""
  settings = dataclasses.asdict(config)
  # float32 is the type of the parameters: nothing is cast then, nor is float64.
  dtype = None if config.dtype == 'float32' else jnp.dtype(config.dtype)
  return nets.Network(**settings | {'dtype': dtype})


def loss_of(net: Any) -> Callable:
  """(params, batch, axis) -> cross-entropy, its rows added up over the mesh's axis."""

  def loss(params, batch, axis=mesh.ROWS):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, axis)

  return loss


def make_optimizer(config: Training) -> Any:
  """Adam with the rate stepwise lower."""
  rate = optax.exponential_decay(config.outer_lr, 1000, config.lr_decay, staircase=True)
  return optax.adam(rate, b2=config.adam_b2, eps=config.adam_eps)


def meta_config(config: Meta) -> Any:
  """Eq. 2 and 3 as a `MetaConfig`."""
  settings = dataclasses.asdict(config)
  weights = settings.pop('source_weight'), settings.pop('target_weight')
  return inner.MetaConfig(
    support_weight=weights[0],
    query_weight=weights[1],
    support_per_step=config.inner_steps > 0,
    **settings,
  )
