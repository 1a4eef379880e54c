"""Sessions as the kinds that evidence is measured of: a bag, and what is beside it.

Sessions repeat heavily, so what is computed on kinds is computed once for each.
"""

from typing import Any, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import bags
from metalog_jax.evidence import order
from metalog_jax.logs import sessions as grouping


class Kinds(NamedTuple):
  """The different kinds among S sessions."""

  counts: Any  # [U, V] csr, how often each event is in it
  beside: np.ndarray  # [U, len(evidences.BESIDE)]
  inverse: np.ndarray  # [S] which of the kinds a session is of
  unseen: tuple[np.ndarray, np.ndarray]  # kind [n], event [n] of a new transition

  def times(self, chosen: np.ndarray | None = None) -> np.ndarray:
    """[U] how many of the `chosen` sessions [S] bool are of each kind; None: all."""
    inverse = self.inverse if chosen is None else self.inverse[chosen]
    return np.bincount(inverse, minlength=self.counts.shape[0])


def fit(sessions: types.Sessions, width: int) -> tuple[order.Order, Kinds]:
  """The transitions of the sessions labelled 0, and all sessions held against them.

  Each normal one is held against the others. Events are below `width`.
  """
  different, inverse = _distinct(sessions)
  normal = sessions.labels == 0
  times = np.bincount(inverse[normal], minlength=different.num)
  transitions = order.fit(different.events, different.offsets, times, width)
  own = order.unseen(transitions, different.events, different.offsets, own=True)
  values = np.bincount(own[0], minlength=different.num)[inverse]
  return transitions, _kinds(transitions, sessions, np.where(normal, values, -1))


def against(transitions: order.Order, sessions: types.Sessions) -> Kinds:
  """Other sessions, held against the normals' transitions."""
  return _kinds(transitions, sessions, np.full(sessions.num, -1))


def _kinds(transitions: order.Order, sessions: types.Sessions, values) -> Kinds:
  """Kinds of sessions; `values` [S] of those whose number of transitions is known."""
  width = len(transitions.known)
  different, inverse = _distinct(sessions)
  row, event = order.unseen(transitions, different.events, different.offsets)
  others = np.bincount(row, minlength=different.num)[inverse]
  bag = bags.bags(sessions, width)
  beside = np.where(values < 0, others, values)[:, None]
  each, example, kind = np.unique(
    np.column_stack([bag.inverse, beside]),
    axis=0,
    return_index=True,
    return_inverse=True,
  )
  of_sequence = np.full(different.num, -1)  # one sequence speaks for its kind
  of_sequence[inverse[example]] = np.arange(len(example))
  shown = of_sequence[row] >= 0
  unseen = of_sequence[row[shown]], event[shown]
  return Kinds(bag.counts[each[:, 0]], each[:, 1:] * 1.0, kind.reshape(-1), unseen)


def _distinct(sessions: types.Sessions) -> tuple[types.Sessions, np.ndarray]:
  """One session of each sequence of events, and which of them each session [S] is."""
  hashes = grouping.hashes(sessions.events, sessions.offsets)
  _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
  return sessions.take(first), inverse
