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
from typing import Literal

from metalog_jax import errors, flags
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, supervised

NEEDS = frozenset({base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES})
PREFERS_ENCODER = True  # where it is installed: the paper's events are an encoder's
PARTS = {'all': (), 'head': ('head',), 'head_attention': ('attention', 'head')}


@dataclasses.dataclass(frozen=True)
class Config:
  """Settings of LogMeta; none is the paper's, which does not publish them.

  Of the authors' earlier models: hidden, confidence. Of MAML: outer_lr, tasks,
  adapt_steps, second order. CroSysLog: inner_steps. All others are our choice;
  CroSysLog searches inner_lr below 1e-2, where SGD hardly moves this network.
  """

  embedding: sources.Config = gcse.Embedding()
  hidden: int = flags.field(256, 'hidden units of the LSTM in each direction')
  recurrent: bool = flags.field(True, 'read with the LSTM; no: an ablation')
  attention: bool = flags.field(
    True, 'pool by attention; no: the last state of each direction, an ablation'
  )
  collapse: int = flags.field(
    2, 'cut runs of equal events to this many; 0: keep them (our choice)'
  )
  max_events: int = flags.field(96, 'events of a session that are read (our choice)')
  shots: int = flags.field(10, 'K: support sessions of each class (our choice)')
  queries: int = flags.field(15, 'Q: query sessions of each class (our choice)')
  classes: Literal['balanced', 'natural'] = flags.field(
    'natural',
    'classes of the query: Q of each or as they come (ours, on simulated systems)',
  )
  spread: int = flags.field(
    4, 'a segment of time holds so many times K + Q sessions of each class (our choice)'
  )
  tasks: int = flags.field(4, 'tasks in a meta-step')
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
  order: Literal['second', 'first'] = flags.field(
    'second', 'order of the meta-gradient'
  )
  gradient: Literal[
    'auto', 'reverse', 'mixed', 'linearized', 'remat', 'truncated', 'reptile'
  ] = flags.field('mixed', 'way to take the meta-gradient; exact but the last two')
  outer_lr: float = flags.field(1e-3, 'outer learning rate of Adam')
  steps: int = flags.field(200, 'meta-steps; 0: no training (our choice)')
  adapt_steps: int = flags.field(10, 'steps of adaptation to the target; 0: none')
  adapt_rule: str = flags.field('', "rule of adaptation, if not training's")
  adapt_lr: float = flags.field(0.0, 'its rate, if not inner_lr')
  confidence: float = flags.field(0.9, 'a pseudo-label needs more probability')
  rounds: int = flags.field(5, 'rounds of pseudo-labels at most; 0: none (our choice)')
  most_pseudo: int = flags.field(
    64, 'pseudo-labelled sequences of each class to learn from (our choice)'
  )


FINE_TUNE = {'adapt_rule': 'adam', 'adapt_lr': 1e-3, 'adapt_steps': 100, 'rounds': 0}
PRESETS = {
  'default': Config(),
  'first_order': Config(order='first'),
  'anil': Config(adapted='head'),
  'anil_attention': Config(adapted='head_attention'),
  'meta_sgd': Config(rates='entry'),
  'maml_pp': Config(rates='step', anneal=100),
  'reptile': Config(gradient='reptile'),
  # What meta-learning is held against: the same network and the same labels.
  'pooled': Config(inner_steps=0, adapt_steps=0, rounds=0),
  'fine_tuned': Config(inner_steps=0, **FINE_TUNE),
  'scratch': Config(inner_steps=0, steps=0, **FINE_TUNE),
}


def make(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  import jax  # here, so that flags can be read without waiting for jax
  import optax

  from metalog_jax.batches import episodes
  from metalog_jax.meta import mesh, outer
  from metalog_jax.nets import logmeta as nets
  from metalog_jax.nets import losses

  if not (config.recurrent or config.attention):
    raise errors.UserError(
      '--logmeta.recurrent and --logmeta.attention cannot both be off'
    )
  net = nets.Network(config.hidden, config.recurrent, config.attention)
  optimizer = optax.adam(config.outer_lr)
  meta, init = _objective(config), _init(config, net)
  devices = mesh.make(math.gcd(config.tasks, len(jax.devices())))

  def attend(params, batch):
    return net.apply({'params': params}, batch, method='attend')

  def loss(params, batch, axis=mesh.ROWS):
    logits = attend(params, batch)[0]
    return losses.cross_entropy(logits, batch.labels, batch.weights, axis)

  def probability(params, batch):
    return jax.nn.softmax(attend(params, batch)[0])[:, 1]

  def start(key, transfer):
    return mesh.replicate(outer.init_state(init(key, transfer), optimizer), devices)

  descend = _adaptation(config, lambda p, b: loss(p, b, None), probability)

  def adapt(state, transfer, seed, **how):
    params, report = descend(mesh.local(state.params), transfer, seed, **how)
    return state._replace(params=mesh.replicate(params, devices)), report

  seen = lambda state: _seen(config, state.params)
  return base.Detector(
    init=start,
    batches=lambda transfer, seed: episodes.stream(
      config, transfer, seed, devices.shape[mesh.ROWS]
    ),
    put=lambda task: mesh.put(task, devices),
    step=outer.make_meta_step(loss, optimizer, meta, devices),
    score=lambda state, batch: probability(seen(state), batch),
    explain=lambda state, batch: attend(seen(state), batch)[1],
    collapse=config.collapse,
    max_events=config.max_events,
    patience=0,
    way=lambda state, tasks: outer.choose(loss, state.params, tasks, meta, devices),
    objective=(loss, meta),
    adapt=adapt,
    few_shot=config.adapt_steps > 0,
  )


def _init(config: Config, net):
  """(key, transfer) -> meta-parameters: the network and the rates."""
  import jax

  from metalog_jax.meta import rules

  def init(key, transfer):
    example = supervised.example(supervised.dim(transfer))
    params = jax.jit(net.init)(key, example)['params']
    if config.rates == 'fixed':
      return params
    steps = config.inner_steps if config.rates == 'step' else 1
    each = 'entry' if config.rates == 'entry' else 'leaf'
    return rules.with_rates(params, config.inner_lr, steps, each)

  return init


def _seen(config: Config, params):
  """What the loss sees of the meta-parameters."""
  return params if config.rates == 'fixed' else params.params


def _rule(config: Config, name: str, rate: float, steps: int):
  """The rule of inner steps, for the parts that are adapted."""
  from metalog_jax.meta import rules

  if config.rates != 'fixed':
    rule = rules.learned(steps)
  else:
    rule = rules.sgd(rate) if name == 'sgd' else rules.named(name, rate)
  parts = PARTS[config.adapted]
  return rules.only(rule, parts) if parts else rule


def _objective(config: Config):
  """MAML's: the query's loss after the inner steps alone."""
  from metalog_jax.meta import inner

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


def _adaptation(config: Config, loss, probability):
  """adapt(meta-parameters, transfer, seed, ...) -> (the same adapted, report)."""
  from metalog_jax.training import adaptation

  rule = _rule(
    config,
    config.adapt_rule or config.inner_rule,
    config.adapt_lr or config.inner_lr,
    config.adapt_steps,
  )
  settings = adaptation.Settings(
    config.adapt_steps,
    config.collapse,
    config.max_events,
    config.confidence,
    config.rounds,
    config.most_pseudo,
  )
  meta = dataclasses.replace(_objective(config), rule=rule)
  descend = adaptation.make(loss, probability, meta, settings)

  def adapt(params, transfer, seed, **how):
    adapted, report = descend(params, transfer, seed, **how)
    params = adapted if config.rates == 'fixed' else params._replace(params=adapted)
    return params, report

  return adapt
