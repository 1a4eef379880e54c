"""Networks that plain steps on labelled batches train; what their detectors share.

A step without inner steps is a meta-step on the query alone, so that plain training
has the devices, the state and the losses of `meta.outer`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.batches import sampling, sequences
from metalog_jax.training import base

LearnFrom = Literal['target', 'sources', 'both']


class Drawn(NamedTuple):
  """What a step reads."""

  batch: Any  # a types.Batch, or several
  noise: np.ndarray  # [2] uint32: the key that dropout is drawn from


def needs(learn_from: LearnFrom) -> frozenset[str]:
  """The labels of the systems that are learned from."""
  target = {base.TARGET_NORMALS, base.TARGET_ANOMALIES}
  return frozenset(
    {
      'target': target,
      'sources': {base.SOURCE_LABELS},
      'both': target | {base.SOURCE_LABELS},
    }[learn_from]
  )


def chosen(
  transfer: types.Transfer, learn_from: LearnFrom
) -> tuple[types.Dataset, ...]:
  """The systems that are learned from.

  Raises:
    UserError: there is none of them.
  """
  target = () if transfer.target is None else (transfer.target,)
  systems = {
    'target': target,
    'sources': transfer.sources,
    'both': (*transfer.sources, *target),
  }[learn_from]
  if not systems:
    kind, other = ('--target', 'zero_shot')
    if learn_from != 'target':
      kind, other = '--source', 'default'
    raise errors.UserError(
      f'there is no {kind} to learn from: give one, or --preset={other}'
    )
  return systems


def dim(transfer: types.Transfer) -> int:
  """D, which all systems have in common."""
  return (transfer.target or transfer.sources[0]).vectors.shape[1]


def example(size: int) -> types.Batch:
  """The smallest batch of vectors [1, size], to start a network with."""
  one, cell = np.ones(1, np.float32), np.zeros((1, 1), np.int32)
  return types.Batch(np.zeros((1, size), np.float32), cell, cell, one, one)


def wholes(
  systems: Iterable[types.Dataset], config: Any, share: bool = False
) -> list[sampling.Pool]:
  """The labelled sessions of each system, as far as they are read.

  Args:
    share: compute once what sessions begin with in common; for networks that read
      forward only. Their dropout is then one as well, as that of equal sessions is.
  """
  read = lambda data: sequences.sequences(
    data.sessions, config.collapse, config.max_events, share
  )
  return [
    sampling.whole(data, read(data))._replace(number=i)
    for i, data in enumerate(systems)
  ]


def stream(
  systems: list[sampling.Pool], config: Any, seed: int, devices: int, epochs: int
) -> types.Stream:
  """Passes over all systems, a batch of one system in every step.

  Args:
    config: has `batch`, and maybe `anomaly_share`.

  Raises:
    UserError: no session has a label.
  """
  systems = [pool for pool in systems if pool.size]
  if not systems:
    raise errors.UserError('no session to learn from has a label: raise the budgets')
  width = max(len(pool.vectors) for pool in systems)
  systems = [
    pool._replace(vectors=sampling.pad_rows(pool.vectors, width)) for pool in systems
  ]
  share = getattr(config, 'anomaly_share', 0.0)
  sampler = sampling.Sampler(config.batch, share, seed, devices=devices)
  rooms = sampler.rooms(systems)
  turns = Turns(tuple(-(-pool.size // config.batch) for pool in systems), seed)

  def draw(step: int) -> types.Task:
    which, number = turns.at(step)
    batch = first_of(sampler.batches([systems[which]], number, rooms))
    return task(batch, seed, step, devices)

  return types.Stream(epochs * turns.per_epoch, draw)


def batches_of(config: Any) -> Callable:
  """(transfer, seed, devices) -> Stream of the labels in `config.learn_from`."""

  def made(transfer: types.Transfer, seed: int, devices: int) -> types.Stream:
    systems = wholes(chosen(transfer, config.learn_from), config)
    return stream(systems, config, seed, devices, config.epochs)

  return made


class Turns(NamedTuple):
  """Whose batch a step reads: in every epoch each system's, in random order."""

  counts: tuple[int, ...]  # batches of each system in an epoch
  seed: int

  @property
  def per_epoch(self) -> int:
    return sum(self.counts)

  def at(self, step: int) -> tuple[int, int]:
    """The system, and the number of its batch."""
    epoch, place = divmod(step, self.per_epoch)
    order = np.repeat(np.arange(len(self.counts)), self.counts)
    np.random.default_rng([self.seed, 7, epoch]).shuffle(order)
    which = int(order[place])
    before = int(np.sum(order[:place] == which))
    return which, epoch * self.counts[which] + before


def first_of(batch: types.Batch) -> types.Batch:
  """The batch of the only pool: leaves [D, 1, ...] -> [D, ...]."""
  import jax

  return jax.tree.map(lambda x: x[:, 0], batch)


def task(batch: Any, seed: int, step: int, devices: int) -> types.Task:
  """What a step reads: leaves [1 task, devices, ...]."""
  noise = np.random.default_rng([seed, 8, step]).integers(
    0, 1 << 32, (devices, 2), np.uint32
  )
  return sampling.stack([types.Task((), Drawn(batch, noise))])


def make_step(loss: Callable, optimizer: Any, devices: Any) -> Callable:
  """step(state, task) -> (state, {'loss': scalar}), for tasks as `task` makes them.

  Args:
    loss: (params, batch, key) -> scalar, adding up its rows over `mesh.ROWS`.
  """
  import jax

  from metalog_jax.meta import inner, outer

  def of_drawn(params, drawn):
    return loss(params, drawn.batch, jax.random.wrap_key_data(drawn.noise))

  plain = inner.MetaConfig(
    inner_lr=0.0, inner_steps=0, order='first', support_weight=0.0, query_weight=1.0
  )
  step = outer.make_meta_step(of_drawn, optimizer, plain, devices)

  def named(state, task):
    state, metrics = step(state, task)
    return state, {'loss': metrics['loss']}

  return named


def make(
  net: Any, optimizer: Any, config: Any, batches_of: Callable, **more: Any
) -> base.Detector:
  """A detector whose score is the softmax of a network's two logits.

  Args:
    net: a module of `__call__(batch) -> logits [B, 2]` and `attend(batch) -> logits,
      weights [N']`; one with dropout has the field `train`.
    config: has `collapse`, `max_events`, `patience`.
    batches_of: (transfer, seed, number of devices) -> Stream.
    more: fields of `base.Detector`.
  """
  import jax

  from metalog_jax.meta import mesh, outer
  from metalog_jax.nets import losses

  devices = mesh.make()
  learner = net.clone(train=True) if hasattr(net, 'train') else net

  def loss(params, batch, key):
    logits = learner.apply({'params': params}, batch, rngs={'dropout': key})
    return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

  def init(key, transfer):
    params = jax.jit(net.init)(key, example(dim(transfer)))['params']
    return mesh.replicate(outer.init_state(params, optimizer), devices)

  def score(state, batch):
    return jax.nn.softmax(net.apply({'params': state.params}, batch))[:, 1]

  def explain(state, batch):
    return net.apply({'params': state.params}, batch, method='attend')[1]

  detector = base.Detector(
    init=init,
    batches=lambda transfer, seed: batches_of(transfer, seed, devices.size),
    put=lambda task: mesh.put(task, devices),
    step=make_step(loss, optimizer, devices),
    score=score,
    explain=explain,
    collapse=config.collapse,
    max_events=config.max_events,
    patience=config.patience,
  )
  return detector._replace(**more)
