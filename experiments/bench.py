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
from experiments.benches import machine

SUITES = ('parsing',)

FLAGS = flags.FLAGS
_SUITE = flags.DEFINE_enum('suite', 'parsing', SUITES, 'What to measure.')
_JSON = flags.DEFINE_string('json', None, 'File to write the figures to.')
_SAMPLES = flags.DEFINE_integer('samples', 5, 'Samples of each variant.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of simulated data.', lower_bound=0)


def main() -> None:
  suite = importlib.import_module(f'experiments.benches.{_SUITE.value}')
  report = {
    'suite': _SUITE.value,
    'machine': machine.describe(),
    'versions': machine.versions(suite.PACKAGES),
    **suite.run(_SAMPLES.value, _SEED.value),
  }
  print(table(report['results']))
  for workload, ratios in report['ratios'].items():
    print(f'{workload}:', ', '.join(f'{name} {r}x' for name, r in ratios.items()))
  if _JSON.value:
    _write(pathlib.Path(_JSON.value), report)


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
