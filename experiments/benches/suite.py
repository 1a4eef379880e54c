"""A suite of variants that are all held to one answer: how it is measured and reported.

Before anything is timed, each variant's answer (a meta-gradient, scores) is compared
with that of plain jax in float64.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.benches import interleave
from experiments.benches.variants import Variant

PACKAGES = ('jax', 'flax', 'optax', 'numpy', 'torch')
SAMPLES = 10
RATIOS = (
  *('vs_best_torch', 'vs_first_order_torch', 'vs_torch_vmap'),
  'sharing_vs_best_torch',
)
OURS = ('ours', 'ours, 2 devices')  # what the ratios are of
SHARED = tuple(
  f'ours, {sharing}{devices}'
  for sharing in ('dedup', 'prefixes')
  for devices in ('', ', 2 devices')
)
_FIGURES = (
  *('median_ms', 'spread_ms', 'samples', 'quiet', 'discarded', 'others_cores'),
  *('peak_mib', 'compile_s', 'compile_cached_s'),
)
_REFERENCE_SECONDS = 600  # that the answer in float64 may take

Row = dict[str, Any]


class Suite(NamedTuple):
  """What is measured; the module of that name has `build(spec) -> Runner`."""

  name: str
  workloads: tuple[str, ...]  # those measured unless others are asked for
  variants: Callable[[str], Mapping[str, Variant]]  # of a workload
  error: str = 'gradient_error'  # what the distance from the answer is called
  ratios: tuple[str, ...] = RATIOS
  draws: int = 1  # different inputs, in turn
  compiled_twice: tuple[str, ...] = ()  # variants whose cached compilation is timed


def run(suite: Suite, options: interleave.Options) -> dict[str, Any]:
  """Measures every variant on every workload; `results`, `ratios`, `compared`.

  Raises:
    UserError: the answer to compare with could not be computed.
  """
  report: dict[str, Any] = {'results': [], 'ratios': {}, 'compared': {}}
  with tempfile.TemporaryDirectory() as folder:
    for workload in options.workloads or suite.workloads:
      rows = list(_rows(suite, workload, pathlib.Path(folder), options))
      report['results'] += rows
      ratios, pairs = compare(rows)
      pick = lambda values: {k: v for k, v in values.items() if k in suite.ratios}
      report['ratios'][workload] = pick(ratios)
      report['compared'][workload] = pick(pairs)
  return report


def _rows(
  suite: Suite, workload: str, folder: pathlib.Path, options: interleave.Options
) -> Iterator[Row]:
  table = suite.variants(workload)
  chosen = {n: table[n] for n in options.variants or table if n in table}

  def spec(variant: Variant, **more: str) -> Row:
    return {
      'suite': suite.name,
      'workload': workload,
      'variant': variant._asdict(),
      'folders': options.folders,
      'draws': suite.draws,
      **more,
    }

  def compute_answer(order: str) -> str:
    print(f'{workload}: the answer in float64, {order} order', file=sys.stderr)
    path = str(folder / f'{workload}_{order}.npz')
    reference = Variant('jax', 'reference', order)
    interleave.save_answer(spec(reference, save=path), {}, _REFERENCE_SECONDS)
    return path

  orders = dict.fromkeys(variant.order for variant in chosen.values())
  answers = {order: compute_answer(order) for order in orders}
  specs = {
    name: (spec(variant, expected=answers[variant.order]), variant.environment)
    for name, variant in chosen.items()
  }
  cached = {
    name: interleave.compile_again(*specs[name], options.limit)
    for name in suite.compiled_twice
    if name in specs
  }
  for facts in interleave.measure(specs, options):
    variant = chosen[facts['variant']]
    facts['compile_cached_s'] = cached.get(facts['variant'])
    row = make_row(workload, variant, facts, suite.error)
    with np.load(answers[variant.order]) as answer:
      if 'scores' in answer:
        row['sessions'] = num = len(answer['scores'])
        row['ms_per_session'] = row['median_ms'] and round(row['median_ms'] / num, 5)
    yield row


def make_row(workload: str, variant: Variant, facts: dict[str, Any], error: str) -> Row:
  """A line of the results: the same keys for each, None where nothing is known."""
  return {
    'workload': workload,
    'variant': facts['variant'],
    'framework': variant.framework,
    'order': variant.order,
    'sharing': variant.sharing,
    'gradient': variant.gradient or None,
    'control': variant.control,
    'group': facts['group'],
    **{name: facts.get(name) for name in _FIGURES},
    error: facts.get('error') and float(f'{facts["error"]:.2g}'),
    'status': facts.get('status'),
  }


def compare(rows: list[Row]) -> tuple[dict[str, float], dict[str, str]]:
  """(ratios of medians, peer's over ours; which variants each ratio compares)."""
  timed = {row['variant']: row for row in rows if row['median_ms']}

  def fastest(accept: Callable[[Row], bool]) -> str | None:
    names = [name for name, row in timed.items() if accept(row)]
    return min(names, key=lambda name: timed[name]['median_ms'], default=None)

  def is_peer(order: str) -> Callable[[Row], bool]:
    return lambda row: (
      row['framework'] == 'torch' and not row['control'] and row['order'] == order
    )

  ours = fastest(lambda row: row['variant'] in OURS)
  best = fastest(is_peer('second'))
  pairs = {
    'vs_best_torch': (best, ours),
    'vs_first_order_torch': (fastest(is_peer('first')), ours),
    'vs_torch_vmap': (fastest(lambda row: row['variant'] == 'torch.func vmap'), ours),
    'sharing_vs_best_torch': (best, fastest(lambda row: row['variant'] in SHARED)),
  }
  ratios, compared = {}, {}
  for name, (peer, own) in pairs.items():
    if peer and own:
      ratios[name] = round(timed[peer]['median_ms'] / timed[own]['median_ms'], 2)
      compared[name] = f'{_describe(timed[peer])} / {_describe(timed[own])}'
  return ratios, compared


def _describe(row: Row) -> str:
  return row['variant'] if row['quiet'] else f'{row["variant"]} (on a busy machine)'
