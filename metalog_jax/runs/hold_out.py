"""Labelled sessions that are held out of training, to choose the best step by."""

import numpy as np

from metalog_jax import types


def hold_out(
  transfer: types.Transfer, share: float, seed: int
) -> tuple[types.Transfer, tuple[types.Dataset, ...]]:
  """Takes a share of each class's labelled sessions out for validation.

  A class of fewer than 1 / share sessions is too small to give any away: it is
  validated on the sessions it is trained on.

  Args:
    share: of the labelled sessions of each class of each system, 0 .. 1.

  Returns:
    The training data without the labels held out, and the sessions held out of each
    system that has some, the target's last.
  """
  target = () if transfer.target is None else (transfer.target,)
  pairs = [
    _part(data, share, np.random.default_rng([seed, 5, i]))
    for i, data in enumerate((*transfer.sources, *target))
  ]
  train = [shown for shown, _ in pairs]
  last = train.pop() if target else None
  held = tuple(data for _, data in pairs if data.sessions.num)
  return types.Transfer(tuple(train), last), held


def _part(
  data: types.Dataset, share: float, rng: np.random.Generator
) -> tuple[types.Dataset, types.Dataset]:
  labels = data.sessions.labels
  held, valid = [], []
  for label in (0, 1):
    members = np.flatnonzero(labels == label)
    count = int(len(members) * share)
    chosen = np.sort(rng.choice(members, count, replace=False))
    held.append(chosen)
    valid.append(members if share and not count else chosen)
  trained = labels.copy()
  trained[np.concatenate(held)] = -1
  return (
    data._replace(sessions=data.sessions._replace(labels=trained)),
    data._replace(sessions=data.sessions.take(np.concatenate(valid))),
  )
