"""MetaLog as released, with its faults, each a flag of its own.

What it does not have is the release's choice of the best epoch on the test set. With
all faults mended, it is the preset `reference_fixed` of `metalog`.

References:
  Zhang et al., MetaLog, ICSE 2024, and the code its authors released.
"""

import dataclasses

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import metalog_batches
from metalog_jax.detectors import metalog
from metalog_jax.training import base, pseudo_labels

jax = lazy.module('jax')
alternating = lazy.module('experiments.released.alternating')
faults = lazy.module('experiments.released.faults')
padded = lazy.module('experiments.released.padded')
mesh = lazy.module('metalog_jax.meta.mesh')


@dataclasses.dataclass(frozen=True)
class Config(metalog.Config):
  """MetaLog's settings, and what the released code does and the paper does not."""

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

  def __post_init__(self):
    super().__post_init__()
    if self.random_attention and self.network.attention == 'mean':
      raise errors.UserError(
        '--metalog_released.random_attention: a mean has nothing that is random'
      )


_fixed = metalog.PRESETS['reference_fixed']
_REFERENCE = Config(
  **{f.name: getattr(_fixed, f.name) for f in dataclasses.fields(_fixed)},
  estimated_labels=True,
  wrong_rows=True,
  unmasked_padding=True,
  random_attention=True,
)
PRESETS = {
  'default': Config(),
  'reference': _REFERENCE,
  # The release's first version. Whether it misread rows is not known.
  'reference_v0': flags.replace(
    _REFERENCE, wrong_rows=False, random_attention=False, alternate=True, epochs=5
  ),
}


def needs(config: Config) -> frozenset[str]:
  """All labels within the budgets; estimated ones need no anomaly of the target."""
  estimated = {base.TARGET_ANOMALIES} if config.estimated_labels else set()
  return metalog.needs(config) - estimated


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  net, keeps_best = _network(config), not config.estimated_labels
  if config.alternate:
    adam = metalog.make_optimizer(config.training)
    return alternating.make_detector(net, adam, config, _pools, keeps_best)
  plain = metalog.loss_of(net)

  def loss(params, batch, axis=mesh.ROWS):
    if config.random_attention:
      params, batch = faults.seen(params, batch)
    return plain(params, batch, axis)

  def start(key, example):
    init = jax.jit(net.init)
    params = init(key, example)['params']
    if config.random_attention:
      other = init(jax.random.fold_in(key, 1), example)['params']
      params = faults.with_copy(params, other)
    return params

  def batches(transfer, seed, devices):
    pools = _pools(config, transfer, seed)
    stream = metalog_batches.meta_stream(config, *pools, seed, devices)
    return _copied(stream) if config.random_attention else stream

  return metalog.assemble(config, net, loss, start, batches, keeps_best)


def _copied(stream: types.Stream) -> types.Stream:
  """The stream, in whatever rooms, with queries that the second copy judges."""

  def draw(step: int) -> types.Task:
    task = stream.draw(step)
    return task._replace(query=faults.Copied(task.query))

  within = stream.within
  assert within, 'the stream cannot be laid out in other rooms'
  return stream._replace(draw=draw, within=lambda rooms: _copied(within(rooms)))


def _network(config: Config):
  """MetaLog's network, or the same over padding."""
  net = metalog.make_network(config.network)
  if not config.unmasked_padding:
    return net
  fields = {f.name: getattr(net, f.name) for f in dataclasses.fields(net) if f.init}
  return padded.Network(
    **{n: x for n, x in fields.items() if n not in ('parent', 'name')}
  )


def _pools(config: Config, transfer: types.Transfer, seed: int):
  """As MetaLog's, with rows and labels as the release has them."""
  if config.wrong_rows:
    transfer = faults.wrong_rows(transfer)
  support, query = metalog_batches.pools(config, transfer, seed)
  if config.estimated_labels and transfer.target is not None:
    data, how = transfer.target, config.labels
    query = pseudo_labels.pool(data, query.seqs, how, seed)
  return support, query
