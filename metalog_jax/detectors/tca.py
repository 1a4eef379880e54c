"""TCA: event vectors of all systems in one space where the systems look alike.

It comes before another detector, which then learns from the sources alone: see
`before`. The target's labels are never seen, its events are.

References:
  Pan et al., Domain adaptation via transfer component analysis, IEEE Transactions on
  Neural Networks 2011, in the linear primal form.
Differs from the released code:
  MetaLog's has none of it, and its paper says neither what is aligned nor the kernel,
  the components or the weight. Our reading: the different events of each system, a
  linear kernel (exact for 300-dimensional vectors, and any event of any system can be
  mapped), 100 components, weight 1. Common re-implementations scale L by its norm.
"""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import flags, lazy, types
from metalog_jax.training import base

jnp = lazy.module('jax.numpy')
linalg = lazy.module('scipy.linalg')
mesh = lazy.module('metalog_jax.meta.mesh')

_RANK = 1e-7  # directions of less than this share of the largest are left out


class State(NamedTuple):
  """The map, and the state of what comes behind it."""

  components: np.ndarray  # [D, m]
  inner: Any


def before(module: Any, name: str) -> SimpleNamespace:
  """The detector `module` behind TCA, as a module of its own.

  Its Config is `module`'s with `components`, `weight` and `frequencies` added, and it
  learns from the sources.
  """

  @dataclasses.dataclass(frozen=True)
  class Config(module.Config):
    learn_from: Literal['sources'] = flags.field(
      'sources', 'whose labels are learned from'
    )
    components: int = flags.field(
      100, 'dimensions of the common space, at most (m)', least=1
    )
    weight: float = flags.field(1.0, 'weight of the smallness of the map (mu)')
    frequencies: bool = flags.field(
      False, 'align events as often as they occur, not each once'
    )

  Config.__doc__ = f'Settings of TCA before {name}.'
  return SimpleNamespace(
    __doc__=f'{name} behind TCA: on event vectors in a space where systems look alike.',
    Config=Config,
    PRESETS={'default': Config()},
    needs=lambda config: frozenset({base.SOURCE_LABELS}),
    make_detector=lambda config: behind_tca(config, module.make_detector(config)),
  )


def behind_tca(config: Any, inner: base.Detector) -> base.Detector:
  """The detector `inner`, which is trained step by step, on mapped event vectors."""
  how = inner.training
  assert how

  def mapped(transfer: types.Transfer, w: np.ndarray) -> types.Transfer:
    move = lambda data: data and data._replace(vectors=data.vectors @ w)
    return types.Transfer(
      tuple(move(source) for source in transfer.sources), move(transfer.target)
    )

  def moved(state, batch):
    return batch._replace(vectors=jnp.asarray(batch.vectors) @ state.components)

  def init(key, transfer):
    w = align(config, transfer)
    state = inner.init(key, mapped(transfer, w))
    return State(mesh.replicate(w, mesh.make_mesh()), state)

  def batches(transfer, seed):
    return how.batches(mapped(transfer, align(config, transfer)), seed)

  def step(state, batch):
    trained, metrics = how.step(state.inner, batch)
    return State(state.components, trained), metrics

  return inner._replace(
    init=init,
    training=how._replace(batches=batches, step=step),
    score=lambda state, batch: inner.score(state.inner, moved(state, batch)),
    explain=lambda state, batch: inner.explain(state.inner, moved(state, batch)),
  )


def align(config: Any, transfer: types.Transfer) -> np.ndarray:
  """W [D, m] float32 of all systems that there are; see `components`."""
  systems = [*transfer.sources, *([transfer.target] if transfer.target else [])]
  tables, weights = [], []
  for data in systems:
    counts = np.bincount(data.sessions.events, minlength=len(data.vectors))
    counts[types.UNKNOWN] = 0
    occurs = counts > 0
    tables.append(data.vectors[occurs].astype(np.float64))
    weights.append(counts[occurs] if config.frequencies else np.ones(occurs.sum()))
  size = systems[0].vectors.shape[1]
  num = min(config.components, size)
  return components(tables, weights, num, config.weight).astype(np.float32)


def components(
  tables: Sequence[np.ndarray], weights: Sequence[np.ndarray], num: int, mu: float
) -> np.ndarray:
  """W [D, num] of the smallest mean discrepancy and norm for its variance.

      min tr(W'X L X'W) + μ tr(W'W)  so that  W'X H X'W = I

  whose solution are the leading eigenvectors of (X L X' + μ I)^-1 X H X'. L sums the
  squared distances between the means of every two domains; H centres.

  Args:
    tables: per domain [n, D]; weights: per domain [n], each event's.

  Returns:
    W; columns beyond the rank of X H X' are zero.
  """
  size = tables[0].shape[1]
  out = np.zeros((size, num))
  pairs = [(x, w) for x, w in zip(tables, weights, strict=True) if len(x)]
  if not pairs:
    return out
  means = [w @ x / w.sum() for x, w in pairs]
  gaps = [a - b for i, a in enumerate(means) for b in means[:i]]
  discrepancy = sum((np.outer(d, d) for d in gaps), np.zeros((size, size)))
  x = np.concatenate([x for x, _ in pairs])
  w = np.concatenate([w / w.mean() for _, w in pairs])
  centred = x - w @ x / w.sum()
  scatter = centred.T @ (centred * w[:, None])
  values, vectors = linalg.eigh(scatter, discrepancy + mu * np.eye(size))
  values, vectors = values[::-1][:num], vectors[:, ::-1][:, :num]
  large = values > _RANK * max(values[0], 1e-300)
  out[:, : large.sum()] = vectors[:, large] / np.sqrt(values[large])
  return out
