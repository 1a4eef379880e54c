"""Sessions in, scores out: this library beside PyTorch's nn.GRU.

What starts the clock is a system's sessions as arrays of event ids; what stops it is
a score for each: sorting, merging, padding and copying are inside.
"""

import functools
import importlib
from typing import Any

import numpy as np

from experiments.benches import suite, variants, workloads
from experiments.benches.variants import Variant

PACKAGES, SAMPLES = suite.PACKAGES, suite.SAMPLES
WORKLOADS = {
  name: workloads.Workload(name, name) for name in ('hdfs', 'bgl', 'short', 'long')
} | {'tiny': workloads.WORKLOADS['tiny']}
VARIANTS = {
  'ours': Variant('jax', 'ours'),
  'ours, 2 devices': Variant('jax', 'ours', devices=2),
  'ours, dedup': Variant('jax', 'ours', sharing='sequences'),
  'ours, dedup, 2 devices': Variant('jax', 'ours', sharing='sequences', devices=2),
  'nn.GRU sorted, B=1024': Variant('torch', 'nn.GRU 1024'),
  'nn.GRU sorted, B=256': Variant('torch', 'nn.GRU 256'),
  'nn.GRU sorted, B=128': Variant('torch', 'nn.GRU 128'),
  'nn.GRU sorted and packed, B=256': Variant('torch', 'nn.GRU 256 packed'),
  'nn.GRU sorted, B=256, dedup': Variant(
    'torch', 'nn.GRU 256', sharing='sequences', control=True
  ),
}


def build(spec: dict[str, Any]) -> variants.Runner:
  """Makes the runner of one variant, in the variant's own process."""
  variant = Variant(**spec['variant'])
  workload = WORKLOADS[spec['workload']]
  folder = spec['folders'].get(workload.target, '')
  data = workloads.dataset(workload.target, workload.dim, folder)
  if variant.framework == 'torch':
    variants.use_torch()
  name = variant.framework if variant.how != 'reference' else 'reference'
  module = importlib.import_module(f'experiments.benches.{name}_gru')
  score = module.scorer(workload, variant, data)
  scores: list[np.ndarray] = []

  def run(_: int) -> None:
    scores[:] = [score()]

  return variants.Runner(run, lambda: {'scores': scores[0]})


SUITE = suite.Suite(
  'inference',
  ('hdfs', 'bgl'),
  lambda workload: VARIANTS,
  'score_error',
  ('vs_best_torch', 'sharing_vs_best_torch'),
)
run = functools.partial(suite.run, SUITE)
