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

  def part(data: types.Dataset, number: int) -> tuple[types.Dataset, types.Dataset]:
    labels = data.sessions.labels
    rng = np.random.default_rng([seed, 5, number])
    held, shown = [], []
    for label in (0, 1):
      members = np.flatnonzero(labels == label)
      count = int(len(members) * share)
      chosen = np.sort(rng.choice(members, count, replace=False))
      held.append(chosen)
      shown.append(chosen if count else members if share else chosen)
    trained = labels.copy()
    trained[np.concatenate(held)] = -1
    return (
      data._replace(sessions=data.sessions._replace(labels=trained)),
      data._replace(sessions=data.sessions.take(np.concatenate(shown))),
    )

  pairs = [part(data, i) for i, data in enumerate(transfer.sources)]
  sources = tuple(pair[0] for pair in pairs)
  valid = [pair[1] for pair in pairs]
  target = transfer.target
  if target is not None:
    target, held = part(target, len(pairs))
    valid.append(held)
  return types.Transfer(sources, target), tuple(v for v in valid if v.sessions.num)
