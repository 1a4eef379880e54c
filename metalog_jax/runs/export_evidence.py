"""Scores of sessions by evidence: the `scores.py` of an exported `evidence`, in NumPy.

It does to arrays what `metalog_jax.evidence` does, whose names it has: a score is the
weighted sum of evidences, each against the normal sessions that the model knows.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SOFT = 0.25  # of distances
RARE = 1 / 1000  # p-value from which on order is evidence
EQUAL = 1e-9  # squared distances that differ by less are equal
ROWS = 256  # sessions scored at a time


class Scores:
  """The arrays of a fitted model.

  Args:
    data: the folder's files by name; settings: its model.json.
  """

  def __init__(self, data: Mapping[str, bytes], settings: Mapping[str, Any]):
    del settings
    with np.load(io.BytesIO(data['weights.npz']), allow_pickle=False) as arrays:
      self._arrays = {name: arrays[name] for name in arrays.files}
    self._models = [self._part('model.')]
    if 'forgiving.counts' in self._arrays:
      self._models.append(self._part('forgiving.'))
    self._anomalies, self._missed = self._part('anomalies.'), self._part('missed.')
    self._forests = [self._part(f'{name}.') for name in ('trees', 'event_trees')]
    transitions = zip(self._arrays['first'].tolist(), self._arrays['last'].tolist())
    self._transitions = set(transitions)

  def _part(self, prefix: str) -> dict[str, np.ndarray]:
    """The arrays of one part; rows of bags as log(1 + count) [R, V]."""
    part = {
      name.removeprefix(prefix): array
      for name, array in self._arrays.items()
      if name.startswith(prefix)
    }
    if 'counts' in part:
      logs = np.zeros((len(part['offsets']) - 1, len(self._arrays['known'])))
      row = np.repeat(np.arange(len(logs)), np.diff(part['offsets']))
      logs[row, part['events']] = np.log1p(part['counts'])
      part |= {'logs': logs, 'squares': (logs**2).sum(axis=1)}
    return part

  def scores(self, sessions: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Scores [S] of different sessions of events."""
    out = np.zeros(len(sessions))
    for start in range(0, len(sessions), ROWS):
      part = [
        self._arrays['place'][list(events)] for events in sessions[start : start + ROWS]
      ]
      counts = np.stack([np.bincount(x, minlength=self._width) for x in part])
      unseen = np.array([self._unseen(x.tolist()) for x in part], float)
      each = [self._judge(model, counts, unseen) for model in self._models]
      out[start : start + len(part)] = np.min(each, axis=0)
    return out

  @property
  def _width(self) -> int:
    return len(self._arrays['known'])

  def _unseen(self, events: Sequence[int]) -> int:
    """How many transitions no normal session has, of events that they have."""
    known = self._arrays['known']
    pairs = set(zip(events, events[1:])) - self._transitions
    return sum(bool(known[a] and known[b]) for a, b in pairs)

  def _judge(self, model, counts: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Scores [m] of counts [m, V] with their numbers of unseen transitions [m]."""
    logs = np.log1p(counts)
    new = ((counts > 0) & (model['holders'] < 0.5)).sum(axis=1)
    nearest = _nearest(model, logs)
    difference = logs - model['logs'][nearest]
    distance = np.sqrt((difference**2).sum(axis=1))
    beyond = ((counts < model['low']) | (counts > model['high'])).sum(axis=1)
    lengths, (short, long) = counts.sum(axis=1), model['lengths']
    surprise = np.where(difference > 0, model['rises'], model['falls'])
    raw = {
      'new': new,
      'distance': distance,
      'range': beyond,
      'absent': _sums((counts == 0) & (model['absences'] > 0), model['absences']),
      'deviation': _sums(difference != 0, surprise * np.sqrt(np.abs(difference))),
      'length': (lengths < short) | (lengths > long),
      'order': unseen,
    }
    values = np.stack([*raw.values()], axis=1) * model['used']
    raw = dict(zip(raw, values.T))
    normal = dict(zip(raw, model['values'].T))
    p = lambda name: _surprise(raw[name], normal[name], model['weights'])
    order, far = p('order'), raw['absent'] - normal['absent'].max(initial=0.0)
    evidences = [
      p('new'),
      np.log1p(raw['new']),
      np.log((raw['distance'] + SOFT) / (model['usual'] + SOFT)),
      p('range'),
      p('absent'),
      np.log1p(np.maximum(far, 0.0)),
      p('deviation'),
      np.where(order > -np.log(RARE), order, 0.0),
    ]
    labelled = np.zeros((5, len(counts)))
    if self._anomalies:
      away = logs - self._anomalies['logs'][_nearest(self._anomalies, logs)]
      away = np.sqrt((away**2).sum(axis=1))
      labelled[0] = np.log((distance + SOFT) / (away + SOFT))
      events = logs[:, self._anomalies['seen']]
      everything = np.concatenate([events, np.log1p(values[:, :-1])], axis=1)
      for i, table in enumerate((everything, events)):
        labelled[i + 1] = 2 * _probabilities(self._forests[i], table) - 1
      share = 1 / (self._arrays['labelled'] + 2)  # of anomalies unlike the labelled
      learned = self._arrays['evidence_weights'][8:11] @ labelled[:3]
      if share:
        both = np.logaddexp(np.log(share), np.log1p(-share) + learned)
        labelled[4] = both - learned
    if self._missed:
      kinds, key = self._missed['kinds'], self._missed['key']
      hashes = counts.astype(np.int64) @ key
      place = np.searchsorted(kinds, hashes).clip(0, len(kinds) - 1)
      labelled[3] = np.where(kinds[place] == hashes, self._missed['values'][place], 0.0)
    return self._arrays['evidence_weights'] @ np.stack([*evidences, *labelled])


def _nearest(bags, logs: np.ndarray) -> np.ndarray:
  """[m] the first of the nearest bags."""
  far = bags['squares'] - 2 * logs @ bags['logs'].T
  return (far <= far.min(axis=1, keepdims=True) + EQUAL).argmax(axis=1)


def _sums(chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
  """[m] sums of the chosen of [m, V] in order of events: equal sets have equal sums."""
  row, event = np.nonzero(chosen)
  values = np.broadcast_to(values, chosen.shape)[row, event]
  return np.bincount(row, values, len(chosen))


def _surprise(values, reference, weights) -> np.ndarray:
  """-log p [m], p = (#{normals >= value} + 1/2) / (N + 1/2)."""
  order = np.argsort(reference, kind='stable')
  below = np.concatenate([[0.0], np.cumsum(weights[order])])
  num = below[-1] - below[np.searchsorted(reference[order], values, 'left')]
  return -np.log((np.maximum(num, 0) + 0.5) / (weights.sum() + 0.5))


def _probabilities(forest, table: np.ndarray) -> np.ndarray:
  """[m] mean over trees of the share of anomalies in the leaf of each row."""
  rows = np.arange(len(table))[:, None]
  table = table.astype(np.float32)
  at = np.tile(forest['roots'], (len(table), 1))
  while True:
    right = table[rows, forest['inputs'][at]] > forest['cuts'][at]
    after = forest['children'][at, right.astype(int)]
    if (after == at).all():  # leaves lead to themselves
      return forest['shares'][at].mean(axis=1)
    at = after
