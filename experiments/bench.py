"""Measures this project beside its peers on this machine, all in one run.

The samples of the variants take turns; every figure is a median with its spread.
"""

import importlib
import pathlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from absl import flags

from experiments import main as program
from experiments.benches import interleave, machine, plots
from metalog_jax import atomic, errors

SUITES = ('parsing', 'meta_step', 'inference', 'adaptation', 'scaling')

FLAGS = flags.FLAGS
_SUITE = flags.DEFINE_string(
  'suite', 'parsing', f'What to measure: {", ".join(SUITES)}'
)
_JSON = flags.DEFINE_string('json', None, 'File to write the figures to.')
_PLOT = flags.DEFINE_string(
  'plot', None, 'File to draw the figures in (extra `plots`).'
)
_SAMPLES = flags.DEFINE_integer(
  'samples', None, "Samples of each variant; the suite's own number by default.", 1
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of simulated data.', lower_bound=0)
_VARIANTS = flags.DEFINE_list(
  'variants', [], 'Names of variants, or parts of names; all if empty.'
)
_WORKLOADS = flags.DEFINE_list('workloads', [], "Workloads; the suite's if empty.")
_SYSTEMS = flags.DEFINE_list(
  'systems', [], 'NAME=DIR: sessions of a System folder, for those made to its figures.'
)
_LIMIT = flags.DEFINE_float('limit', 180, 'Seconds a variant may take to get ready.')


def main() -> None:
  """Measures, prints a table and the ratios, and writes what was asked for."""
  if _SUITE.value not in SUITES:
    raise errors.unknown_choice('--suite', _SUITE.value, SUITES)
  suite = importlib.import_module(f'experiments.benches.{_SUITE.value}')
  options = _options(suite)
  for flag, path in (('--json', _JSON.value), ('--plot', _PLOT.value)):
    if path:
      atomic.check_output(path, flag=flag)
  report = {
    'suite': _SUITE.value,
    'machine': machine.describe(),
    'versions': machine.versions(suite.PACKAGES),
    **suite.run(options),
  }
  print(table(report['results']))
  for workload, ratios in report['ratios'].items():
    print(f'{workload}:', ', '.join(f'{name} {r}x' for name, r in ratios.items()))
    for name, pair in report.get('compared', {}).get(workload, {}).items():
      print(f'  {name}: {pair}')
  if _JSON.value:
    atomic.write_json(_JSON.value, report)
  if _PLOT.value:
    plots.draw(report, pathlib.Path(_PLOT.value))


def _options(suite: ModuleType) -> interleave.Options:
  """The flags, checked.

  Raises:
    UserError: a name that the suite does not know.
  """
  for workload in _WORKLOADS.value:
    if workload not in suite.WORKLOADS:
      raise errors.unknown_choice('--workloads', workload, suite.WORKLOADS)
  if not all('=' in pair for pair in _SYSTEMS.value):
    raise errors.UserError('--systems takes NAME=DIR, as in hdfs=systems/hdfs')
  return interleave.Options(
    _SAMPLES.value or suite.SAMPLES,
    _SEED.value,
    choose(_VARIANTS.value, suite.VARIANTS),
    tuple(_WORKLOADS.value),
    dict(pair.split('=', 1) for pair in _SYSTEMS.value),
    _LIMIT.value,
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
  rows = [list(results[0])] + [[str(v) for v in result.values()] for result in results]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows
  )


if __name__ == '__main__':
  program.run(main)
