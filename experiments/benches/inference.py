"""Sessions in, scores out: this library beside PyTorch's nn.GRU.

What starts the clock is a system's sessions as arrays of event ids; what stops it is
a score for each: sorting, merging, padding and copying are inside.
"""

from typing import Any

import numpy as np

from experiments.benches import meta_step, suite, turns, variants, workloads
from metalog_jax import types

PACKAGES = meta_step.PACKAGES
SAMPLES = 10
WORKLOADS = {
  name: workloads.Workload(name, name) for name in ('hdfs', 'bgl', 'short', 'long')
} | {'tiny': workloads.WORKLOADS['tiny']}
DEFAULT = ('hdfs', 'bgl')
VARIANTS = {
  'ours': variants.Variant('jax', 'ours'),
  'ours, 2 devices': variants.Variant('jax', 'ours', devices=2),
  'ours, dedup': variants.Variant('jax', 'ours', sharing='sequences'),
  'ours, dedup, 2 devices': variants.Variant(
    'jax', 'ours', sharing='sequences', devices=2
  ),
  **{
    f'nn.GRU sorted, B={size}': variants.Variant('torch', f'nn.GRU {size}')
    for size in (1024, 256, 128)
  },
  'nn.GRU sorted and packed, B=256': variants.Variant('torch', 'nn.GRU 256 packed'),
  'nn.GRU sorted, B=256, dedup': variants.Variant(
    'torch', 'nn.GRU 256', sharing='sequences', control=True
  ),
}


def build(spec: dict[str, Any]) -> variants.Runner:
  """In the process of one variant."""
  variant = variants.Variant(**spec['variant'])
  workload = WORKLOADS[spec['workload']]
  folder = spec['folders'].get(workload.target, '')
  data = workloads.dataset(workload.target, workload.dim, folder)
  if variant.how == 'reference':
    from experiments.benches import reference

    score = lambda: reference.scores(workload, data)
  elif variant.framework == 'jax':
    score = _ours(workload, variant, data)
  else:
    score = _torch(workload, variant, data)
  found: list[np.ndarray] = []

  def run(_: int) -> None:
    found[:] = [score()]

  return variants.Runner(run, lambda: {'scores': found[0]})


def _ours(workload, variant, data: types.Dataset):
  import jax

  from experiments.benches import jax_variants
  from metalog_jax.evaluation import scoring

  detector = jax_variants.detector(workload, variant)
  state = detector.init(jax.random.key(0), types.Transfer((), data))
  state = state._replace(params=jax_variants.nest(workloads.params(workload)))
  scorer = scoring.Scorer(detector)
  return lambda: scorer.scores(
    state, data, workloads.sequences(data.sessions, variant.sharing)
  )


def _torch(workload, variant, data: types.Dataset):
  torch = variants.use_torch()

  from experiments.benches import torch_network

  net = torch_network.Net(workload, hand=False, packed='packed' in variant.how).eval()
  size = int(variant.how.split()[1])
  vectors = torch.from_numpy(data.vectors)

  def score() -> np.ndarray:
    seqs = workloads.sequences(data.sessions, variant.sharing)
    order = np.argsort(-seqs.lengths, kind='stable')
    found = np.zeros(len(order))
    for start in range(0, len(order), size):
      rows = order[start : start + size]
      batch = torch_network.tensors(_padded(data.vectors, seqs, rows))
      with torch.inference_mode():
        logits = net(batch._replace(vectors=vectors))
        found[rows] = torch.softmax(logits, -1)[:, 1].numpy()
    return found[seqs.inverse]

  return score


def _padded(vectors, seqs, rows: np.ndarray) -> workloads.Padded:
  lengths = seqs.lengths[rows]
  inside = np.arange(lengths[0]) < lengths[:, None]
  events = np.zeros(inside.shape, np.int32)
  place = np.repeat(seqs.offsets[rows] - np.cumsum([0, *lengths[:-1]]), lengths)
  events[inside] = seqs.events[place + np.arange(lengths.sum())]
  return workloads.Padded(vectors, events, lengths, np.zeros(len(rows), np.int64))


def _finish(row: suite.Row, _: suite.Row, answer: dict[str, np.ndarray]) -> suite.Row:
  sessions = len(answer['scores'])
  row['score_error'] = row.pop('gradient_error')
  per = row['median_ms'] and round(row['median_ms'] / sessions, 5)
  return {**row, 'sessions': sessions, 'ms_per_session': per}


SUITE = suite.Suite(
  'inference',
  DEFAULT,
  lambda workload: VARIANTS,
  _finish,
  ('vs_best_torch', 'sharing_vs_best_torch'),
)


def run(options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload."""
  return suite.run(SUITE, options)
