"""LogTAD: how far from the centre that normal sessions of all systems share.

References:
  Han and Yuan, Unsupervised cross-system log anomaly detection via domain adaptation,
  CIKM 2021.
Differs from the released code:
  The release chooses the radius on labelled windows of the target, anomalies
  included, by the best AUC of 100 candidates: `radius=oracle` does so on the labelled
  training sessions, and only then are anomalies seen. By default the radius is the
  99th percentile of the distances of the target's normal training sessions. Whole
  sessions in place of windows that overlap and are shuffled apart; event vectors are
  Eq. 1's, and no line is dropped for having few words. Half of each batch is the
  target's, where the release repeats its sessions 100 times.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

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
grid = lazy.module('metalog_jax.nets.grid')
losses = lazy.module('metalog_jax.nets.losses')
nets = lazy.module('metalog_jax.nets.logtad')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of LogTAD."""

  embedding: sources.Config = gcse.Embedding()
  hidden: int = flags.field(128, 'hidden units of each LSTM layer', least=1)
  layers: int = flags.field(2, 'LSTM layers', least=1)
  dropout: float = flags.field(
    0.3, 'share of states dropped between the layers', below=1
  )
  alpha: float = flags.field(0.1, 'strength of the reversed gradient')
  centre_weight: float = flags.field(
    1e5, 'weight of the squared distances to the centre, summed over a batch'
  )
  centre_epochs: int = flags.field(10, 'first epochs, in which the centre still moves')
  centre_margin: float = flags.field(0.1, 'no coordinate of the centre is nearer to 0')
  radius: Literal['normals', 'oracle'] = flags.field(
    'normals', 'normals: a quantile of their distances; oracle: by labelled anomalies'
  )
  quantile: float = flags.field(
    0.99, 'share of target normals inside (our choice)', most=1
  )
  reading: sequences.Reading = flags.group(sequences.Reading())
  batch: int = flags.field(
    1024, 'sessions in a batch, half of them of the target', least=2
  )
  lr: float = flags.field(1e-3, 'learning rate of Adam')
  weight_decay: float = flags.field(1e-6, 'weight of the squared weights (L2)')
  epochs: int = flags.field(100, 'passes over the larger side', least=1)


PRESETS = {'default': Config(), 'oracle': Config(radius='oracle')}


def needs(config: Config) -> frozenset[str]:
  """Normal sessions; anomalies of the target for the oracle's radius alone."""
  labels = {base.SOURCE_LABELS, base.TARGET_NORMALS}
  return frozenset(
    labels | ({base.TARGET_ANOMALIES} if config.radius == 'oracle' else set())
  )


class Params(NamedTuple):
  """What is trained, and the centre [H], which is set."""

  net: Any
  centre: Any


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net = nets.Network(config.hidden, config.layers, config.dropout, config.alpha)
  learner = net.clone(train=True)
  optimizer = optax.chain(
    optax.add_decayed_weights(config.weight_decay, Params(True, False)),
    optax.adam(config.lr),
  )
  devices = mesh.make_mesh()
  represent = lambda params, batch: net.apply({'params': params.net}, batch)[0]

  def loss(params, sides, key):
    return objective(learner, params, sides, key, config.centre_weight, mesh.ROWS)

  train = supervised.make_step(loss, optimizer, devices)

  def recentre(state, tasks):
    sides = jax.tree.map(lambda x: x[0], tasks.support).batch
    add = lambda x: jax.lax.pmean(jax.lax.psum(x, mesh.ROWS), mesh.TASKS)
    total = add(sum(s.weights @ represent(state.params, s) for s in sides))
    centre = total / add(sum(s.weights.sum() for s in sides))
    margin = config.centre_margin
    centre = jnp.where(
      jnp.abs(centre) < margin, jnp.where(centre < 0, -margin, margin), centre
    )
    params = Params(state.params.net, centre)
    return state._replace(params=params), {'centre': jnp.linalg.norm(centre)}

  move = mesh.shard(recentre, devices)

  def init(key, transfer):
    start = jax.jit(net.init)(key, supervised.example_of(transfer))['params']
    params = Params(start, jnp.zeros(config.hidden))
    return mesh.replicate(outer.init_state(params, optimizer), devices)

  def score(state, batch):
    offset = represent(state.params, batch) - state.params.centre
    return jnp.linalg.norm(offset, axis=-1)

  def explain(state, batch):
    states = net.apply({'params': state.params.net}, batch, method='states')
    distance = jnp.linalg.norm(states - state.params.centre, axis=-1)
    return (distance + 1e-9) * grid.mask(batch)

  return base.Detector(
    init=init,
    score=score,
    explain=explain,
    reading=config.reading,
    training=base.Training(
      batches=lambda transfer, seed: stream(config, transfer, seed, devices.size),
      put=lambda task: mesh.put(task, devices),
      # A task's form tells whether it trains or sets the centre.
      step=lambda state, task: (move if task.query == () else train)(state, task),
      keeps_best=False,
    ),
    threshold=lambda state, transfer, scores: radius(config, transfer, scores),
  )


def objective(learner, params: Params, sides, key, weight: float, axis=None) -> Any:
  """weight Σ mean_j (z_j - c_j)² + CE(domain), over sessions of both sides.

  Args:
    learner: the network. sides: batches of the sources and of the target.
    axis: name of the mesh axis that the batches' rows are dealt along.
  """
  centre = jax.lax.stop_gradient(params.centre)
  add = (lambda x: jax.lax.psum(x, axis)) if axis else lambda x: x
  total, domain, count = 0.0, 0.0, 0.0
  for number, side in enumerate(sides):
    rngs = {'dropout': jax.random.fold_in(key, number)}
    z, logits = learner.apply({'params': params.net}, side, rngs=rngs)
    total += add(side.weights @ ((z - centre) ** 2).mean(-1))
    sessions = add(side.weights.sum())
    labels = 0 * side.labels + number
    domain += sessions * losses.cross_entropy(logits, labels, side.weights, axis)
    count += sessions
  return weight * total + domain / count


def stream(
  config: Config, transfer: types.Transfer, seed: int, devices: int = 1
) -> types.Stream:
  """Normal sessions of a source and of the target in every step.

  The first step of each of the first epochs sets the centre: a task's support.

  Raises:
    UserError: there is no source or no target, or none of its sessions is normal.
  """
  if transfer.target is None or not transfer.sources:
    raise errors.UserError(
      'logtad needs normal sessions of --source and --target: give both'
    )
  systems = supervised.chosen(transfer, 'both')
  *others, target = (
    pool._replace(anomalies=np.zeros(0, np.int64))
    for pool in supervised.wholes(systems, config, share=True)
  )
  others = [pool for pool in others if pool.size]
  if not others or not target.size:
    raise errors.UserError(
      'logtad needs normal sessions of both sides: raise the budgets'
    )
  half = -(-config.batch // 2)
  tables = drawing.same_height([pool.vectors for pool in others])
  others = [pool._replace(vectors=table) for pool, table in zip(others, tables)]
  sampler = drawing.Sampler(half, 0.0, seed, devices=devices)
  rooms, target_rooms = sampler.rooms(others), sampler.rooms([target])
  turns = supervised.Turns(tuple(-(-pool.size // half) for pool in others), seed)
  per_epoch = max(turns.per_epoch, -(-target.size // half)) + 1

  def draw(step: int) -> types.Task:
    which, number = turns.at(step)
    sides = (
      sampler.batch_of(others[which], number, rooms),
      sampler.batch_of(target, step, target_rooms),
    )
    task = supervised.plain_task(sides, seed, step, devices)
    epoch, place = divmod(step, per_epoch)
    if place == 0 and epoch < config.centre_epochs:
      return types.Task(task.query, ())
    return task

  return types.Stream(config.epochs * per_epoch, draw)


def radius(config: Config, transfer: types.Transfer, scores) -> tuple[float, str]:
  """The distance beyond which a session is anomalous, and where it comes from."""
  assert transfer.target  # there was no training without one
  labels = transfer.target.sessions.labels
  distances = scores(transfer.target)
  normal, anomalous = distances[labels == 0], distances[labels == 1]
  if config.radius == 'normals':
    cut = np.quantile(normal, config.quantile, method='inverted_cdf')
    return float(cut), 'target_normals'
  if not len(anomalous):
    raise errors.UserError(
      'no anomaly for --logtad.radius=oracle: raise --target_anomalies'
    )
  cuts = np.linspace(normal.mean(), anomalous.mean(), 100)
  area = [np.mean(normal <= cut) + np.mean(anomalous > cut) for cut in cuts]
  return float(cuts[int(np.argmax(area))]), 'oracle'
