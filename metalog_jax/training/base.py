"""The record that a detector is; erasing the labels that it may not see."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import sequences

SOURCE_LABELS = 'source_labels'
TARGET_NORMALS = 'target_normals'
TARGET_ANOMALIES = 'target_anomalies'


class SideBySide(NamedTuple):
  """Steps of several runs in one program: all that a step reads and returns has an
  axis of places before, each with a run or with none; see `training.side_by_side`."""

  batches: Callable  # of one run, as `Training.batches`
  put: Callable  # batches of all places -> the same on the devices
  step: Callable  # (states, batches, [places] bool: takes a step) -> (states, metrics)
  stack: Callable  # states of the runs -> those of all places, on the devices
  places: int  # at least as many as there are runs


class Training(NamedTuple):
  """How a detector is trained step by step; `training.loop` owns the only loop."""

  batches: Callable  # (transfer, seed) -> types.Stream
  put: Callable  # what a Stream draws -> the same on the devices
  step: Callable  # (state, batch) -> (state, {metric: scalar}); pure, not jitted
  patience: int = 0  # validations without a better one before it stops; 0: never
  # The state of the best validation is kept. False: the last, and nothing is held out.
  keeps_best: bool = True
  # The target is not trained on: `Detector.adapt` follows, and has all its labels.
  then_adapts: bool = False
  gradient_mode: Callable | None = None  # (state, batch) -> (mode, why), if meta
  # (loss_fn, MetaConfig) of `step`, if meta. The loss reads the rows of one device and
  # adds up over the mesh's axis ROWS.
  objective: tuple[Callable, Any] | None = None
  side_by_side: Callable[[int], SideBySide] | None = None  # of so many runs


class Host(NamedTuple):
  """Functions (state, dataset) of a detector that computes with numpy."""

  scores: Callable  # -> [S] float64
  weights: Callable  # -> S arrays [L] over all events, which sum to 1
  verdicts: Callable  # -> S records: p_value, evidence (interface of `detect`)
  threshold: Callable  # -> (threshold, where it comes from)
  tally: Callable  # (state, [S] scores, threshold) -> counts, which add up over sets
  warnings: Callable  # (state, sum of tallies, threshold) -> sentences on the verdicts
  arrays: Callable  # -> name -> array, what an exported model scores with


def on_host(state: Any, batch: types.Batch) -> Any:
  """In place of `score` and `explain` of a detector that has `host`."""
  raise TypeError('this detector scores data sets on the host: see Detector.host')


class Detector(NamedTuple):
  """Pure functions of a state, which is any pytree of arrays.

  `score` and `explain` are jitted by the caller. A method in closed form does its work
  in `init` and has no training.
  """

  init: Callable  # (key, transfer) -> state; host work allowed
  score: Callable  # (state, types.Batch) -> [B] scores
  explain: Callable  # (state, types.Batch) -> [N'] share of each place in the verdict
  reading: sequences.Reading  # what is read of a session
  training: Training | None = None
  adapt: Callable | None = None  # (state, transfer, seed) -> (state, report)
  # (state, transfer, dataset -> scores) -> (threshold, where it comes from); None: 0.5
  threshold: Callable | None = None
  # (state, [V, D]) -> no score is above it; None: not known. Tells blind detectors.
  highest: Callable | None = None
  note: str = ''  # shown beside the results
  host: Host | None = None  # what it scores and explains with, in place of the above
  # The rest of the target is shown to it without labels, as sessions to judge are.
  sees_rest: bool = False
  reads_vectors: bool = True  # False: event numbers alone; words may be unknown

  @property
  def keeps_best(self) -> bool:
    """Whether labels are to be held out, to keep the best step by."""
    training = self.training
    return bool(training and training.keeps_best and not training.then_adapts)

  @property
  def then_adapts(self) -> bool:
    """Whether adaptation to the target is the end of training."""
    return bool(self.training and self.training.then_adapts)


def blind(transfer: types.Transfer, needs: frozenset[str]) -> types.Transfer:
  """Erases (label -1) every label that `needs` does not name.

  Leakage becomes impossible rather than forbidden: a detector only ever holds
  what this returns.
  """

  def erase(data: types.Dataset, hidden: list[int]) -> types.Dataset:
    labels = np.where(np.isin(data.sessions.labels, hidden), -1, data.sessions.labels)
    return data._replace(sessions=data.sessions._replace(labels=labels.astype(np.int8)))

  hide_source = [] if SOURCE_LABELS in needs else [0, 1]
  hide_target = [
    label
    for label, need in ((0, TARGET_NORMALS), (1, TARGET_ANOMALIES))
    if need not in needs
  ]
  target = transfer.target
  return types.Transfer(
    sources=tuple(erase(source, hide_source) for source in transfer.sources),
    target=None if target is None else erase(target, hide_target),
  )
