"""What suites have in common whose variants are all held to one answer."""

import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from experiments.benches import meta_step, turns, variants

Row = dict[str, Any]


class Suite(NamedTuple):
  """A module of that name builds the variants (`build`)."""

  name: str
  workloads: tuple[str, ...]  # if none is asked for
  table: Callable[[str], dict[str, variants.Variant]]  # of a workload
  finish: Callable[[Row, Row, dict[str, np.ndarray]], Row]  # row, facts, answer -> row
  ratios: tuple[str, ...]  # of `meta_step.compare`
  draws: int = 1
  cached: tuple[str, ...] = ()  # variants that are compiled a second time as well


def run(suite: Suite, options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload."""
  results, ratios, compared = [], {}, {}
  with tempfile.TemporaryDirectory() as folder:
    for workload in options.workloads or suite.workloads:
      path = pathlib.Path(folder) / f'{workload}.npz'
      rows = list(_rows(suite, workload, path, options))
      results += rows
      found, compared[workload] = meta_step.compare(rows)
      ratios[workload] = {k: v for k, v in found.items() if k in suite.ratios}
  return {'results': results, 'ratios': ratios, 'compared': compared}


def _rows(suite: Suite, workload: str, path: pathlib.Path, options) -> Iterator[Row]:
  def spec(variant: variants.Variant) -> Row:
    return {
      'suite': suite.name,
      'workload': workload,
      'variant': variant._asdict(),
      'folders': options.folders,
      'draws': suite.draws,
    }

  reference, table = variants.Variant('jax', 'reference'), suite.table(workload)
  turns.once({**spec(reference), 'save': str(path)}, {}, 600)
  with np.load(path) as saved:
    answer = dict(saved)
  chosen = {n: table[n] for n in options.variants or table if n in table}
  specs = {
    name: ({**spec(variant), 'expected': str(path)}, variant.environment)
    for name, variant in chosen.items()
  }
  again = {
    name: turns.compile_again(*specs[name], options.limit)
    for name in suite.cached
    if name in specs
  }
  for facts in turns.measure(specs, options):
    facts['compile_cached_s'] = again.get(facts['variant'])
    row = meta_step.row(workload, chosen[facts['variant']], facts)
    yield suite.finish(row, facts, answer)
