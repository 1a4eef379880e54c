"""Adaptation of a trained detector to a target: some steps on its few labels.

Then, in rounds, unlabelled sessions that the adapted detector is sure of join with the
label it gives them, and the steps are taken anew from where training ended.

References:
  Finn et al, MAML, ICML 2017. Sun et al, SemiRALD, Information and Software
  Technology 183, 2025 (pseudo-labels above 0.90; it goes on training with them).
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import packing, scoring_batches, sequences

jax = lazy.module('jax')
inner = lazy.module('metalog_jax.meta.inner')
mesh = lazy.module('metalog_jax.meta.mesh')
rules = lazy.module('metalog_jax.meta.rules')

FEW = 16  # rows: up to here few programs matter more than a few empty rows
STEPS = 32  # those of a batch are a multiple of this: few programs


@dataclasses.dataclass(frozen=True)
class Settings(flags.Settings):
  """How a target is adapted to."""

  adapt_steps: int = flags.field(10, 'steps of adaptation to the target; 0: none')
  adapt_rule: str = flags.field('', "rule of adaptation, if not training's")
  adapt_lr: float = flags.field(0.0, 'its rate, if not inner_lr')
  confidence: float = flags.field(0.9, 'a pseudo-label needs more probability', most=1)
  rounds: int = flags.field(5, 'rounds of pseudo-labels at most; 0: none (our choice)')
  most_pseudo: int = flags.field(
    64, 'pseudo-labelled sequences of each class to learn from (our choice)'
  )


def make_adapt(
  loss_fn: Callable,
  probability: Callable[[Any, types.Batch], Any],
  config: Any,
  settings: Settings,
  reading: sequences.Reading,
) -> Callable:
  """Makes adapt(params, transfer, seed, steps=None, rounds=None) -> (params, report).

  Labelled sessions of both classes weigh alike in sum, however many there are; those
  with pseudo-labels weigh together as much as the labelled ones of their class (both
  our choice). `steps` = 0 gives what training left. The report's `pseudo` holds a
  round's labels of the target's sessions, int8 [S] each, -1 where none was taken.

  Args:
    loss_fn: (params as the loss sees them, batch) -> scalar, on one device.
    probability: likewise -> [B], of an anomaly.
    config: the `MetaConfig` of training; its rule goes on, for `adapt_steps` steps.
  """
  config = dataclasses.replace(
    config,
    inner_steps=max(settings.adapt_steps, 1),
    support_per_step=False,
    order='first',
    gradient='reverse',
    anneal=0,
  )
  descend = jax.jit(
    lambda params, support, steps: inner.after(loss_fn, params, support, config, steps)
  )
  predict = jax.jit(probability)

  def adapt(params, transfer, seed, steps=None, rounds=None):
    begin, data = time.perf_counter(), transfer.target
    most = settings.adapt_steps
    steps = most if steps is None else min(steps, most)
    rounds = (settings.rounds if rounds is None else rounds) if steps else 0
    seqs = reading.sequences(data.sessions)
    labels, passed = _Labels(data, seqs, settings, seed), []

    def descended() -> Any:
      return descend(params, _batch(data.vectors, seqs, *labels.draw()), steps)

    adapted = descended() if steps else config.inner_rule.split(params)[0]
    for _ in range(rounds):
      if not labels.take(_scores(predict, adapted, data.vectors, seqs)):
        break
      adapted = descended()
      passed.append(labels.of_sessions())
    adapted = jax.block_until_ready(adapted)
    report = {'steps': steps, 'seconds': time.perf_counter() - begin, 'pseudo': passed}
    return adapted, report | _counts(data.sessions.labels)

  return adapt


def of_states(adapt: Callable, devices: Any) -> Callable:
  """`Detector.adapt` from what `make_adapt` gives: (state, ...) -> (state, report).

  Args:
    devices: the mesh that the state is replicated over.
  """

  def adapt_state(state, transfer, seed, **how):
    start = mesh.local(state.params)
    params, report = adapt(start, transfer, seed, **how)
    if isinstance(start, rules.Learned):  # its rates stay
      params = start._replace(params=params)
    return state._replace(params=mesh.replicate(params, devices)), report

  return adapt_state


def _counts(labels: np.ndarray) -> dict[str, int]:
  named = {'normal': labels == 0, 'anomalous': labels == 1, 'unlabelled': labels < 0}
  return {name: int(np.sum(mask)) for name, mask in named.items()}


class _Labels:
  """The labels there are, and those given to sequences without one."""

  def __init__(self, data, seqs, settings, seed):
    labels = data.sessions.labels
    self._seqs, self._settings = seqs, settings
    self._hidden = np.flatnonzero(labels < 0)
    self._free = np.unique(seqs.inverse[self._hidden])  # sequences
    self._given = np.full(len(seqs.lengths), -1, np.int8)
    shown = np.flatnonzero(labels >= 0)
    self._labelled = sequences.drawn(seqs.inverse[shown], labels[shown].astype(float))
    self._rng = np.random.default_rng([seed, 7])
    if not len(shown):
      raise errors.UserError('the target has no labelled session to adapt to: raise '
                       '--target_normals and --target_anomalies')  # fmt: skip

  def take(self, scores: np.ndarray) -> int:
    """Labels sequences that have none and a sure score; how many."""
    free = self._free[self._given[self._free] < 0]
    sure = free[np.maximum(scores[free], 1 - scores[free]) > self._settings.confidence]
    self._given[sure] = scores[sure] > 0.5
    return len(sure)

  def of_sessions(self) -> np.ndarray:
    """[S] the labels given to sessions so far, -1 for none."""
    given = np.full(len(self._seqs.inverse), -1, np.int8)
    given[self._hidden] = self._given[self._seqs.inverse[self._hidden]]
    return given

  def draw(self) -> tuple[sequences.Draw, int]:
    """All labels and at most so many pseudo-labels of each class; sessions at most."""
    rows, labels, weights = self._labelled
    parts, most = [], int(weights.sum())
    for label in (0, 1):
      shown = labels == label
      taken = np.flatnonzero(self._given == label)
      if len(taken) > self._settings.most_pseudo:
        taken = self._rng.choice(taken, self._settings.most_pseudo, replace=False)
      most += len(taken)
      of_labels = weights[shown] / max(weights[shown].sum(), 1)
      of_pseudo = np.ones(len(taken)) / max(len(taken), 1)
      mass = np.concatenate([of_labels, of_pseudo])
      if len(mass):
        index = np.concatenate([rows[shown], taken])
        parts.append((index, np.full(len(index), float(label)), mass / mass.sum()))
    return sequences.Draw(*(np.concatenate(x) for x in zip(*parts))), most


def _batch(vectors, seqs: sequences.Sequences, draw: sequences.Draw, most: int):
  """The draw, of at most so many sessions, in a room that other labels fit as well."""
  lengths = seqs.lengths[draw.rows]
  steps = max(-(-int(lengths.max()) // STEPS), 1) * STEPS
  rows = 1 + int(packing.first_fit(lengths, steps)[0].max())
  rows = packing.rounded(rows, 2 if rows <= FEW else 4)
  room = packing.Room(steps, rows, packing.rounded(most, 2))
  return sequences.assemble(vectors, seqs, draw, room)


def _scores(predict, params, vectors, seqs: sequences.Sequences) -> np.ndarray:
  scores = np.zeros(len(seqs.lengths))
  for rows, batch in scoring_batches.every(vectors, seqs):
    scores[rows] = np.asarray(predict(params, batch))[: len(rows)]
  return scores
