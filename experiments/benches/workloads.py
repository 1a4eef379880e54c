"""What the suites compute: sessions, batches and first weights, all by name and seed.

No framework is imported here, so that every variant's process carries its own alone.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from experiments.benches import profile
from metalog_jax import types
from metalog_jax.batches import drawing
from metalog_jax.batches import sequences as batches
from metalog_jax.logs import store

_SEED = 0


class Workload(NamedTuple):
  """A direction and a network; the defaults are MetaLog's as published."""

  source: str
  target: str
  hidden: int = 100
  layers: int = 2
  dim: int = 100  # GloVe's
  batch: int = 100
  parts: int = 10  # n
  inner_steps: int = 5  # n_s
  inner_lr: float = 2e-3
  beta: float = 4.0


WORKLOADS = {
  'hdfs_to_bgl': Workload('hdfs', 'bgl'),
  'bgl_to_hdfs': Workload('bgl', 'hdfs'),
  'synthetic': Workload('short', 'long'),
  'tiny': Workload('tiny', 'tiny', 4, 2, 3, 6, 3, 2, 0.1),
}
# Lengths are lognormal: median, sigma, least, most; then templates and sessions.
SYNTHETIC = {
  'short': (19, 0.35, 2, 60, 48, 2000),
  'long': (60, 0.6, 5, 128, 300, 2000),
  'tiny': (3, 0.5, 1, 7, 2, 60),
}


class Padded(NamedTuple):
  """One batch as any framework takes it, a row a session, longest first."""

  vectors: np.ndarray  # [V, D] float32
  events: np.ndarray  # [B, L] int32, zeros behind the end
  lengths: np.ndarray  # [B] int32
  labels: np.ndarray  # [B] 0 or 1

  @property
  def x(self) -> np.ndarray:
    """Event vectors [B, L, D], zeros behind the end."""
    inside = np.arange(self.events.shape[1]) < self.lengths[:, None]
    return self.vectors[self.events] * inside[..., None]


@functools.cache
def dataset(name: str, dim: int, folder: str = '') -> types.Dataset:
  """Labelled sessions with random event vectors.

  Args:
    name: a system of `profiles.json`, or of SYNTHETIC.
    dim: D of the vectors.
    folder: a System folder whose sessions are taken instead.
  """
  rng = np.random.default_rng([_SEED, 1])
  if folder:
    system = store.load(folder)
    sessions, templates = profile.cut(system.sessions), len(system.templates)
    sessions = sessions.take(np.flatnonzero(sessions.labels >= 0))
  elif name in SYNTHETIC:
    median, sigma, least, most, templates, num = SYNTHETIC[name]
    lengths = np.round(median * np.exp(sigma * rng.standard_normal(num)))
    rows = [
      rng.integers(0, templates, n) for n in np.clip(lengths, least, most).astype(int)
    ]
    sessions = profile.collect(rows, rng.integers(0, 2, num).astype(np.int8))
  else:
    figures = profile.load(name)
    sessions, templates = profile.sessions(figures, _SEED), len(figures['events'])
  vectors = rng.standard_normal((templates, dim)).astype(np.float32)
  return types.Dataset(name, sessions, vectors)


def sequences(sessions: types.Sessions, sharing: str) -> batches.Sequences:
  """Which session is which row to score: without sharing, each is its own."""
  if sharing == 'nothing':
    each = np.arange(sessions.num)
    return batches.Sequences(sessions.events, sessions.offsets, each, rank=each)
  return batches.sequences(sessions, 0, profile.CUT, sharing == 'prefixes')


class Draws:
  """Meta-tasks of a workload, the same sessions whatever is shared.

  Args:
    workload: whose tasks.
    sharing: 'nothing', 'sequences' or 'prefixes', as of `metalog_batches.Sampling`.
    folders: System folders to take sessions from, by name; see `dataset`.
    devices: that `task` lays each batch out for.
  """

  def __init__(
    self, workload: Workload, sharing: str, folders: dict[str, str], devices: int = 1
  ):
    self._workload = workload
    source, target = (
      dataset(name, workload.dim, folders.get(name, ''))
      for name in (workload.source, workload.target)
    )
    self.longest = [max(int(d.sessions.lengths.max()), 1) for d in (source, target)]
    self.target = target
    read = lambda data: batches.sequences(
      data.sessions, 0, profile.CUT, sharing == 'prefixes'
    )
    self._sampler = drawing.Sampler(
      workload.batch, 0, _SEED, sharing != 'nothing', devices, full=True
    )
    self._parts = drawing.parts(source, read(source), workload.parts, _SEED)
    self._query = drawing.whole(target, read(target))

  @functools.cached_property
  def _rooms(self):
    return [self._sampler.rooms(p) for p in (self._parts, [self._query])]

  def _support(self, step: int) -> list[drawing.Pool]:
    chosen = np.random.default_rng([_SEED, 2, step]).choice(
      self._workload.parts, self._workload.inner_steps, replace=False
    )
    return [self._parts[i] for i in chosen]

  def task(self, step: int) -> types.Task:
    """Laid out as the detector does: leaves [1 task, devices, ...]."""
    support = self._sampler.batches(self._support(step), step, self._rooms[0])
    query = self._sampler.batches([self._query], step, self._rooms[1])
    query = query._replace(
      **{n: x[:, 0] for n, x in query._asdict().items() if x is not None}
    )
    return drawing.stack([types.Task(support, query)])

  def rows(self, step: int) -> tuple[list['Rows'], 'Rows']:
    """The same, as plain rows: with sharing, equal ones merged."""
    draw = lambda pool: _rows(pool, self._sampler.draw(pool, step))
    return [draw(pool) for pool in self._support(step)], draw(self._query)

  def padded(self, step: int, trim: bool) -> tuple[list[Padded], Padded]:
    """The same, padded to the batch's or the system's longest."""
    (support, query), (source, target) = self.rows(step), self.longest
    return [pad(rows, 0 if trim else source) for rows in support], pad(
      query, 0 if trim else target
    )


class Rows(NamedTuple):
  """Sessions of a batch, longest first."""

  vectors: np.ndarray  # [V, D]
  events: list[np.ndarray]  # B times [L]
  labels: np.ndarray  # [B] 0 or 1
  weights: np.ndarray  # [B] how many sessions each stands for


def _rows(pool: drawing.Pool, draw: batches.Draw) -> Rows:
  seqs = pool.seqs
  order = np.lexsort((draw.labels, draw.rows, -seqs.lengths[draw.rows]))
  return Rows(
    pool.vectors,
    [seqs.events[seqs.offsets[i] : seqs.offsets[i + 1]] for i in draw.rows[order]],
    draw.labels[order],
    draw.weights[order],
  )


def pad(rows: Rows, steps: int) -> Padded:
  """[B, steps], 0 for as many as the longest has; merged rows are told apart again."""
  repeated = np.repeat(np.arange(len(rows.events)), rows.weights.astype(int))
  lengths = np.array([len(rows.events[i]) for i in repeated])
  events = np.zeros((len(repeated), steps or lengths.max()), np.int32)
  for row, i in zip(events, repeated):
    row[: len(rows.events[i])] = rows.events[i]
  return Padded(rows.vectors, events, lengths, rows.labels[repeated].astype(np.int64))


def pad_sequences(
  vectors: np.ndarray, seqs: batches.Sequences, rows: np.ndarray, steps: int
) -> Padded:
  """Chosen sequences, padded to `steps` events and without labels."""
  lengths = seqs.lengths[rows]
  inside = np.arange(steps) < lengths[:, None]
  events = np.zeros(inside.shape, np.int32)
  starts = np.cumsum([0, *lengths[:-1]])
  place = np.repeat(seqs.offsets[rows] - starts, lengths)
  events[inside] = seqs.events[place + np.arange(lengths.sum())]
  return Padded(vectors, events, lengths, np.zeros(len(rows), np.int64))


def params(workload: Workload) -> dict[str, np.ndarray]:
  """First weights by PyTorch's names: uniform as PyTorch starts them, float32."""
  rng = np.random.default_rng([_SEED, 3])
  hidden = workload.hidden
  shapes: dict[str, Any] = {}
  for layer in range(workload.layers):
    inputs = hidden if layer else workload.dim
    shapes[f'gru.weight_ih_l{layer}'] = (3 * hidden, inputs)
    shapes[f'gru.weight_hh_l{layer}'] = (3 * hidden, hidden)
    shapes[f'gru.bias_ih_l{layer}'] = shapes[f'gru.bias_hh_l{layer}'] = (3 * hidden,)
  shapes |= {'attention.w_q': (hidden, hidden), 'attention.w_k': (hidden, hidden)}
  shapes['head.weight'] = (2, hidden)
  draw = lambda shape: rng.uniform(-1, 1, shape) / np.sqrt(hidden)
  return {name: draw(shape).astype(np.float32) for name, shape in shapes.items()}
