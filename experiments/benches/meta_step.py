"""One meta-step, Adam included: this library beside PyTorch.

MetaLog's in several workloads, LogMeta's in one. All variants take the same sessions
from the same weights. Batches are built and handed to the framework before the clock
starts.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from experiments.benches import interleave, lstm_workloads, suite, variants, workloads
from experiments.benches.variants import Variant

PACKAGES, SAMPLES = suite.PACKAGES, suite.SAMPLES


def _metalog() -> dict[str, Variant]:
  """The variants whose ratios are reported come first: they share their turns."""
  rewritten = {'control': True}
  table = {
    'ours': Variant('jax', 'ours'),
    'ours, 2 devices': Variant('jax', 'ours', devices=2),
    'ours, prefixes': Variant('jax', 'ours', sharing='prefixes'),
    'ours, prefixes, 2 devices': Variant('jax', 'ours', sharing='prefixes', devices=2),
    'ours, dedup': Variant('jax', 'ours', sharing='sequences'),
    'ours, dedup, 2 devices': Variant('jax', 'ours', sharing='sequences', devices=2),
    'nn.GRU packed and trimmed': Variant('torch', 'nn.GRU packed and trimmed'),
    'nn.GRU trimmed': Variant('torch', 'nn.GRU trimmed'),
    'nn.GRU packed and trimmed, first order': Variant(
      'torch', 'nn.GRU packed and trimmed', 'first'
    ),
    'nn.GRU trimmed, first order': Variant('torch', 'nn.GRU trimmed', 'first'),
    'ours, first order': Variant('jax', 'ours', 'first'),
    'PyTorch rewritten': Variant('torch', 'rewritten', **rewritten),
    'PyTorch rewritten, dedup': Variant(
      'torch', 'rewritten', sharing='sequences', **rewritten
    ),
    'PyTorch rewritten, prefixes': Variant(
      'torch', 'rewritten', sharing='prefixes', **rewritten
    ),
    'ladder 0: no library': Variant('jax', 'ladder no library', control=True),
    'ladder 1: table': Variant('jax', 'ladder table', control=True),
    'ladder 2: column sums': Variant('jax', 'ladder column sums', control=True),
    'ladder 3: packed': Variant('jax', 'ladder packed', control=True),
  }
  for gradient in variants.GRADIENTS:
    if gradient != variants.DEFAULT_GRADIENT:
      table[f'ours, {gradient}'] = Variant('jax', 'ours', gradient=gradient)
  return table


_SIDE_BY_SIDE = 'ours, tasks side by side'
LOGMETA = {
  'ours': Variant('jax', 'ours'),
  'ours, 2 devices': Variant('jax', 'ours', devices=2),
  'torch.func vmap': Variant('torch', 'torch.func vmap'),
  'nn.LSTM': Variant('torch', 'nn.LSTM'),
  _SIDE_BY_SIDE: Variant('jax', 'side by side'),
  f'{_SIDE_BY_SIDE}, 2 devices': Variant('jax', 'side by side', devices=2),
}
METALOG = _metalog()
VARIANTS = tuple(dict.fromkeys([*METALOG, *LOGMETA]))
WORKLOADS = (*workloads.WORKLOADS, *lstm_workloads.META_STEPS)


def _variants_of(workload: str) -> Mapping[str, Variant]:
  return LOGMETA if workload in lstm_workloads.META_STEPS else METALOG


def build(spec: dict[str, Any]) -> variants.Runner:
  """Makes the runner of one variant, in the variant's own process."""
  variant = Variant(**spec['variant'])
  is_logmeta = spec['workload'] in lstm_workloads.META_STEPS
  if variant.framework == 'torch':
    variants.use_torch()
  name = f'{variant.framework}_{"lstm" if is_logmeta else "gru"}'
  module = importlib.import_module(f'experiments.benches.{name}')
  if is_logmeta:
    workload = lstm_workloads.META_STEPS[spec['workload']]
    return module.meta_step(workload, variant, spec['draws'])
  workload = workloads.WORKLOADS[spec['workload']]
  return module.meta_step(workload, variant, spec['folders'], spec['draws'])


SUITE = suite.Suite(
  'meta_step',
  ('hdfs_to_bgl', 'bgl_to_hdfs', 'synthetic', 'logmeta'),
  _variants_of,
  draws=5,
  compiled_twice=suite.OURS,
)


def run(options: interleave.Options) -> dict[str, Any]:
  """Measures every variant on every workload."""
  return suite.run(SUITE, options)
