"""One meta-step, Adam included: this library beside PyTorch and its kin.

Of MetaLog in several workloads, and of LogMeta in one (see `logmeta`).

All variants take the same sessions from the same weights; before any of them is
timed, its meta-gradient is compared with plain jax's in float64. Batches are
built and handed to the framework before the clock starts.
"""

import pathlib
import sys
import tempfile
from typing import Any

from experiments.benches import logmeta, turns, variants, workloads
from metalog_jax import meta

PACKAGES = ('jax', 'flax', 'optax', 'numpy', 'torch', 'higher', 'torchopt')
SAMPLES = 10
DEFAULT = ('hdfs_to_bgl', 'bgl_to_hdfs', 'synthetic', 'logmeta')  # workloads
DRAWS = 5  # different tasks, in turn
OURS = ('ours', 'ours, 2 devices')
SHARED = tuple(
  f'ours, {sharing}{more}'
  for sharing in ('dedup', 'prefixes')
  for more in ('', ', 2 devices')
)


def _table() -> dict[str, variants.Variant]:
  """The variants whose ratios are reported come first: they share their turns."""

  def jax(how, *args, **more):
    return variants.Variant('jax', how, *args, **more)

  def torch(how, *args, **more):
    return variants.Variant('torch', how, *args, **more)

  table = {
    'ours': jax('ours'),
    'ours, 2 devices': jax('ours', devices=2),
    'ours, prefixes': jax('ours', sharing='prefixes'),
    'ours, prefixes, 2 devices': jax('ours', sharing='prefixes', devices=2),
    'ours, dedup': jax('ours', sharing='sequences'),
    'ours, dedup, 2 devices': jax('ours', sharing='sequences', devices=2),
    'nn.GRU packed and trimmed': torch('nn.GRU packed and trimmed'),
    'nn.GRU trimmed': torch('nn.GRU trimmed'),
    'nn.GRU packed and trimmed, first order': torch(
      'nn.GRU packed and trimmed', 'first'
    ),
    'nn.GRU trimmed, first order': torch('nn.GRU trimmed', 'first'),
    'nn.GRU packed': torch('nn.GRU packed'),
    'nn.GRU padded': torch('nn.GRU padded'),
    'hand cell trimmed': torch('hand trimmed'),
    'hand cell padded': torch('hand padded'),
    'ours, first order': jax('ours', 'first'),
    'PyTorch rewritten': torch('rewritten', control=True),
    'PyTorch rewritten, dedup': torch('rewritten', sharing='sequences', control=True),
    'PyTorch rewritten, prefixes': torch('rewritten', sharing='prefixes', control=True),
    'flax nn.RNN': jax('flax', control=True),
    'ladder 0: no library': jax('ladder no library', control=True),
    'ladder 1: table': jax('ladder table', control=True),
    'ladder 2: column sums': jax('ladder column sums', control=True),
    'ladder 3: packed': jax('ladder packed', control=True),
    'higher trimmed': torch('higher trimmed'),
    'TorchOpt trimmed': torch('torchopt trimmed'),
  }
  for way in variants.WAYS:
    if way != meta.MetaConfig().gradient:
      table[f'ours, {way}'] = jax('ours', gradient=way)
  # Last, since they hold up the others: the first is slow, the second rarely ends.
  table['torch.func vmap'] = torch('torch.func')
  table['torch.compile'] = torch('torch.compile')
  return table


VARIANTS = _table()
NAMES = tuple(dict.fromkeys([*VARIANTS, *logmeta.VARIANTS]))  # of all workloads


def build(spec: dict[str, Any]) -> variants.Runner:
  """In the process of one variant."""
  variant = variants.Variant(**spec['variant'])
  if spec['workload'] in logmeta.WORKLOADS:
    return logmeta.build(spec['workload'], variant, spec['draws'])
  workload = workloads.WORKLOADS[spec['workload']]
  if variant.framework == 'jax':
    from experiments.benches import jax_variants

    make = jax_variants.BUILD[variant.how]
  else:
    make = torch_builder()
  return make(workload, variant, spec['folders'], spec['draws'])


def torch_builder():
  variants.use_torch()
  from experiments.benches import torch_peers

  return torch_peers.build


def run(options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload."""
  results, ratios, compared = [], {}, {}
  with tempfile.TemporaryDirectory() as folder:
    for workload in options.workloads or DEFAULT:
      expected = {
        order: _expected(workload, order, pathlib.Path(folder), options)
        for order in ('second', 'first')
      }
      rows = _rows(workload, expected, options)
      results += rows
      ratios[workload], compared[workload] = compare(rows)
  return {'results': results, 'ratios': ratios, 'compared': compared}


def _spec(workload: str, variant: variants.Variant, options: turns.Options) -> dict:
  return {
    'suite': 'meta_step',
    'workload': workload,
    'variant': variant._asdict(),
    'folders': options.folders,
    'draws': DRAWS,
  }


def _expected(workload: str, order: str, folder: pathlib.Path, options) -> str:
  path = str(folder / f'{workload}_{order}.npz')
  print(f'{workload}: the reference of {order} order', file=sys.stderr)
  reference = variants.Variant('jax', 'reference', order)
  turns.once({**_spec(workload, reference, options), 'save': path}, {}, 600)
  return path


def _rows(workload: str, expected: dict[str, str], options) -> list[dict[str, Any]]:
  known = logmeta.VARIANTS if workload in logmeta.WORKLOADS else VARIANTS
  chosen = {n: known[n] for n in options.variants or known if n in known}
  specs = {
    name: (
      {**_spec(workload, variant, options), 'expected': expected[variant.order]},
      variant.environment,
    )
    for name, variant in chosen.items()
  }
  again = {
    name: turns.compile_again(*specs[name], options.limit)
    for name in OURS
    if name in specs
  }
  return [
    row(
      workload,
      chosen[facts['variant']],
      facts | {'compile_cached_s': again.get(facts['variant'])},
    )
    for facts in turns.measure(specs, options)
  ]


def row(workload: str, variant: variants.Variant, facts: dict) -> dict[str, Any]:
  """A line of the results: the same keys for each, None where nothing is known."""
  figures = (
    *('median_ms', 'spread_ms', 'samples', 'quiet', 'discarded', 'others_cores'),
    *('peak_mib', 'compile_s', 'compile_cached_s'),
  )
  return {
    'workload': workload,
    'variant': facts['variant'],
    'framework': variant.framework,
    'order': variant.order,
    'sharing': variant.sharing,
    'gradient': variant.gradient or None,
    'control': variant.control,
    'group': facts['group'],
    **{name: facts.get(name) for name in figures},
    'gradient_error': facts.get('error') and float(f'{facts["error"]:.2g}'),
    'status': facts.get('status'),
  }


def compare(rows: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, str]]:
  """(ratios of medians, peer's over ours; which variants were compared)."""
  timed = {row['variant']: row for row in rows if row['median_ms']}

  def fastest(accept) -> str | None:
    names = [name for name, row in timed.items() if accept(row)]
    return min(names, key=lambda name: timed[name]['median_ms'], default=None)

  def peer(order):
    return lambda row: (
      row['framework'] == 'torch' and not row['control'] and row['order'] == order
    )

  ours = fastest(lambda row: row['variant'] in OURS)
  best = fastest(peer('second'))
  pairs = {
    'vs_best_torch': (best, ours),
    'vs_first_order_torch': (fastest(peer('first')), ours),
    'vs_torch_vmap': (fastest(lambda row: row['variant'] == 'torch.func vmap'), ours),
    'sharing_vs_best_torch': (best, fastest(lambda row: row['variant'] in SHARED)),
  }
  pairs = {name: pair for name, pair in pairs.items() if all(pair)}
  ratio = lambda theirs, mine: timed[theirs]['median_ms'] / timed[mine]['median_ms']
  return (
    {name: round(ratio(*pair), 2) for name, pair in pairs.items()},
    {name: ' / '.join(_named(timed[n]) for n in pair) for name, pair in pairs.items()},
  )


def _named(row: dict[str, Any]) -> str:
  return row['variant'] if row['quiet'] else f'{row["variant"]} (on a busy machine)'
