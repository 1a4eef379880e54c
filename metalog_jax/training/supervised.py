"""Networks that are trained by plain steps on labelled batches.

A step without inner steps is a meta-step on the query alone, so that plain training
has the devices, the state and the losses of `meta.outer`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, lazy, types
from metalog_jax.batches import drawing
from metalog_jax.training import base

jax = lazy.module('jax')
inner = lazy.module('metalog_jax.meta.inner')
mesh = lazy.module('metalog_jax.meta.mesh')
outer = lazy.module('metalog_jax.meta.outer')
losses = lazy.module('metalog_jax.nets.losses')

LearnFrom = Literal['target', 'sources', 'both']


class Drawn(NamedTuple):
  """What a step reads."""

  batch: Any  # a types.Batch, or several
  noise: np.ndarray  # [2] uint32: the key that dropout is drawn from


def needs(learn_from: LearnFrom) -> frozenset[str]:
  """The labels of the systems that are learned from."""
  target = {base.TARGET_NORMALS, base.TARGET_ANOMALIES}
  labels = {'target': target, 'sources': set(), 'both': target}[learn_from]
  return frozenset(labels | (set() if learn_from == 'target' else {base.SOURCE_LABELS}))


def chosen(
  transfer: types.Transfer, learn_from: LearnFrom
) -> tuple[types.Dataset, ...]:
  """The systems that are learned from, the target last.

  Raises:
    UserError: there is none of them.
  """
  systems = () if learn_from == 'target' else transfer.sources
  if transfer.target is not None and learn_from != 'sources':
    systems = (*systems, transfer.target)
  if not systems:
    kind, other = ('--source', 'default')
    if learn_from == 'target':
      kind, other = '--target', 'zero_shot'
    raise errors.UserError(
      f'there is no {kind} to learn from: give one, or --preset={other}'
    )
  return systems


def example_of(transfer: types.Transfer) -> types.Batch:
  """The smallest batch of vectors [1, D], to start a network with."""
  return example((transfer.target or transfer.sources[0]).vectors.shape[1])


def example(size: int) -> types.Batch:
  """The smallest batch of vectors [1, size]."""
  one, cell = np.ones(1, np.float32), np.zeros((1, 1), np.int32)
  return types.Batch(np.zeros((1, size), np.float32), cell, cell, one, one)


def wholes(
  systems: Iterable[types.Dataset], config: Any, share: bool = False
) -> list[drawing.Pool]:
  """The labelled sessions of each system, as far as they are read.

  Args:
    config: has `reading`.
    share: compute once what sessions begin with in common; for networks that read
      forward only. Their dropout is then one as well, as that of equal sessions is.
  """
  return [
    drawing.whole(data, config.reading.sequences(data.sessions, share), number)
    for number, data in enumerate(systems)
  ]


def labelled_stream(
  systems: list[drawing.Pool], config: Any, seed: int, devices: int, epochs: int
) -> types.Stream:
  """Passes over all systems, a batch of one system in every step.

  Args:
    config: has `batch`, and maybe `anomaly_share` and `least_steps`: where sessions are
      few, `epochs` passes over them are too few steps to learn anything.

  Raises:
    UserError: no session has a label.
  """
  systems = [pool for pool in systems if pool.size]
  if not systems:
    raise errors.UserError('no session to learn from has a label: raise the budgets')
  tables = drawing.same_height([pool.vectors for pool in systems])
  systems = [pool._replace(vectors=x) for pool, x in zip(systems, tables)]
  share = getattr(config, 'anomaly_share', 0.0)
  sampler = drawing.Sampler(config.batch, share, seed, devices=devices)
  # One's short sessions do not wait in the layout of another's long ones.
  rooms = [sampler.rooms([pool]) for pool in systems]
  turns = Turns(tuple(-(-pool.size // config.batch) for pool in systems), seed)

  def draw(step: int) -> types.Task:
    which, number = turns.at(step)
    batch = sampler.batch_of(systems[which], number, rooms[which])
    return plain_task(batch, seed, step, devices)

  least = getattr(config, 'least_steps', 0)
  return types.Stream(max(epochs * turns.per_epoch, least), draw)


def stream_of(config: Any, transfer: types.Transfer, seed: int) -> types.Stream:
  """Batches of the labels in `config.learn_from`, for all devices."""
  systems = wholes(chosen(transfer, config.learn_from), config)
  return labelled_stream(systems, config, seed, num_devices(), config.epochs)


def num_devices() -> int:
  """The number of devices, each of which takes a part of a batch."""
  return mesh.make_mesh().size


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


def plain_task(batch: Any, seed: int, step: int, devices: int) -> types.Task:
  """What a step reads: leaves [1 task, devices, ...]."""
  noise = np.random.default_rng([seed, 8, step]).integers(
    0, 1 << 32, (devices, 2), np.uint32
  )
  return drawing.stack([types.Task((), Drawn(batch, noise))])


def make_step(loss: Callable, optimizer: Any, devices: Any) -> Callable:
  """step(state, task) -> (state, {'loss': scalar}), for tasks of `plain_task`.

  Args:
    loss: (params, batch, key) -> scalar, adding up its rows over `mesh.ROWS`.
  """

  def of_drawn(params, drawn):
    return loss(params, drawn.batch, jax.random.wrap_key_data(drawn.noise))

  plain = inner.MetaConfig(
    inner_lr=0.0,
    inner_steps=0,
    order='first',
    support_weight=0.0,
    query_weight=1.0,
    support_per_step=True,
  )
  meta_step = outer.make_meta_step(of_drawn, optimizer, plain, devices)

  def step(state, task):
    state, metrics = meta_step(state, task)
    return state, {'loss': metrics['loss']}

  return step


def cross_entropy_of(net: Any) -> Callable:
  """The loss (params, batch, key) of a network of two logits, with its dropout."""

  def loss(params, batch, key):
    logits = net.apply({'params': params}, batch, rngs={'dropout': key})
    return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

  return loss


def make_classifier(
  net: Any,
  optimizer: Any,
  config: Any,
  batches: Callable,
  step: Callable | None = None,
  patience: int = 0,
  keeps_best: bool = True,
  note: str = '',
) -> base.Detector:
  """A detector whose score is the softmax of a network's two logits.

  Args:
    net: a module of `__call__(batch) -> logits [B, 2]` and `attend(batch) -> logits,
      weights [N']`; one with dropout has the field `train`.
    optimizer: of optax.
    config: has `reading`.
    batches: (transfer, seed) -> Stream.
    step: in place of plain steps on the cross-entropy.
    patience, keeps_best, note: see `base`.
  """
  devices = mesh.make_mesh()
  learner = net.clone(train=True) if hasattr(net, 'train') else net
  step = step or make_step(cross_entropy_of(learner), optimizer, devices)

  def init(key, transfer):
    params = jax.jit(net.init)(key, example_of(transfer))['params']
    return mesh.replicate(outer.init_state(params, optimizer), devices)

  return base.Detector(
    init=init,
    score=lambda state, batch: probability(net, state.params, batch),
    explain=lambda state, batch: attention(net, state.params, batch),
    reading=config.reading,
    training=base.Training(
      batches=batches,
      put=lambda task: mesh.put(task, devices),
      step=step,
      patience=patience,
      keeps_best=keeps_best,
    ),
    note=note,
  )


def probability(net: Any, params: Any, batch: types.Batch) -> Any:
  """[B] of an anomaly, by a network of two logits."""
  return jax.nn.softmax(net.apply({'params': params}, batch))[:, 1]


def attention(net: Any, params: Any, batch: types.Batch) -> Any:
  """[N'] what each place weighs."""
  return net.apply({'params': params}, batch, method='attend')[1]
