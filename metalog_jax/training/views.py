"""Two views of every unlabelled session, which a detector should judge alike.

A view leaves out and swaps benign events. What the views of a session x are judged to
be adds to the loss, by how far it lies apart (Laine & Aila, algorithm 1, the Pi-model):

    w · mean over x of 1/C Σ_c (p(c | x') - p(c | x''))² = w · mean of (p' - p'')²

where p is the probability of an anomaly, one of C = 2 classes. Gradients flow through
both views. What a view is, and which events are benign, is our choice for logs.

References:
  Sajjadi et al, Regularization with Stochastic Transformations, NeurIPS 2016. Laine &
  Aila, Temporal Ensembling, ICLR 2017. Xie et al, UDA, NeurIPS 2020 (its divergence is
  KL, through one view alone; the squares are bounded and alike in both).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.batches import packing, reading, sequences


class View(NamedTuple):
  """A session seen in another way."""

  events: np.ndarray  # [L'] int32, 1 <= L' <= L but for a session without events
  dropped: int
  swapped: int  # pairs


def benign(sessions: types.Sessions) -> np.ndarray:
  """The events [n] of sessions that are labelled normal, ascending."""
  return np.unique(sessions.take(np.flatnonzero(sessions.labels == 0)).events)


def view(
  events: np.ndarray, is_benign: np.ndarray, rate: float, rng: np.random.Generator
) -> View:
  """Drops each benign event with probability `rate`, then swaps benign neighbours.

  What is not benign is there in a view, and in the same order. If nothing were left,
  the first event stays.

  Args:
    events: [L] int32.
    is_benign: [L] bool.
    rate: also of each pair of neighbours that are both benign and not swapped yet.
    rng: drawn from.
  """
  kept = ~is_benign | (rng.random(len(events)) >= rate)
  if not kept.any():
    kept[:1] = True
  seen, may = events[kept].copy(), is_benign[kept]
  wanted = may[1:] & may[:-1] & (rng.random(max(len(seen) - 1, 0)) < rate)
  swapped, end = 0, 0
  for i in np.flatnonzero(wanted):
    if i >= end:
      seen[[i, i + 1]] = seen[[i + 1, i]]
      swapped, end = swapped + 1, i + 2
  return View(seen, len(events) - len(seen), swapped)


def disagreement(scores: types.Array, weights: types.Array) -> types.Array:
  """The mean of (p' - p'')² over pairs.

  Args:
    scores: [2 n] probabilities; 2 i and 2 i + 1 are of two views of one session.
    weights: [2 n], alike in a pair; 0 where there is no session.
  """
  pairs, weights = scores.reshape(-1, 2), weights.reshape(-1, 2)[:, 0]
  return weights @ (pairs[:, 0] - pairs[:, 1]) ** 2 / weights.sum()


class Unlabelled:
  """The sessions of a target without a label, each distinct sequence once.

  Args:
    data: the target.
    seqs: of all its sessions, as the detector reads them.
    reader: (collapse, max_events) of the detector.
    rate: see `view`.
    most: sessions in a batch; of more, each draw takes others.
    seed: draw number n depends on it and n alone.
  """

  def __init__(
    self,
    data: types.Dataset,
    seqs: sequences.Sequences,
    reader: tuple[int, int],
    rate: float,
    most: int,
    seed: int,
  ):
    hidden = np.flatnonzero(data.sessions.labels < 0)
    self._rows, first = np.unique(seqs.inverse[hidden], return_index=True)
    self._sessions = data.sessions.take(hidden[first])
    self._data, self._seqs, self._reader = data, seqs, reader
    self._rate, self._most, self._seed = rate, most, seed
    self.benign = benign(data.sessions)

  def __len__(self) -> int:
    return len(self._rows)

  def draw(self, number: int) -> tuple[types.Batch, dict[str, int]]:
    """(a batch of 2 n sessions as `disagreement` has them, what was changed)."""
    rng = np.random.default_rng([self._seed, 9, number])
    chosen = np.arange(len(self))
    if len(self) > self._most:
      chosen = np.sort(rng.choice(len(self), self._most, replace=False))
    made = [view for i in chosen for view in self._pair(i, rng)]
    viewed = reading.bare([one.events for one in made])
    seqs = reading.sequences(self._data._replace(sessions=viewed), 0, self._reader[1])
    draw = sequences.Draw(seqs.inverse, *np.ones((2, len(made))))
    lay = lambda room: sequences.assemble(self._data.vectors, seqs, draw, room)
    batch = next(filter(None, map(lay, self._rooms(seqs))))
    return batch, {
      'sessions': len(chosen),
      'dropped': sum(one.dropped for one in made),
      'swapped': sum(one.swapped for one in made),
    }

  def _pair(self, i: int, rng) -> list[View]:
    offsets = self._sessions.offsets
    events = self._sessions.events[offsets[i] : offsets[i + 1]]
    events = events[sequences.kept(events, *self._reader)].astype(np.int32)
    is_benign = np.isin(events, self.benign)
    return [view(events, is_benign, self._rate, rng) for _ in range(2)]

  def _rooms(self, seqs: sequences.Sequences) -> Iterator[packing.Room]:
    """What whole sessions need, which is the same for all draws; then what these do."""
    size = 2 * min(len(self), self._most)
    longest = int(self._seqs.lengths.max(initial=1))
    rows = np.repeat(self._rows[np.argsort(-self._seqs.lengths[self._rows])], 2)[:size]
    draws = [(self._seqs, rows), (seqs, seqs.inverse)]
    for own, index in draws:
      draw = sequences.Draw(index, index, index)
      yield sequences.fit_room([(own, draw)], size, max(longest, own.lengths.max()))
