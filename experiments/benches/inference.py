"""Sessions in, scores out: this library beside PyTorch's nn.GRU.

What starts the clock is a system's sessions as arrays of event ids; what stops it is
a score for each: sorting, merging, padding and copying are inside. In the workloads
`hdfs_one` and `bgl_one` sessions come one at a time, as lines that are followed give
them: the time is the median session's.
"""

import functools
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benches import suite, variants, workloads
from experiments.benches.variants import Variant
from metalog_jax import types

PACKAGES, SAMPLES = suite.PACKAGES, suite.SAMPLES
WORKLOADS = {
  name: workloads.Workload(name, name) for name in ('hdfs', 'bgl', 'short', 'long')
} | {'tiny': workloads.WORKLOADS['tiny']}
ONE = {  # sessions drawn from a system, scored one at a time
  f'{name}_one': WORKLOADS[name] for name in ('hdfs', 'bgl', 'tiny')
}
WORKLOADS |= ONE
NUM_ONE = 200
WHOLE = {
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
ALONE = {
  'ours': Variant('jax', 'ours'),
  'nn.GRU alone, 1 thread': Variant('torch', 'nn.GRU alone 1'),
  'nn.GRU alone, 2 threads': Variant('torch', 'nn.GRU alone 2'),
}
VARIANTS = WHOLE | ALONE


def build(spec: dict[str, Any]) -> variants.Runner:
  """Makes the runner of one variant, in the variant's own process."""
  variant = Variant(**spec['variant'])
  workload = WORKLOADS[spec['workload']]
  folder = spec['folders'].get(workload.target, '')
  data = workloads.dataset(workload.target, workload.dim, folder)
  if spec['workload'] in ONE:
    num = data.sessions.num
    drawn = np.random.default_rng(0).permutation(num)[:NUM_ONE]
    data = data._replace(sessions=data.sessions.take(drawn))
  if variant.framework == 'torch':
    variants.use_torch()
  name = variant.framework if variant.how != 'reference' else 'reference'
  module = importlib.import_module(f'experiments.benches.{name}_gru')
  score = module.scorer(workload, variant, data)
  name, scores = 'scores', np.zeros(data.sessions.num)
  if spec['workload'] in ONE:
    name = 'each'
    if variant.how != 'reference':
      run = functools.partial(_one_at_a_time, score, data.sessions, scores)
      return variants.Runner(run, lambda: {name: scores})

  def run_whole(_: int) -> None:
    scores[:] = score(data.sessions)

  return variants.Runner(run_whole, lambda: {name: scores})


def _one_at_a_time(
  score: Callable[[types.Sessions], np.ndarray],
  sessions: types.Sessions,
  scores: np.ndarray,
  _: int,
) -> float:
  """Fills in the scores; the median of the seconds that a session takes."""
  seconds = []
  for i in range(sessions.num):
    part = sessions.take(np.array([i]))
    begin = time.perf_counter()
    scores[i] = score(part)[0]
    seconds.append(time.perf_counter() - begin)
  return statistics.median(seconds)


SUITE = suite.Suite(
  'inference',
  ('hdfs', 'bgl'),
  lambda workload: ALONE if workload in ONE else WHOLE,
  'score_error',
  ('vs_best_torch', 'sharing_vs_best_torch'),
)
run = functools.partial(suite.run, SUITE)
