"""Measures this project beside its peers on this machine, all in one run.

The samples of the variants take turns; every figure is a median with its spread.
"""

import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import polars as pl

from experiments import main as program
from experiments.benches import bench_machine, interleave, picture
from experiments.studies import markdown
from metalog_jax import atomic, errors
from metalog_jax.cli import options
from metalog_jax.cli.options import Flag

SUITES = ('parsing', 'meta_step', 'meta_gradients', 'inference', 'scaling')
FLAGS = (
  Flag('suite', 'meta_step', 'what to measure', SUITES),
  Flag('json', None, 'file to write the figures to'),
  Flag('plot', None, 'file to draw the medians to, .png or .svg'),
  Flag('samples', 0, "samples of each variant; 0: the suite's number of them", low=0,
       high=options.MOST_COUNT),
  Flag('variants', [], 'names of variants, or parts of names; none: all'),
  Flag('workloads', [], "workloads; none: the suite's"),
  Flag('systems', [], 'NAME=DIR: sessions of a System folder, for those made to its '
       'figures'),
  Flag('limit', 180.0, 'seconds a variant may take to get ready', low=0),
)  # fmt: skip


def check(values: Any) -> None:
  """Refuses names that the suite does not know, and files that cannot be written."""
  _options(values, _suite(values))
  program.check_outputs(values, 'json', 'plot')
  if values.plot and values.suite == 'scaling':
    raise errors.UserError(
      '--plot draws one figure a variant; --suite=scaling has curves'
    )


def main(values: Any, rest: list[str]) -> None:
  """Measures, prints a table and the ratios, and writes what was asked for."""
  del rest
  suite = _suite(values)
  report = {
    'suite': values.suite,
    'machine': bench_machine.describe(),
    'versions': bench_machine.versions(suite.PACKAGES),
    **suite.run(_options(values, suite)),
  }
  print(table(report['results']))
  for workload, ratios in report['ratios'].items():
    print(f'{workload}:', ', '.join(f'{name} {r}x' for name, r in ratios.items()))
    for name, pair in report.get('compared', {}).get(workload, {}).items():
      print(f'  {name}: {pair}')
  if values.json:
    atomic.write_json(values.json, report)
  if values.plot:
    picture.draw(report['results'], values.plot)


def _suite(values: Any) -> ModuleType:
  return importlib.import_module(f'experiments.benches.{values.suite}')


def _options(values: Any, suite: ModuleType) -> interleave.Options:
  """The flags, checked.

  Raises:
    UserError: a name that the suite does not know.
  """
  for workload in values.workloads:
    if workload not in suite.WORKLOADS:
      raise errors.unknown_choice('--workloads', workload, suite.WORKLOADS)
  if not all('=' in pair for pair in values.systems):
    raise errors.UserError('--systems takes NAME=DIR, as in hdfs=systems/hdfs')
  return interleave.Options(
    values.samples or suite.SAMPLES,
    choose(values.variants, suite.VARIANTS),
    tuple(values.workloads),
    dict(pair.split('=', 1) for pair in values.systems),
    values.limit,
  )


def choose(parts: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
  """The names that are one of `parts`, or else contain it.

  Raises:
    UserError: no name contains a part.
  """
  names = list(names)
  chosen: set[str] = set()
  for part in map(str.strip, parts):
    matches = [part] if part in names else [name for name in names if part in name]
    if not matches:
      raise errors.unknown_choice('--variants', part, names)
    chosen.update(matches)
  return tuple(name for name in names if name in chosen)


def table(results: Sequence[dict[str, Any]]) -> str:
  """The results as text, one line each."""
  if not results:
    return 'nothing was measured'
  frame = pl.DataFrame(results, infer_schema_length=None, strict=False)
  return markdown.table(frame, words=2)


if __name__ == '__main__':
  program.run()
