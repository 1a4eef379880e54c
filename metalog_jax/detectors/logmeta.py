"""LogMeta: few-shot adaptation to a new system, by MAML over many labelled systems.

Only the paper's abstract is public. The network is that of its authors' earlier
models; tasks follow CroSysLog; what neither says is our choice, and marked so.

References:
  Sun et al, LogMeta, Journal of Systems and Software 235, 2026 (abstract).
  Sun et al, LogRoBERTa, Automated Software Engineering 2025; SemiRALD, Information
  and Software Technology 183, 2025 (network, pseudo-labels). CroSysLog, 2024 (tasks).
  Finn et al, MAML, ICML 2017.
"""

import dataclasses
import math
from typing import Any, Literal

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import episodes, sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import adaptation, base, side_by_side, supervised

jax = lazy.module('jax')
optax = lazy.module('optax')
inner = lazy.module('metalog_jax.meta.inner')
mesh = lazy.module('metalog_jax.meta.mesh')
outer = lazy.module('metalog_jax.meta.outer')
rules = lazy.module('metalog_jax.meta.rules')
losses = lazy.module('metalog_jax.nets.losses')
nets = lazy.module('metalog_jax.nets.logmeta')

PARTS = {'all': (), 'head': ('head',), 'head_attention': ('attention', 'head')}


@dataclasses.dataclass(frozen=True)
class Network(flags.Settings):
  """The network: the fields of `nets.logmeta.Network`."""

  hidden: int = flags.field(256, 'hidden units of the LSTM in each direction', least=1)
  recurrent: bool = flags.field(True, 'read with the LSTM; no: an ablation')
  attention: bool = flags.field(
    True, 'pool by attention; no: the last state of each direction, an ablation'
  )

  def __post_init__(self):
    super().__post_init__()
    if not (self.recurrent or self.attention):
      raise errors.UserError(
        '--logmeta.recurrent and --logmeta.attention cannot both be off'
      )


@dataclasses.dataclass(frozen=True)
class Meta(flags.Settings):
  """The meta-objective, and how it is differentiated; see `meta.MetaConfig`."""

  inner_steps: int = flags.field(5, 'inner steps in training; 0: plain joint training')
  inner_lr: float = flags.field(
    0.1, 'inner learning rate; the first, if learned (our choice, on simulated systems)'
  )
  inner_rule: str = flags.field('sgd', "inner rule: the name of one of optax's")
  rates: Literal['fixed', 'leaf', 'entry', 'step'] = flags.field(
    'fixed', 'inner rates: learned for each leaf, entry (Meta-SGD), or leaf and step'
  )
  adapted: Literal['all', 'head_attention', 'head'] = flags.field(
    'all', 'what inner steps move (ANIL: less than all)'
  )
  anneal: int = flags.field(
    0, 'MAML++: meta-steps over which losses after early inner steps fade; 0: none'
  )
  order: types.Order = flags.field('second', 'order of the meta-gradient')
  gradient: types.Gradient = flags.field(
    'mixed', 'way to take the meta-gradient; exact but truncated and reptile'
  )

  def __post_init__(self):
    super().__post_init__()
    if self.gradient == 'implicit':
      raise errors.UserError(
        '--logmeta.gradient=implicit needs a pull of the inner steps to their start, '
        'which logmeta does not have: choose another way'
      )


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of LogMeta; none is the paper's, which does not publish them.

  Of the authors' earlier models: hidden, confidence. Of MAML: outer_lr, tasks,
  adapt_steps, second order. CroSysLog: inner_steps. All others are our choice;
  CroSysLog searches inner_lr below 1e-2, where SGD hardly moves this network.
  """

  embedding: sources.Config = gcse.Embedding()
  network: Network = flags.group(Network())
  reading: sequences.Reading = flags.group(sequences.Reading())
  tasks: episodes.Tasks = flags.group(episodes.Tasks())
  meta: Meta = flags.group(Meta())
  outer_lr: float = flags.field(1e-3, 'outer learning rate of Adam')
  steps: int = flags.field(200, 'meta-steps; 0: no training (our choice)')
  adapt: adaptation.Settings = flags.group(adaptation.Settings())


FINE_TUNE = {'adapt_rule': 'adam', 'adapt_lr': 1e-3, 'adapt_steps': 100, 'rounds': 0}
PRESETS = {
  'default': Config(),
  'first_order': flags.replace(Config(), order='first'),
  'anil': flags.replace(Config(), adapted='head'),
  'anil_attention': flags.replace(Config(), adapted='head_attention'),
  'meta_sgd': flags.replace(Config(), rates='entry'),
  'maml_pp': flags.replace(Config(), rates='step', anneal=100),
  'reptile': flags.replace(Config(), gradient='reptile'),
  # What meta-learning is held against: the same network and the same labels.
  'pooled': flags.replace(Config(), inner_steps=0, adapt_steps=0, rounds=0),
  'fine_tuned': flags.replace(Config(), inner_steps=0, **FINE_TUNE),
  'scratch': flags.replace(Config(), inner_steps=0, steps=0, **FINE_TUNE),
}


def needs(config: Config) -> frozenset[str]:
  """All labels within the budgets; the target's are for adaptation."""
  return frozenset({base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES})


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net = nets.Network(**dataclasses.asdict(config.network))
  optimizer, meta = optax.adam(config.outer_lr), meta_config(config.meta)
  devices = mesh.make_mesh(math.gcd(config.tasks.tasks, len(jax.devices())))

  def loss(params, batch, axis=mesh.ROWS):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, axis)

  def probability(params, batch):
    return supervised.probability(net, params, batch)

  def init(key, transfer):
    params = jax.jit(net.init)(key, supervised.example_of(transfer))['params']
    params = _with_rates(config.meta, params)
    return mesh.replicate(outer.init_state(params, optimizer), devices)

  # What the loss sees of the meta-parameters.
  seen = lambda params: params if config.meta.rates == 'fixed' else params.params
  adapt = adaptation.make_adapt(
    lambda params, batch: loss(params, batch, None),
    probability,
    dataclasses.replace(meta, rule=_rule_of_adaptation(config)),
    config.adapt,
    config.reading,
  )

  def batches(transfer, seed, devices):
    return episodes.episode_stream(
      config.tasks, config.reading, config.steps, transfer, seed, devices
    )

  return base.Detector(
    init=init,
    score=lambda state, batch: probability(seen(state.params), batch),
    explain=lambda state, batch: supervised.attention(net, seen(state.params), batch),
    reading=config.reading,
    training=base.Training(
      batches=lambda transfer, seed: batches(transfer, seed, devices.shape[mesh.ROWS]),
      put=lambda task: mesh.put(task, devices),
      step=outer.make_meta_step(loss, optimizer, meta, devices),
      then_adapts=config.adapt.adapt_steps > 0,
      gradient_mode=lambda state, tasks: outer.choose(
        loss, state.params, tasks, meta, devices
      ),
      objective=(loss, meta),
      side_by_side=lambda runs: side_by_side.make_steps(
        loss, optimizer, meta, batches, runs, config.tasks.tasks
      ),
    ),
    adapt=adaptation.of_states(adapt, devices),
  )


def meta_config(config: Meta) -> Any:
  """MAML's `MetaConfig`: the query's loss after the inner steps alone."""
  return inner.MetaConfig(
    inner_lr=config.inner_lr,
    inner_steps=config.inner_steps,
    order=config.order,
    gradient=config.gradient,
    support_weight=0.0,
    query_weight=1.0,
    support_per_step=False,
    rule=_rule(config, config.inner_rule, config.inner_lr, config.inner_steps),
    anneal=config.anneal,
  )


def _with_rates(config: Meta, params: Any) -> Any:
  """The meta-parameters: the network's, and its inner rates if those are learned."""
  if config.rates == 'fixed':
    return params
  steps = config.inner_steps if config.rates == 'step' else 1
  each = 'entry' if config.rates == 'entry' else 'leaf'
  return rules.with_rates(params, config.inner_lr, steps, each)


def _rule(config: Meta, name: str, rate: float, steps: int) -> Any:
  """The rule of inner steps, for the parts that are adapted."""
  if config.rates != 'fixed':
    rule = rules.learned(steps)
  else:
    rule = rules.sgd(rate) if name == 'sgd' else rules.named(name, rate)
  parts = PARTS[config.adapted]
  return rules.only(rule, parts) if parts else rule


def _rule_of_adaptation(config: Config) -> Any:
  """Training's, unless adaptation has a rule or a rate of its own."""
  how, meta = config.adapt, config.meta
  name, rate = how.adapt_rule or meta.inner_rule, how.adapt_lr or meta.inner_lr
  return _rule(meta, name, rate, how.adapt_steps)
