"""Measures this project beside its peers on this machine, all in one run.

The samples of the variants take turns; every figure is a median with its spread.
"""

import importlib
import json
import os
import pathlib
from typing import Any

from absl import flags

from experiments import main as program
from experiments.benches import machine, turns
from metalog_jax import errors

SUITES = ('parsing', 'encoding', 'meta_step', 'inference', 'adaptation', 'scaling')

FLAGS = flags.FLAGS
_SUITE = flags.DEFINE_enum('suite', 'parsing', SUITES, 'What to measure.')
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
  suite = importlib.import_module(f'experiments.benches.{_SUITE.value}')
  report = {
    'suite': _SUITE.value,
    'machine': machine.describe(),
    'versions': machine.versions(suite.PACKAGES),
    **suite.run(_options(suite)),
  }
  print(table(report['results']))
  for workload, ratios in report['ratios'].items():
    print(f'{workload}:', ', '.join(f'{name} {r}x' for name, r in ratios.items()))
    for name, pair in report.get('compared', {}).get(workload, {}).items():
      print(f'  {name}: {pair}')
  if _JSON.value:
    _write(pathlib.Path(_JSON.value), report)
  if _PLOT.value:
    from experiments.benches import plots

    plots.draw(report, _PLOT.value)


def _options(suite) -> turns.Options:
  """The flags, checked.

  Raises:
    UserError: a name that the suite does not know.
  """
  known = list(getattr(suite, 'NAMES', suite.VARIANTS))
  parts = [part.strip() for part in _VARIANTS.value]
  is_asked = lambda name: any(
    part == name if part in known else part in name for part in parts
  )
  names = list(filter(is_asked, known))
  if _VARIANTS.value and not names:
    raise errors.UserError(f'--variants: nothing like that among {known}')
  if not all('=' in pair for pair in _SYSTEMS.value):
    raise errors.UserError('--systems takes NAME=DIR, as in hdfs=systems/hdfs')
  return turns.Options(
    _SAMPLES.value or suite.SAMPLES,
    _SEED.value,
    tuple(names),
    tuple(_WORKLOADS.value),
    dict(pair.split('=', 1) for pair in _SYSTEMS.value),
    _LIMIT.value,
  )


def table(results: list[dict[str, Any]]) -> str:
  """The results as text, one line each."""
  rows = [list(results[0])] + [[str(v) for v in result.values()] for result in results]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows
  )


def _write(path: pathlib.Path, report: dict[str, Any]) -> None:
  partial = path.with_name(path.name + '.partial')
  partial.write_text(json.dumps(report, indent=1) + '\n')
  os.replace(partial, path)


if __name__ == '__main__':
  program.run(main)
