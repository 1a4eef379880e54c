"""What LogMeta's suites compute: meta-steps over many small tasks, and new systems.

Meta-steps are over windows of equal length, so that no variant has anything to pad,
with one event table of random vectors. Figures and events are random: the work does
not depend on them. As in `workloads`, no framework is imported here.
"""

from typing import NamedTuple

import numpy as np

from experiments.benches import workloads
from metalog_jax import types
from metalog_jax.batches import sequences

COLLAPSE, MAX_EVENTS = 2, 96  # as LogMeta reads sessions by default


class MetaStep(NamedTuple):
  """The network's size and the tasks of a meta-step."""

  hidden: int = 128  # of one direction
  dim: int = 384  # a sentence encoder's
  templates: int = 200
  length: int = 32  # events of a window
  tasks: int = 16
  support: int = 10  # windows
  query: int = 32
  inner_steps: int = 5
  inner_lr: float = 0.1


class NewSystem(NamedTuple):
  """A system and a network; the defaults are LogMeta's."""

  system: str  # of `profiles.json`, or of `workloads.SYNTHETIC`
  windows: int = 0  # sessions scored one by one in a run; 0: it is adapted to
  hidden: int = 256  # of one direction
  dim: int = 384
  shots: int = 10  # labelled sessions of each class
  steps: int = 10
  rate: float = 1e-2


META_STEPS = {
  'logmeta': MetaStep(),
  'logmeta_tiny': MetaStep(3, 4, 5, 3, 4, 3, 4, 2),
}
NEW_SYSTEMS = {
  'adapt_hdfs': NewSystem('hdfs'),
  'adapt_bgl': NewSystem('bgl'),
  'window_hdfs': NewSystem('hdfs', 100),
  'window_bgl': NewSystem('bgl', 100),
  'adapt_tiny': NewSystem('tiny', 0, 3, 4, 5, 3, 0.1),
  'window_tiny': NewSystem('tiny', 10, 3, 4),
}


class Part(NamedTuple):
  """The support or the query of all tasks of a step."""

  events: np.ndarray  # [T, B, L] int32
  labels: np.ndarray  # [T, B] 0 or 1


def vectors(workload: MetaStep) -> np.ndarray:
  """The event table [V, D] of all tasks."""
  shape = workload.templates, workload.dim
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def tasks(workload: MetaStep, step: int) -> tuple[Part, Part]:
  """The support and the query of a step's tasks."""
  rng = np.random.default_rng([1, step])

  def draw(windows: int) -> Part:
    shape = workload.tasks, windows
    events = rng.integers(0, workload.templates, (*shape, workload.length))
    return Part(events.astype(np.int32), rng.integers(0, 2, shape))

  return draw(workload.support), draw(workload.query)


def params(workload: MetaStep | NewSystem) -> dict[str, np.ndarray]:
  """First weights by PyTorch's names: uniform as PyTorch starts them, float32."""
  rng, h = np.random.default_rng(2), workload.hidden
  gates = {
    'weight_ih': (4 * h, workload.dim),
    'weight_hh': (4 * h, h),
    'bias_ih': (4 * h,),
    'bias_hh': (4 * h,),
  }
  shapes: dict[str, tuple[int, ...]] = {
    f'lstm.{name}_l0{suffix}': shape
    for suffix in ('', '_reverse')
    for name, shape in gates.items()
  }
  shapes |= {'attention.weight': (2 * h,), 'attention.bias': ()}
  shapes |= {'head.weight': (2, 2 * h), 'head.bias': (2,)}
  bound = lambda name: (h if name.startswith('lstm') else 2 * h) ** -0.5
  draw = lambda name, shape: rng.uniform(-bound(name), bound(name), shape)
  return {n: np.asarray(draw(n, s), np.float32) for n, s in shapes.items()}


def dataset(workload: NewSystem, folders: dict[str, str]) -> types.Dataset:
  """The system with random event vectors; see `workloads.dataset`."""
  folder = folders.get(workload.system, '')
  return workloads.dataset(workload.system, workload.dim, folder)


def labelled(workload: NewSystem, data: types.Dataset, draw: int) -> types.Dataset:
  """So many sessions of each class, and no other."""
  rng, labels = np.random.default_rng([4, draw]), data.sessions.labels
  chosen = [
    rng.choice(np.flatnonzero(labels == label), workload.shots, replace=False)
    for label in (0, 1)
  ]
  return data._replace(sessions=data.sessions.take(np.concatenate(chosen)))


def windows(workload: NewSystem, data: types.Dataset) -> list[types.Dataset]:
  """Sessions of the system, each by itself."""
  rng = np.random.default_rng(5)
  chosen = rng.choice(data.sessions.num, workload.windows, replace=False)
  take = lambda i: data._replace(sessions=data.sessions.take(np.array([i])))
  return [take(i) for i in chosen]


def read(sessions: types.Sessions) -> list[np.ndarray]:
  """The events [L] that are read of each session."""
  rows = np.split(sessions.events, sessions.offsets[1:-1])
  return [row[sequences.positions_read(row, COLLAPSE, MAX_EVENTS)] for row in rows]
