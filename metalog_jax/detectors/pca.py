"""PCA: how far a session lies outside of what most sessions span.

References:
  Xu et al., Detecting large-scale system problems by mining console logs, SOSP 2009.
  Jackson and Mudholkar, Control procedures for residuals associated with principal
  component analysis, Technometrics 1979 (the threshold).
Differs from the released code:
  The method counts events, whose ids mean nothing in another system; how MetaLog's
  tables took it across is not said. Our reading: a session is the sum of its event
  vectors, and both subspace and threshold are those of the sources, fitted without
  any label, as in the paper. Eq. 1 weighs words by TF-IDF already, so that events are
  not weighed again. On a system's own counts it is the floor `pca_counts`.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import bags, sequences
from metalog_jax.detectors import spe
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base

jnp = lazy.module('jax.numpy')
mesh = lazy.module('metalog_jax.meta.mesh')
grid = lazy.module('metalog_jax.nets.grid')


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of PCA."""

  embedding: sources.Config = gcse.Embedding()
  kept: float = flags.field(
    0.95, 'share of the spectrum that is called normal', below=1
  )
  c_alpha: float = flags.field(
    3.2905, 'normal deviate of the false alarm rate: 3.2905 is 0.05 %'
  )
  pooling: Literal['sum', 'mean'] = flags.field(
    'sum', 'how event vectors make a session (our choice: as counts do)'
  )
  reading: sequences.Reading = flags.group(sequences.Reading())


PRESETS = {'default': Config(), 'mean': Config(pooling='mean')}


class State(NamedTuple):
  """What was fitted."""

  mean: np.ndarray  # [D]
  outside: np.ndarray  # [D, D] I - U U'
  threshold: np.ndarray  # [] the Q statistic


def needs(config: Config) -> frozenset[str]:
  """No label at all."""
  return frozenset()


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""

  def session_vectors(batch):
    where = grid.mask(batch)
    each = jnp.asarray(batch.vectors)[batch.events.ravel()] * where[:, None]
    total = grid.sums(each, batch)
    if config.pooling == 'mean':
      total /= jnp.maximum(grid.sums(where.astype(each.dtype), batch), 1)[:, None]
    return total

  def score(state, batch):
    outside = (session_vectors(batch) - state.mean) @ state.outside
    return (outside**2).sum(-1)

  def explain(state, batch):
    each = jnp.asarray(batch.vectors)[batch.events.ravel()] @ state.outside
    return jnp.linalg.norm(each, axis=-1) * grid.mask(batch) + 1e-30

  return base.Detector(
    init=lambda key, transfer: mesh.replicate(fit(config, transfer), mesh.make_mesh()),
    score=score,
    explain=explain,
    reading=config.reading,
    threshold=lambda state, transfer, scores: (float(state.threshold), 'q_statistic'),
    note='subspace and threshold are those of the sources, fitted without labels',
  )


def fit(config: Config, transfer: types.Transfer) -> State:
  """The subspace of the sources' sessions, or without sources of the target's pool."""
  systems = transfer.sources or ((transfer.target,) if transfer.target else ())
  if not systems:
    raise errors.UserError('pca is fitted on the sessions of --source: give one')
  x = np.concatenate([features(config, data) for data in systems])
  if not len(x):
    zero = np.zeros(x.shape[1])
    return _state(zero, np.eye(len(zero)), 0.0)
  mean = x.mean(0)
  basis, rest = spe.principal(np.cov(x.T, bias=True), config.kept)
  outside = np.eye(len(mean)) - basis @ basis.T
  return _state(mean, outside, spe.q_statistic(rest, config.c_alpha))


def _state(mean, outside, threshold) -> State:
  return State(*(np.asarray(x, np.float32) for x in (mean, outside, threshold)))


def features(config: Config, data: types.Dataset) -> np.ndarray:
  """[S, D] float64: the vector of every session, as far as it is read."""
  seqs = config.reading.sequences(data.sessions)
  bagged = bags.of_sequences(seqs, len(data.vectors))
  x = bagged.counts @ data.vectors.astype(np.float64)
  if config.pooling == 'mean':
    x /= np.maximum(np.asarray(bagged.counts.sum(1)), 1)
  return x[bagged.inverse]
