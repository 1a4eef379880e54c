"""What a detector is, and how labels that it may not see are erased."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types

SOURCE_LABELS = 'source_labels'
TARGET_NORMALS = 'target_normals'
TARGET_ANOMALIES = 'target_anomalies'


class Detector(NamedTuple):
  """Pure functions; `run` owns the only loop.

  state is any pytree of arrays. `step`, `score` and `explain` are pure and jitted
  by the caller. A method in closed form does its work in `init` and has
  `batches = step = None`. The loss of `objective` reads the rows of one device and
  adds up over the mesh's axis ROWS.
  """

  init: Callable  # (key, transfer) -> state; host work allowed
  batches: Callable | None  # (transfer, seed) -> Stream
  put: Callable | None  # what a Stream draws -> the same on the devices
  step: Callable | None  # (state, batch) -> (state, {metric: scalar})
  score: Callable  # (state, types.Batch) -> [B] scores
  explain: Callable  # (state, types.Batch) -> [N'] share of each place in the verdict
  collapse: int  # runs of equal events are cut to this many; 0 keeps them
  max_events: int  # sessions are cut to this many events
  patience: int  # validations without a better one before training stops; 0: never
  way: Callable | None = None  # (state, batch) -> (how the gradient is taken, why)
  objective: tuple[Callable, Any] | None = None  # (loss_fn, MetaConfig) of `step`
  adapt: Callable | None = None  # (state, transfer, seed) -> (state, report)
  few_shot: bool = False  # training leaves the target to `adapt`, which ends it
  # (state, transfer, dataset -> scores) -> (threshold, where it comes from); None: 0.5
  threshold: Callable | None = None
  # The state of the best validation is kept. False: the last, and nothing is held out.
  selects: bool = True
  # (state, [V, D]) -> no score is above it; None: not known. Tells blind detectors.
  highest: Callable | None = None
  note: str = ''  # what a reader of its results has to know


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
