"""MetaLog: meta-learning across log systems with exact second-order gradients.

References:
  Zhang et al., MetaLog: Generalizable Cross-System Anomaly Detection from Logs
  with Meta-Learning, ICSE 2024: Eq. 1 (embedding), Eq. 2-3 and Algorithm 1
  (meta-learning), Eq. 4 (attention).
Differs from the released code:
  The release takes first-order gradients of one step over one source batch, never
  trains the attention on the target, and reads source events from target rows.
  `reference_fixed` keeps its network and first-order step with those faults mended.
  `reference` has them, each a field of its own, and labels that are estimated from
  clusters as there. What it does not have is the release's choice of the best epoch
  on the test set.
"""

import dataclasses
from typing import Literal

from metalog_jax import errors, flags
from metalog_jax.batches import released
from metalog_jax.detectors import alternating
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, pseudo_labels, supervised
from metalog_jax.training import metalog_batches as parts

ADAPT_STEPS = 10  # to a system that training never saw (our choice)
NEEDS = frozenset({base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES})


@dataclasses.dataclass(frozen=True)
class Config:
  """Settings of MetaLog; the defaults are the `default` preset."""

  embedding: sources.Config = gcse.Embedding()
  hidden: int = flags.field(100, 'hidden units of each GRU layer and direction')
  layers: int = flags.field(2, 'GRU layers')
  bidirectional: bool = flags.field(False, 'read sessions in both directions')
  attention: Literal['self', 'guide', 'mean'] = flags.field(
    'self',
    'self: Eq. 4 of the paper; guide: the released additive attention; mean: of the '
    'states, an ablation',
  )
  pooling: str = flags.field(
    'mean', 'how Eq. 4 sums over positions: sum (paper) or mean'
  )
  scale: bool = flags.field(True, 'divide the scores of Eq. 4 by sqrt(hidden)')
  peaks: bool = flags.field(True, 'the peak of every unit beside the attention context')
  head: Literal['tanh_logit', 'linear'] = flags.field(
    'linear', 'tanh_logit: the paper; linear: the released code'
  )
  collapse: int = flags.field(2, 'cut runs of equal events to this many; 0: keep them')
  max_events: int = flags.field(96, 'events of a session that are read')
  batch: int = flags.field(32, 'sessions in a source or target batch')
  anomaly_share: float = flags.field(
    0.5, 'share of anomalies that batches are drawn with; 0: as they come'
  )
  parts: int = flags.field(10, 'parts that each source is cut into (n)')
  inner_steps: int = flags.field(5, 'parts drawn per epoch, one inner step each (n_s)')
  inner_lr: float = flags.field(2e-3, 'inner learning rate (alpha)')
  order: Literal['second', 'first'] = flags.field(
    'second', 'order of the meta-gradient'
  )
  gradient: Literal[
    'auto',
    'reverse',
    'mixed',
    'linearized',
    'remat',
    'truncated',
    'implicit',
    'reptile',
  ] = flags.field(
    'mixed', 'way to take the meta-gradient; all are exact but the last three'
  )
  truncate: int = flags.field(1, 'truncated: how many of the last steps are exact')
  proximal: float = flags.field(
    0.0, 'pull of the inner steps to their start (lambda); implicit needs it > 0'
  )
  dtype: Literal['float32', 'bfloat16'] = flags.field(
    'float32',
    'what the network computes in, for accelerators; parameters, gradients and loss '
    'stay float32',
  )
  share: Literal['nothing', 'sequences', 'prefixes'] = flags.field(
    'prefixes', 'what of the sessions in a batch is computed once; all are exact'
  )
  source_weight: float = flags.field(1.0, 'weight of the source loss')
  target_weight: float = flags.field(4.0, 'weight of the target loss (beta)')
  outer_lr: float = flags.field(2e-3, 'outer learning rate of Adam (gamma)')
  adam_b2: float = flags.field(0.999, 'second-moment decay of Adam')
  adam_eps: float = flags.field(1e-8, 'epsilon of Adam')
  lr_decay: float = flags.field(1.0, 'outer rate times this every 1000 meta-steps')
  steps: int = flags.field(200, 'meta-steps; 0: as many as --metalog.epochs make')
  epochs: int = flags.field(5, 'passes over the parts, where steps is 0')
  patience: int = flags.field(
    5, 'stop after so many validations without a better one; 0: never'
  )
  # What the released code does, and the paper does not.
  estimated_labels: bool = flags.field(
    False, 'take the labels of the target from clusters, as PLELog does'
  )
  labels: pseudo_labels.Options = pseudo_labels.Options()
  wrong_rows: bool = flags.field(
    False, 'read the vectors of source events in the table of the target (a fault)'
  )
  unmasked_padding: bool = flags.field(
    False, 'let the GRU run over padding (a fault): scores depend on the batch'
  )
  random_attention: bool = flags.field(
    False, 'judge the target with an attention that is never trained (a fault)'
  )
  alternate: bool = flags.field(
    False, 'no meta-learning: epochs of the sources and of the target in turn'
  )


PRESETS = {
  'default': Config(),
  # The ablation: the same network, without the source and so without meta-learning.
  'target_only': Config(inner_steps=0, source_weight=0.0),
  'paper': Config(
    embedding=gcse.Embedding(variant='paper', idf='per_system'),
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
  'reference_fixed': Config(
    embedding=gcse.Embedding(variant='reference', idf='per_system'),
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
PRESETS['reference'] = dataclasses.replace(
  PRESETS['reference_fixed'],
  estimated_labels=True,
  wrong_rows=True,
  unmasked_padding=True,
  random_attention=True,
)
# The release's first version. Whether it misread rows is not known.
PRESETS['reference_v0'] = dataclasses.replace(
  PRESETS['reference'],
  wrong_rows=False,
  random_attention=False,
  alternate=True,
  epochs=5,
)


def needs(config: Config) -> frozenset[str]:
  """Estimated labels need no anomaly of the target."""
  return NEEDS - ({base.TARGET_ANOMALIES} if config.estimated_labels else set())


def make(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  import jax  # here, so that flags can be read without waiting for jax

  from metalog_jax.meta import mesh, outer
  from metalog_jax.nets import losses

  if config.random_attention and config.attention == 'mean':
    raise errors.UserError(
      '--metalog.random_attention: a mean has nothing that is random'
    )
  net, optimizer, meta = _network(config), _optimizer(config), _objective(config)
  if config.alternate:
    return alternating.make(net, optimizer, config)
  devices = mesh.make()

  def loss(params, batch, axis=mesh.ROWS):
    if config.random_attention:
      params, batch = released.seen(params, batch)
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, axis)

  def init(key, transfer):
    example = supervised.example(supervised.dim(transfer))
    start = jax.jit(net.init)  # as a whole, to be kept compiled
    params = start(key, example)['params']
    if config.random_attention:
      other = start(jax.random.fold_in(key, 1), example)['params']
      params = released.with_copy(params, other)
    state = outer.init_state(params, optimizer)
    return mesh.replicate(state, devices)

  def probability(params, batch):
    return jax.nn.softmax(net.apply({'params': params}, batch))[:, 1]

  def score(state, batch):
    return probability(state.params, batch)

  def explain(state, batch):
    return net.apply({'params': state.params}, batch, method='attend')[1]

  return base.Detector(
    init=init,
    batches=lambda transfer, seed: parts.stream(config, transfer, seed, devices.size),
    put=lambda task: mesh.put(task, devices),
    step=outer.make_meta_step(loss, optimizer, meta, devices),
    score=score,
    explain=explain,
    collapse=config.collapse,
    max_events=config.max_events,
    patience=config.patience,
    way=lambda state, tasks: outer.choose(loss, state.params, tasks, meta, devices),
    objective=(loss, meta),
    adapt=_adaptation(config, meta, loss, probability, devices),
    selects=not config.estimated_labels,
  )


def _network(config: Config):
  import jax.numpy as jnp

  from metalog_jax.nets import metalog as nets

  return nets.Network(
    hidden=config.hidden,
    layers=config.layers,
    bidirectional=config.bidirectional,
    attention=config.attention,
    pooling=config.pooling,
    scale=config.scale,
    peaks=config.peaks,
    head=config.head,
    pads=config.unmasked_padding,
    dtype=None if config.dtype == 'float32' else jnp.dtype(config.dtype),
  )


def _optimizer(config: Config):
  import optax

  rate = optax.exponential_decay(config.outer_lr, 1000, config.lr_decay, staircase=True)
  return optax.adam(rate, b2=config.adam_b2, eps=config.adam_eps)


def _objective(config: Config):
  from metalog_jax.meta import inner

  return inner.MetaConfig(
    inner_lr=config.inner_lr,
    inner_steps=config.inner_steps,
    order=config.order,
    gradient=config.gradient,
    support_weight=config.source_weight,
    query_weight=config.target_weight,
    support_per_step=config.inner_steps > 0,
    truncate=config.truncate,
    proximal=config.proximal,
  )


def _adaptation(config: Config, meta, loss, probability, devices):
  """adapt(state, transfer, seed) -> (state, report): see `adaptation.make`."""
  from metalog_jax.meta import mesh
  from metalog_jax.training import adaptation

  settings = adaptation.Settings(ADAPT_STEPS, config.collapse, config.max_events)
  alone = lambda params, batch: loss(params, batch, None)
  descend = adaptation.make(alone, probability, meta, settings)

  def adapt(state, transfer, seed, **how):
    params, report = descend(mesh.local(state.params), transfer, seed, **how)
    return state._replace(params=mesh.replicate(params, devices)), report

  return adapt
