"""LogMeta's meta-step as a workload: MAML over many small tasks.

Windows of equal length, so that no variant has anything to pad; one event table with
random vectors. Figures and events are random: the work does not depend on them. As in
`workloads`, no framework is imported here.
"""

from typing import NamedTuple

import numpy as np

from experiments.benches import variants
from experiments.benches.variants import Runner, Variant


class Workload(NamedTuple):
  """The network's size and the tasks of a step."""

  hidden: int = 128  # of one direction
  dim: int = 384  # a sentence encoder's
  templates: int = 200
  length: int = 32  # events of a window
  tasks: int = 16
  support: int = 10  # windows
  query: int = 32
  inner_steps: int = 5
  inner_lr: float = 0.1


WORKLOADS = {'logmeta': Workload(), 'logmeta_tiny': Workload(3, 4, 5, 3, 4, 3, 4, 2)}


def _table() -> dict[str, Variant]:
  def torch(how, *args, **more):
    return Variant('torch', how, *args, **more)

  table = {'ours': Variant('jax', 'ours')}
  table['ours, 2 devices'] = Variant('jax', 'ours', devices=2)
  for how in ('torch.func vmap', 'nn.LSTM', 'hand cell'):
    table[how] = torch(how)
    table[f'{how}, first order'] = torch(how, 'first')
  for how in ('torch.func vmap', 'hand cell'):
    table[f'{how}, table'] = torch(f'{how} table', control=True)
  table['ours, tasks side by side'] = Variant('jax', 'side by side')
  table['ours, tasks side by side, 2 devices'] = Variant(
    'jax', 'side by side', devices=2
  )
  table['ours, first order'] = Variant('jax', 'ours', 'first')
  return table


VARIANTS = _table()


class Part(NamedTuple):
  """The support or the query of all tasks of a step."""

  events: np.ndarray  # [T, B, L] int32
  labels: np.ndarray  # [T, B] 0 or 1


def vectors(workload: Workload) -> np.ndarray:
  """The event table [V, D] of all tasks."""
  shape = workload.templates, workload.dim
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def tasks(workload: Workload, step: int) -> tuple[Part, Part]:
  """The support and the query of a step's tasks."""
  rng = np.random.default_rng([1, step])

  def part(windows: int) -> Part:
    shape = workload.tasks, windows
    events = rng.integers(0, workload.templates, (*shape, workload.length))
    return Part(events.astype(np.int32), rng.integers(0, 2, shape))

  return part(workload.support), part(workload.query)


def params(workload: Workload) -> dict[str, np.ndarray]:
  """First weights by PyTorch's names: uniform as PyTorch starts them, float32."""
  rng, h = np.random.default_rng(2), workload.hidden
  shapes = {
    f'lstm.{name}_l0{suffix}': (4 * h, *more)
    for suffix in ('', '_reverse')
    for name, more in (
      ('weight_ih', (workload.dim,)),
      ('weight_hh', (h,)),
      ('bias_ih', ()),
      ('bias_hh', ()),
    )
  }
  shapes |= {'attention.weight': (2 * h,), 'attention.bias': ()}
  shapes |= {'head.weight': (2, 2 * h), 'head.bias': (2,)}
  bound = lambda name: (h if name.startswith('lstm') else 2 * h) ** -0.5
  draw = lambda name, shape: rng.uniform(-bound(name), bound(name), shape)
  return {n: np.asarray(draw(n, s), np.float32) for n, s in shapes.items()}


def build(workload: str, variant: Variant, num: int) -> Runner:
  """In the process of one variant: `num` steps' tasks, taken in turn."""
  if variant.framework == 'jax':
    from experiments.benches import logmeta_jax as module
  else:
    variants.use_torch()
    from experiments.benches import logmeta_torch as module
  return module.build(WORKLOADS[workload], variant, num)
