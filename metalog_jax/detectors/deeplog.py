"""DeepLog: an event that an LSTM does not expect after those before it.

References:
  Du et al., DeepLog: Anomaly detection and diagnosis from system logs through deep
  learning, CCS 2017 (event numbers; its model of parameter values is not here).
Differs from the released code:
  Its authors released none. The re-implementation that most use feeds the event's
  number as a scalar, where the paper has one-hot keys, judges the set of different
  test sessions as if each stood once, skips the first 10 events of a session, and
  alerts on every session of less than 11. Here every event is predicted, the first
  ones from what there is before them. An event that no normal training session has is
  an anomaly. Sessions are ranked by the worst place of any event among those
  expected, so that one training serves every g.
"""

import collections
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import drawing, sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base, supervised

jax = lazy.module('jax')
jnp = lazy.module('jax.numpy')
optax = lazy.module('optax')
mesh = lazy.module('metalog_jax.meta.mesh')
outer = lazy.module('metalog_jax.meta.outer')
nets = lazy.module('metalog_jax.nets.deeplog')
grid = lazy.module('metalog_jax.nets.grid')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of DeepLog; batch, rate and epochs are the re-implementation's."""

  embedding: sources.Config = gcse.Embedding()  # vectors are not used
  window: int = flags.field(
    10, 'events that the next one is predicted from (h)', least=1
  )
  top: int = flags.field(
    9, 'how many of the likeliest events are normal (g); more events want more', least=1
  )
  hidden: int = flags.field(64, 'hidden units of each LSTM layer (alpha)', least=1)
  layers: int = flags.field(2, 'LSTM layers (L)', least=1)
  reading: sequences.Reading = flags.group(sequences.Reading())
  batch: int = flags.field(2048, 'windows in a batch', least=1)
  lr: float = flags.field(1e-3, 'learning rate of Adam')
  epochs: int = flags.field(
    300, 'passes over the windows of the normal sessions', least=1
  )


PRESETS = {'default': Config(), 'top_150': Config(top=150)}


class State(NamedTuple):
  """What was fitted."""

  seen: np.ndarray  # [V] bool: events of normal training sessions
  trained: Any


def needs(config: Config) -> frozenset[str]:
  """Normal sessions of the target."""
  return frozenset({base.TARGET_NORMALS})


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net = nets.Network(config.hidden, config.layers)
  optimizer = optax.adam(config.lr)
  devices = mesh.make_mesh()

  def loss(params, batch, key):
    logits = net.apply({'params': params}, batch)
    return nets.next_event_loss(logits, batch.labels, batch.weights, mesh.ROWS)

  train = supervised.make_step(loss, optimizer, devices)

  def init(key, transfer):
    data = transfer.target or transfer.sources[0]
    example = supervised.example(1)._replace(
      vectors=np.eye(len(data.vectors), dtype=np.float32)
    )
    params = jax.jit(net.init)(key, example)['params']
    state = State(seen(data), outer.init_state(params, optimizer))
    return mesh.replicate(state, devices)

  def step(state, batch):
    trained, metrics = train(state.trained, batch)
    return State(state.seen, trained), metrics

  def places(state, batch):
    """The rank of the event at every place [N'], 0 where there is none."""
    if len(batch.vectors) != len(state.seen):
      raise errors.UserError(
        'deeplog knows the events of its target alone: test it there (--test=rest)'
      )
    windows = nets.windows(batch, config.window)
    logits = net.apply({'params': state.trained.params}, windows)
    ranks = nets.ranks(logits, batch.events.ravel(), state.seen)
    return ranks * grid.mask(batch)

  def score(state, batch):
    ranks = places(state, batch).astype(batch.vectors.dtype)
    return grid.maxima(ranks[:, None], batch, floor=0)[:, 0]

  return base.Detector(
    init=init,
    score=score,
    explain=lambda state, batch: jnp.square(places(state, batch) * 1.0),
    reading=config.reading,
    training=base.Training(
      batches=lambda transfer, seed: stream(config, transfer, seed, devices.size),
      put=lambda task: mesh.put(task, devices),
      step=step,
      keeps_best=False,
    ),
    threshold=lambda state, transfer, scores: (float(config.top), 'top_g'),
    highest=lambda state, vectors: len(vectors) + 1.0,  # the rank of an unseen event
    note='a score is the worst place of an event among those expected; the limit is g',
    reads_vectors=False,
  )


def normals(data: types.Dataset) -> types.Sessions:
  """The sessions that are known to be normal."""
  return data.sessions.take(np.flatnonzero(data.sessions.labels == 0))


def seen(data: types.Dataset) -> np.ndarray:
  """Which events [V] the normal sessions have."""
  return np.bincount(normals(data).events, minlength=len(data.vectors)) > 0


def stream(
  config: Config, transfer: types.Transfer, seed: int, devices: int = 1
) -> types.Stream:
  """Batches of windows, each with the event after it as its label."""
  if transfer.target is None:
    raise errors.UserError(
      'deeplog learns from normal sessions of the --target: give one'
    )
  pool = windows(config, transfer.target)
  if not pool.size:
    raise errors.UserError(
      'no session of the target is known to be normal: raise its budget'
    )
  sampler = drawing.Sampler(config.batch, 0.0, seed, devices=devices)
  rooms = sampler.rooms([pool])

  def draw(step: int) -> types.Task:
    batch = sampler.batch_of(pool, step, rooms)
    return supervised.plain_task(batch, seed, step, devices)

  return types.Stream(config.epochs * -(-pool.size // config.batch), draw)


def windows(config: Config, data: types.Dataset) -> drawing.Pool:
  """Every event of the normal sessions as a session of the events before it."""
  seqs = config.reading.sequences(normals(data))
  counts: collections.Counter[tuple] = collections.Counter()
  for row, times in enumerate(np.bincount(seqs.inverse, minlength=len(seqs.lengths))):
    events = seqs.events[seqs.offsets[row] : seqs.offsets[row + 1]].tolist()
    for i, event in enumerate(events):
      counts[tuple(events[max(0, i - config.window) : i]), event] += int(times)
  rows = [window for window, _ in counts]
  sessions = types.Sessions.bare(
    np.array([event for row in rows for event in row], np.int32),
    np.cumsum([0, *map(len, rows)]).astype(np.int64),
  )
  return drawing.Pool(
    np.eye(len(data.vectors), dtype=np.float32),
    sequences.sequences(sessions, 0, config.window),
    np.repeat(np.arange(len(rows)), np.fromiter(counts.values(), int, len(rows))),
    np.zeros(0, int),
    0,
    np.array([event for _, event in counts], float),
  )
