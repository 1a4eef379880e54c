"""The batches of MetaLog's steps: of the sources' parts, and of the target."""

import dataclasses
from typing import Any, Literal

import numpy as np

from metalog_jax import errors, flags, types
from metalog_jax.batches import drawing, sequences

Pool = drawing.Pool


@dataclasses.dataclass(frozen=True)
class Sampling(flags.Settings):
  """How batches are drawn."""

  batch: int = flags.field(32, 'sessions in a source or target batch', least=1)
  anomaly_share: float = flags.field(
    0.5, 'share of anomalies that batches are drawn with; 0: as they come', below=1
  )
  parts: int = flags.field(10, 'parts that each source is cut into (n)', least=1)
  share: Literal['nothing', 'sequences', 'prefixes'] = flags.field(
    'prefixes', 'what of the sessions in a batch is computed once; all are exact'
  )
  rows: Literal['rounded', 'full'] = flags.field(
    'rounded',
    'sizes of batches: round numbers, as in 0.1.0; or full rows, dealt whole to the '
    'devices: an eighth less work, sums in another order',
  )


def meta_stream(
  config: Any,
  support: list[Pool],
  query: Pool,
  seed: int,
  devices: int = 1,
) -> types.Stream:
  """Algorithm 1: `inner_steps` parts of the sources are drawn in every epoch, and one
  batch of each and one of the target in every meta-step.

  Leaves are [1 task, devices, ...]; without a support there is the query alone.

  Args:
    config: MetaLog's.
    support: the parts of the sources; query: the target; see `pools`.

  Raises:
    UserError: no session of the sources, or of the target, has a label.
  """
  for flag, parts in (('--source', support), ('--target', [query])):
    if parts and not all(pool.size for pool in parts):
      raise errors.UserError(
        f'metalog learns from labelled sessions of {flag}, and has none: raise the '
        'budgets, or give another folder'
      )
  how, inner_steps = config.sampling, config.meta.inner_steps
  per_epoch = max(-(-pool.size // how.batch) for pool in support or [query])
  if how.parts == 1:  # the released epoch ends when both sides have been read
    per_epoch = max(per_epoch, -(-query.size // how.batch))
  merge = how.share != 'nothing'
  full = how.rows == 'full'
  sampler = drawing.Sampler(how.batch, how.anomaly_share, seed, merge, devices, full)
  steps = config.training.steps or config.training.epochs * per_epoch

  def within(rooms) -> types.Stream:
    support_rooms, query_rooms = rooms

    def draw(step: int) -> types.Task:
      target = sampler.batch_of(query, step, query_rooms)
      if not support:
        return drawing.stack([types.Task((), target)])
      rng = np.random.default_rng([seed, 1, step // per_epoch])
      chosen = rng.choice(len(support), inner_steps, replace=len(support) < inner_steps)
      parts = sampler.batches([support[i] for i in chosen], step, support_rooms)
      return drawing.stack([types.Task(parts, target)])  # one task a step

    return types.Stream(steps, draw, rooms, within)

  return within((sampler.rooms(support) if support else [], sampler.rooms([query])))


def pools(config: Any, transfer: types.Transfer, seed: int) -> tuple[list[Pool], Pool]:
  """(the parts of the sources, what stands for the target).

  With no target (zero-shot), the last source stands for it; where there is only
  one source, its last part does.

  Args:
    config: MetaLog's.

  Raises:
    UserError: there is no source to learn from.
  """
  # Only a network that reads forward can compute shared beginnings once.
  share = config.sampling.share == 'prefixes' and not config.network.bidirectional

  def read(data: types.Dataset) -> sequences.Sequences:
    return config.reading.sequences(data.sessions, share)

  def whole(data: types.Dataset) -> Pool:
    return drawing.whole(data, read(data))

  def cut(sources) -> list[Pool]:
    num = config.sampling.parts
    every = [p for x in sources for p in drawing.parts(x, read(x), num, seed)]
    return [part for part in every if part.size] or every[:1]  # of few sessions

  sources, target = transfer.sources, transfer.target
  if target is not None:
    if not config.meta.inner_steps:
      return [], whole(target)
    if not sources:
      raise errors.UserError(
        'there is no --source to learn from: give one, or --preset=target_only'
      )
    return cut(sources), whole(target)
  if len(sources) > 1:
    return cut(sources[:-1]), whole(sources[-1])
  *support, query = cut(sources)
  return support or [query], query
