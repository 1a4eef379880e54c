"""What MetaLog's steps read: batches of the sources' parts, and of the target."""

from typing import Any

import numpy as np

from metalog_jax import errors, types
from metalog_jax.batches import released, sampling, sequences
from metalog_jax.training import pseudo_labels


def stream(
  config: Any, transfer: types.Transfer, seed: int, devices: int = 1
) -> types.Stream:
  """Algorithm 1: each source in `parts`, `inner_steps` of them drawn per epoch,
  one batch of each and one of the target in every meta-step.

  With no target (zero-shot), the last source stands for it; where there is only
  one source, its last part does. Leaves are [1 task, devices, ...].

  Args:
    config: MetaLog's.

  Raises:
    UserError: there is no source to learn from.
  """
  import jax

  support, query = pools_of(config, transfer, seed)
  per_epoch = max(-(-pool.size // config.batch) for pool in support or [query])
  if config.parts == 1:  # the released epoch ends when both sides have been read
    per_epoch = max(per_epoch, -(-query.size // config.batch))
  merge = config.share != 'nothing'
  sampler = sampling.Sampler(config.batch, config.anomaly_share, seed, merge, devices)
  support_rooms = sampler.rooms(support) if support else []
  query_rooms = sampler.rooms([query])

  def draw(step: int) -> types.Task:
    target = sampler.batches([query], step, query_rooms)
    target = jax.tree.map(lambda x: x[:, 0], target)
    if config.random_attention:
      target = released.Copied(target)
    if not support:
      return sampling.stack([types.Task((), target)])
    rng = np.random.default_rng([seed, 1, step // per_epoch])
    chosen = rng.choice(
      len(support), config.inner_steps, replace=len(support) < config.inner_steps
    )
    parts = sampler.batches([support[i] for i in chosen], step, support_rooms)
    return sampling.stack([types.Task(parts, target)])  # one task a step

  return types.Stream(config.steps or config.epochs * per_epoch, draw)


def pools_of(
  config: Any, transfer: types.Transfer, seed: int
) -> tuple[list[sampling.Pool], sampling.Pool]:
  """(the parts of the sources, what stands for the target); see `stream`."""

  def read(data: types.Dataset) -> sequences.Sequences:
    shared = config.share == 'prefixes' and not config.bidirectional
    return sequences.sequences(
      data.sessions, config.collapse, config.max_events, shared
    )

  def cut(sources) -> list[sampling.Pool]:
    return [
      pool
      for source in sources
      for pool in sampling.parts(source, read(source), config.parts, seed)
    ]

  if config.wrong_rows:
    transfer = released.wrong_rows(transfer)
  sources, target = transfer.sources, transfer.target
  if target is not None:
    if config.inner_steps and not sources:
      raise errors.UserError(
        'there is no --source to learn from: give one, or --preset=target_only'
      )
    support = cut(sources) if config.inner_steps else []
    if config.estimated_labels:
      return support, pseudo_labels.pool(target, read(target), config.labels, seed)
    return support, sampling.whole(target, read(target))
  if len(sources) > 1:
    return cut(sources[:-1]), sampling.whole(sources[-1], read(sources[-1]))
  *support, query = cut(sources)
  return support or [query], query
