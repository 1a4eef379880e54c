"""`evidence` beside every floor, cell by cell: the tables of docs/evidence.md.

  python -m experiments.evidence_cells --systems=systems --table=cells,left_out

A cell is a system, so many labels, and how the sessions are split. Prints mean (worst)
F1 over seeds, AUPRC, F1 of sequences that no labelled session has; the floor that is
fixed beforehand by which labels there are, and the one that is best on the test.
"""

import pathlib
from typing import Any

import numpy as np

from experiments import main as program
from metalog_jax import evidence, types
from metalog_jax.cli.options import Flag
from metalog_jax.evaluation import floors, metrics
from metalog_jax.evidence import kinds
from metalog_jax.logs import splits, store

FLAGS = (
  Flag('systems', 'systems', 'folder with the Systems hdfs, bgl, openstack, cinder'),
  Flag('table', ['cells'], 'of cells, left_out'),
  Flag('seeds', 5, 'draws of labels', low=1),
  Flag('without', list(evidence.OFF), 'evidences that are off'),
)  # fmt: skip
TIME = 'chronological'
CELLS = (  # system, split, normals, anomalies
  ('bgl', 'random', '30%', (0, 3, 24)),
  ('bgl', 'random', '0.1%', (0, 3, 24)),
  ('hdfs', 'random', '10%', (0, 4, 35, 175)),
  ('hdfs', 'random', '0.1%', (0, 4, 35)),
  ('hdfs', TIME, '10%', (0, 4, 35)),
  ('hdfs', TIME, '30%', (0, 4, 35)),
  ('openstack', 'random', '10', (0, 1, 5, 10)),
)
LEFT_OUT = tuple(
  (name, 'random', str(num), (num,))
  for num in (1, 5, 10, 20)
  for name in ('hdfs', 'bgl', 'openstack', 'cinder')
)
TABLES = {'cells': CELLS, 'left_out': LEFT_OUT}
NO_VECTORS = ('lr_vectors', 'lr_vectors_pooled')  # floors that need event vectors


def cell(
  system: types.System, kind: str, num: tuple[str, int], seed: int, without: tuple
):
  """name -> (F1, AUPRC, F1 of the unseen) of `evidence` and of every floor."""
  split = splits.split(system, kind, *num, seed)
  train = np.concatenate([split.train_normals, split.train_anomalies])
  labels = np.full(system.sessions.num, -1, np.int8)
  labels[train] = system.sessions.labels[train]
  blind = system.sessions._replace(labels=labels)
  sessions = blind.take(np.concatenate([train, split.test]))
  _, different = kinds.fit(sessions, len(system.templates))
  samples = [
    evidence.Sample.of(
      different.counts, different.times(sessions.labels == label), different.beside
    )
    for label in (0, 1, -1)
  ]
  fitted = evidence.fit(*samples, later=kind == TIME, without=without)
  each = fitted.judge(different.counts, different.beside).scores
  scored = {'evidence': (each[different.inverse[len(train) :]], fitted.threshold)}
  vectors = np.zeros((len(system.templates), 1), np.float32)
  shown, tested = (
    types.Dataset('', blind.take(part), vectors) for part in (train, split.test)
  )
  scored |= floors.scores(shown, tested)
  test = system.sessions.take(split.test)
  out = {}
  for name, (scores, threshold) in scored.items():
    if name not in NO_VECTORS:
      got = metrics.by_kind(test, scores, threshold, shown.sessions)
      out[name] = [
        got['all']['f1'], got['all']['auprc'], got['unseen']['f1'] or 0.0
      ]  # fmt: skip
  return out


def line(cells: list[dict[str, list[float]]]) -> tuple[str, float, float]:
  """A row of the table; F1 of `evidence` and of the best floor."""
  mean = {name: np.mean([c[name] for c in cells], 0) * 100 for name in cells[0]}
  f1, auprc, unseen = mean.pop('evidence')
  worst = 100 * min(c['evidence'][0] for c in cells)
  fixed = next(name for name in floors.PICKED if name in mean)
  best = max(mean, key=lambda name: mean[name][0])
  row = (
    f'{f1:.1f} ({worst:.1f}) / {auprc:.1f} / {unseen:.1f} | {mean[fixed][0]:.1f} '
    f'`{fixed}` | {mean[best][0]:.1f} `{best}`'
  )
  return row, f1, mean[best][0]


def main(values: Any, rest: list[str]) -> None:
  """Prints Markdown tables."""
  del rest
  for table in values.table:
    print('| target, normals + anomalies | evidence | fixed floor | best floor |')
    print('|---|---|---|---|', flush=True)
    by_number: dict[int, list[tuple[float, float]]] = {}
    for name, kind, normals, numbers in TABLES[table]:
      system = store.load(pathlib.Path(values.systems) / name)
      for num in numbers:
        cells = [
          cell(system, kind, (normals, num), seed, tuple(values.without))
          for seed in range(values.seeds)
        ]
        row, *pair = line(cells)
        by_number.setdefault(num, []).append((pair[0], pair[1]))
        when = ', in time order' if kind == TIME else ''
        print(f'| {name} {normals} + {num}{when} | {row} |', flush=True)
    if table == 'left_out':
      for num, pairs in by_number.items():
        f1, best = np.mean(pairs, axis=0)
        print(
          f'| mean of {len(pairs)} systems, {num} a class | {f1:.1f} | | {best:.1f} |'
        )


if __name__ == '__main__':
  program.run()
