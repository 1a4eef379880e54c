"""MAML on sinusoids and on digits: this library beside what people write by hand.

A workload DATA_TxK has T tasks and K inner steps; what is timed is a meta-step, Adam
included. All variants take the same tasks from the same weights.
"""

import importlib
import inspect
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets

from experiments.benches import suite, variants
from experiments.benches.variants import Variant

PACKAGES = (*suite.PACKAGES, 'torchopt', 'higher', 'parallel-metalearn')
SAMPLES = suite.SAMPLES
SIZES = {'sinusoid': (1, 40, 40, 1), 'digits': (64, 64, 5)}
RATE = {'sinusoid': 0.01, 'digits': 0.1}  # of the inner steps
VARIANTS = {
  'ours': Variant('jax', 'ours'),
  'ours, side by side': Variant('jax', 'ours side by side'),
  'jax by hand': Variant('jax', 'by hand', control=True),
  "jax in the style of optax's example": Variant('jax', 'optax', control=True),
  'torch.func': Variant('torch', 'torch.func'),
  'torch create_graph': Variant('torch', 'create_graph'),
  'TorchOpt': Variant('torch', 'torchopt'),
  'higher': Variant('torch', 'higher'),
  'parallel-metalearn': Variant('torch', 'metalearn'),
  'ours, first order': Variant('jax', 'ours side by side', order='first'),
}


class Workload(NamedTuple):
  """One problem in one size."""

  data: str
  tasks: int
  steps: int


WORKLOADS = {
  f'{data}_{tasks}x{steps}': Workload(data, tasks, steps)
  for data in SIZES
  for tasks in (1, 4, 16, 64, 256)
  for steps in (1, 2, 10, 100)
}


def draw(workload: Workload) -> tuple[tuple, tuple]:
  """(support, query), each of x [T, rows, D] and y: [T, rows, 1], or classes [T, rows].

  Sinusoids have ten points; digits are five of the ten, in five examples each.
  """
  rng, shape = np.random.default_rng(0), (workload.tasks, 10, 1)
  if workload.data == 'sinusoid':
    height = rng.uniform(0.1, 5, (workload.tasks, 1, 1))
    phase = rng.uniform(0, np.pi, (workload.tasks, 1, 1))
    points = (np.float32(rng.uniform(-5, 5, shape)) for _ in range(2))
    support, query = ((x, np.float32(height * np.sin(x - phase))) for x in points)
    return support, query
  images, digits = datasets.load_digits(return_X_y=True)
  rows = np.zeros((2, workload.tasks, 25), int)
  for task in range(workload.tasks):
    for label, digit in enumerate(rng.choice(10, 5, replace=False)):
      places = slice(5 * label, 5 * label + 5)
      chosen = rng.choice(np.flatnonzero(digits == digit), 10, replace=False)
      rows[:, task, places] = chosen.reshape(2, 5)
  labels = np.tile(np.repeat(np.arange(5), 5), (workload.tasks, 1))
  support, query = ((np.float32(images[part] / 16), labels) for part in rows)
  return support, query


def first_weights(workload: Workload) -> dict[str, np.ndarray]:
  """Weights [in, out] and biases by name: 'l0.w', 'l0.b', 'l1.w', ..."""
  rng, params = np.random.default_rng(1), {}
  sizes = SIZES[workload.data]
  for i, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
    params[f'l{i}.w'] = np.float32(rng.normal(size=(rows, columns)) / rows**0.5 / 2)
    params[f'l{i}.b'] = np.zeros(columns, np.float32)
  return params


def build(spec: dict[str, Any]) -> variants.Runner:
  """Makes the runner of one variant, in the variant's own process."""
  variant = Variant(**spec['variant'])
  if variant.framework == 'torch':
    variants.use_torch()
  module = importlib.import_module(f'experiments.benches.{_module(variant)}')
  return module.meta_step(WORKLOADS[spec['workload']], variant)


def _module(variant: Variant) -> str:
  libraries = ('torchopt', 'higher', 'metalearn')
  return 'torch_peers' if variant.how in libraries else f'{variant.framework}_maml'


SUITE = suite.Suite(
  'meta_gradients',
  ('sinusoid_16x1', 'sinusoid_256x1', 'sinusoid_1x100', 'digits_16x10'),
  lambda workload: VARIANTS,
)


def run(options: Any) -> dict[str, Any]:
  """As of every suite, and the lines that a user of each variant writes."""
  report, lines = suite.run(SUITE, options), {}
  # After it: a process's peak of memory begins with that of the one that started it.
  for name in ('jax_maml', 'torch_maml', 'torch_peers'):
    try:
      module = importlib.import_module(f'experiments.benches.{name}')
    except ImportError:
      continue
    source = lambda f: inspect.getsource(f).strip().splitlines()[1:]
    is_code = lambda line: line.strip() and not line.strip().startswith(('"""', '#'))
    lines |= {
      name: len([*filter(is_code, source(function))])
      for name, function in module.WRITTEN.items()
    }
  return report | {'lines': lines}
