"""What each evidence of `evidence` earns: every one off in turn (on, those that are off
unless asked for), on labelled systems.

  python -m experiments.evidence_ablation --systems=systems/a,systems/b --seeds=2

Sessions are drawn at random; a system's FAMILY is the part of its name before _, and
families count alike. Prints mean F1 and AUPRC in per cent, and the difference to the
default: below 0, the evidence earns its place.
"""

import collections
import pathlib
from typing import Any

import numpy as np

from experiments import evidence_cells
from experiments import main as program
from metalog_jax import evidence, types
from metalog_jax.cli.options import Flag
from metalog_jax.evaluation import metrics
from metalog_jax.logs import store

FLAGS = (
  Flag('systems', [], 'System folders, labelled', required=True),
  Flag('normals', ['30', '100', '30%'], 'normal sessions that are labelled'),
  Flag('anomalies', ['0', '1', '5', '20'], 'anomalous sessions that are labelled'),
  Flag(
    'turned', [], 'evidences turned off, or on, in turn; none: each', evidence.NAMES
  ),
  Flag('seeds', 1, 'draws of labels', low=1),
)


def measured(
  system: types.System, num: tuple[str, int], seed: int, turned: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
  """F1 and AUPRC with each evidence `turned` off, or on; '' is the default."""
  cell, out = evidence_cells.Cell(system, 'random', num, seed), {}
  for name in turned:
    off = set(evidence.OFF) ^ ({name} if name else set())
    values = metrics.measure(cell.test.labels, *cell.judged(without=off))
    out[name] = values['f1'], values['auprc']
  return out


def main(values: Any, rest: list[str]) -> None:
  """Prints one line an evidence."""
  del rest
  turned = ('', *(values.turned or evidence.NAMES))
  table: dict[str, dict] = {name: collections.defaultdict(list) for name in turned}
  for folder in values.systems:
    system = store.load(folder)
    family = pathlib.Path(folder).name.partition('_')[0]
    for normals in values.normals:
      for anomalies in values.anomalies:
        for seed in range(values.seeds):
          cell = measured(system, (normals, int(anomalies)), seed, turned)
          for name, pair in cell.items():
            table[name][family, int(anomalies) > 0].append(pair)
  whole: dict[bool, np.ndarray] = {}
  for name in turned:
    line = f'{name or "the default":14}'
    for labelled in (False, True):
      families = [
        np.mean(v, 0) for (_, has), v in table[name].items() if has == labelled
      ]
      if not families:
        continue
      mean = 100 * np.mean(families, axis=0)
      whole.setdefault(labelled, mean)
      f1, auprc = mean - whole[labelled] if name else mean
      sign = '+' if name else ''
      what = 'anomalies labelled' if labelled else 'normals alone'
      line += f'  {what}: F1 {f1:{sign}.1f} AUPRC {auprc:{sign}.1f}'
    print(line, flush=True)


if __name__ == '__main__':
  program.run()
