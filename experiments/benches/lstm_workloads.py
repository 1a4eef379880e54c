"""LogMeta's meta-step over many small tasks.

Windows have equal length, so that no variant has anything to pad. Vectors and events
are random: the work does not depend on them. No framework is imported here.
"""

from typing import NamedTuple

import numpy as np


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


META_STEPS = {'logmeta': MetaStep(), 'logmeta_tiny': MetaStep(3, 4, 5, 3, 4, 3, 4, 2)}


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


def params(workload: MetaStep) -> dict[str, np.ndarray]:
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
