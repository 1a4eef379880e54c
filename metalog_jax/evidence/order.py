"""What the order of a session's events says against it.

The value is the number of transitions (an event after another) that no normal session
has, of events that normal sessions do have. A normal session's own is measured with it
left out. Sessions are given as their different sequences.
"""

from typing import NamedTuple

import numpy as np


class Order(NamedTuple):
  """The normal sessions' transitions; V events."""

  pairs: np.ndarray  # [n] int64 sorted, a V + b of each transition from a to b
  holders: np.ndarray  # [n] normal sessions that have it
  known: np.ndarray  # [V] normal sessions that have an event


def transitions(
  events: np.ndarray, offsets: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """Sequence [n] and pair [n] int64 a V + b of every different transition of S.

  Args:
    events: [N] of sequences, one after the other; offsets: [S + 1].
    width: V, above every event.
  """
  row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
  inside = np.flatnonzero(row[1:] == row[:-1])
  events = events.astype(np.int64)
  pair = events[inside] * width + events[inside + 1]
  codes, pair = np.unique(pair, return_inverse=True)
  both = np.unique(row[inside] * np.int64(len(codes) + 1) + pair)
  return both // (len(codes) + 1), codes[both % (len(codes) + 1)]


def fit(
  events: np.ndarray, offsets: np.ndarray, times: np.ndarray, width: int
) -> Order:
  """Counts transitions of normal sessions: `times` [S] have each sequence."""
  row, pair = transitions(events, offsets, width)
  used = times[row] > 0
  pairs, which = np.unique(pair[used], return_inverse=True)
  holders = np.bincount(which, times[row[used]], len(pairs))
  sequence = np.repeat(np.arange(len(times)), np.diff(offsets))
  each = np.unique(sequence * np.int64(width) + events)
  known = np.bincount(each % width, times[each // width], width)
  return Order(pairs, holders, known)


def unseen(
  order: Order, events: np.ndarray, offsets: np.ndarray, own: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Sequence [n] and last event [n] of each transition that no normal session has.

  Args:
    own: each sequence is a normal session's, which is left out.
  """
  width = len(order.known)
  row, pair = transitions(events, offsets, width)
  place = np.minimum(np.searchsorted(order.pairs, pair), len(order.pairs) - 1)
  holders = np.zeros(len(pair))
  if len(order.pairs):
    holders = np.where(order.pairs[place] == pair, order.holders[place], 0)
  first, last = pair // width, pair % width
  others = np.minimum(order.known[first], order.known[last]) - own
  new = (holders - own < 0.5) & (others > 0.5)
  return row[new], last[new]
