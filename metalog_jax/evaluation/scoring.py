"""Scores of whole data sets, and which events made the verdicts."""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from metalog_jax import types
from metalog_jax.batches import scoring_batches
from metalog_jax.batches import sequences as batches
from metalog_jax.meta import mesh
from metalog_jax.training import base

SHOWN = 10  # sessions explained of each kind
AHEAD = 2  # batches that a device is given before its first is waited for


class Scorer:
  """A detector's `score`, compiled once per batch shape; the devices take turns."""

  def __init__(self, detector: base.Detector):
    self._detector = detector
    self._score = jax.jit(detector.score)
    self._explain = jax.jit(detector.explain)
    self._states, self._vectors = _Placed(), _Placed()

  def sequences(self, data: types.Dataset) -> batches.Sequences:
    """The distinct sequences that the detector reads of `data`."""
    return self._detector.reading.sequences(data.sessions)

  def scores(
    self, state: Any, data: types.Dataset, seqs: batches.Sequences | None = None
  ) -> np.ndarray:
    """Scores [S] float64, each distinct sequence computed once."""
    if self._detector.host:
      return self._detector.host.scores(state, data)
    seqs = seqs or self.sequences(data)
    distinct = np.zeros(len(seqs.lengths))
    for rows, _, scores in self._run(self._score, state, data.vectors, seqs):
      distinct[rows] = np.asarray(scores)[: len(rows)]
    return distinct[seqs.inverse]

  def verdicts(self, state: Any, data: types.Dataset) -> list[dict[str, Any]]:
    """Per session what its score is a sum of, where the detector can say."""
    if self._detector.host:
      return self._detector.host.verdicts(state, data)
    return [{'p_value': None, 'evidence': []}] * data.sessions.num

  def _run(
    self, function: Callable, state: Any, vectors: np.ndarray, seqs: batches.Sequences
  ) -> Iterator[tuple[np.ndarray, types.Batch, jax.Array]]:
    """(sequence numbers, batch, what `function` gives of it) for all sequences.

    While the devices compute, the next batches are laid out here; only a few wait, so
    that memory does not grow with the number of sessions.
    """
    devices = jax.local_devices()
    states = self._states.on(devices, state, mesh.local)
    shared = self._vectors.on(devices, vectors)
    waiting: collections.deque = collections.deque()
    laid_out = scoring_batches.every(vectors, seqs, len(devices))
    for i, (rows, batch) in enumerate(laid_out):
      turn = i % len(devices)
      batch = batch._replace(vectors=shared[turn])
      value = function(states[turn], batch)
      waiting.append((rows, batch, value))
      if len(waiting) == AHEAD * len(devices):
        yield waiting.popleft()
    yield from waiting

  def weights(self, state: Any, data: types.Dataset) -> list[np.ndarray]:
    """Per session the share of every event that was read in the verdict.

    Returns:
      S arrays [L] over all events; those cut away weigh 0, the others sum to 1.
    """
    if self._detector.host:
      return self._detector.host.weights(state, data)
    seqs = self.sequences(data)
    distinct: list[Any] = [np.zeros(0)] * len(seqs.lengths)
    for rows, batch, weights in self._run(self._explain, state, data.vectors, seqs):
      flat = np.asarray(weights).reshape(batch.sessions.shape).T.ravel()
      order = np.argsort(batch.sessions.T.ravel(), kind='stable')  # along time
      ends = np.cumsum(seqs.lengths[rows])
      for row, part in zip(rows, np.split(flat[order], ends)):
        distinct[row] = part
    shares, reading = [], self._detector.reading
    for i in range(data.sessions.num):
      events = data.sessions.of(i)
      share = np.zeros(len(events))
      read = batches.positions_read(events, reading.collapse, reading.max_events)
      weight = distinct[seqs.inverse[i]]
      share[read] = weight / max(weight.sum(), 1e-30)
      shares.append(share)
    return shares


class _Placed:
  """The last value that was put on the devices: one that stays is put there once."""

  def __init__(self):
    self._value, self._copies = None, ()

  def on(
    self, devices: list[Any], value: Any, prepare: Callable = lambda x: x
  ) -> tuple:
    """The copies of `prepare(value)`; a value must not be changed in place."""
    if value is not self._value:
      ready = prepare(value)
      self._copies = tuple(jax.device_put(ready, device) for device in devices)
      self._value = value
    return self._copies


def validator(
  scorer: Scorer, valid: tuple[types.Dataset, ...]
) -> Callable[[Any], dict[str, float]] | None:
  """state -> validation metrics; `valid_value` is what training picks its best by.

  It is minus the class-balanced cross-entropy of the held-out labels, averaged over
  the systems: unlike F1 it needs no threshold and moves with every session.
  """
  prepared = [(data, scorer.sequences(data)) for data in valid]

  def validate(state) -> dict[str, float]:
    losses = {}
    for i, (data, seqs) in enumerate(prepared):
      losses[f'valid_loss_{i}_{data.name}'] = balanced_cross_entropy(
        data.sessions.labels, scorer.scores(state, data, seqs)
      )
    return losses | {'valid_value': -float(np.mean(list(losses.values())))}

  return validate if valid else None


def balanced_cross_entropy(labels: np.ndarray, scores: np.ndarray) -> float:
  """Mean over the classes present of their mean -log p (p clipped at 1e-6)."""
  right = np.where(labels == 1, scores, 1 - scores)
  loss = -np.log(np.clip(right, 1e-6, 1))
  return float(
    np.mean([loss[labels == c].mean() for c in (0, 1) if np.any(labels == c)])
  )


def explain(
  scorer: Scorer, state: Any, data: types.Dataset, scores: np.ndarray, threshold: float
) -> list[dict[str, Any]]:
  """The most anomalous and the worst-judged sessions, event by event.

  Args:
    data: with its templates.
    scores: [S], of `data`.

  Returns:
    A record a session: explained.json.
  """
  sessions, labels = data.sessions, data.sessions.labels
  order = np.argsort(-scores, kind='stable')
  wrong = np.where(labels == 1, threshold - scores, scores - threshold)
  wrong = np.where((labels >= 0) & ((scores > threshold) != (labels == 1)), wrong, -1.0)
  worst = [i for i in np.argsort(-wrong, kind='stable')[:SHOWN] if wrong[i] >= 0]
  chosen = [(i, 'most anomalous') for i in _different(sessions, order)]
  chosen += [(i, 'missed' if labels[i] == 1 else 'false alarm') for i in worst]
  part = data._replace(sessions=sessions.take(np.array([i for i, _ in chosen], int)))
  return [
    {
      'session_id': str(sessions.ids[i]),
      'label': int(labels[i]),
      'score': float(scores[i]),
      'why': why,
      'first_line': int(sessions.first_lines[i]),
      'last_line': int(sessions.last_lines[i]),
      'events': [
        {'event': e, 'template': data.templates[e], 'weight': float(w), 'line': None}
        for e, w in zip(sessions.of(i).tolist(), weights)
      ],
    }
    for (i, why), weights in zip(chosen, scorer.weights(state, part))
  ]


def _different(sessions: types.Sessions, order: np.ndarray) -> list[int]:
  """The first SHOWN sessions of `order` with different sequences."""
  first: dict[bytes, int] = {}
  for i in order:
    first.setdefault(sessions.of(i).tobytes(), int(i))
    if len(first) == SHOWN:
      break
  return list(first.values())
