"""`evidence` beside every floor, cell by cell: the tables of docs/evidence.md.

  python -m experiments.evidence_cells --systems=systems --table=cells,left_out
  python -m experiments.evidence_cells --table=families  # simulated, needs no System

A cell is a system, so many labels, and how the sessions are split. Prints mean (worst)
F1 over seeds, AUPRC, F1 of sequences that no labelled session has; the floor that is
fixed beforehand by which labels there are, and the one that is best on the test. Of
the families, a row is the mean over so many systems, with 30, 100 and 30 % of the
normals: F1 of `evidence`, and of the best floor of every system and number of normals.
"""

import pathlib
from typing import Any

import numpy as np

from experiments import main as program
from experiments.studies import families
from metalog_jax import evidence, types
from metalog_jax.cli.options import Flag
from metalog_jax.evaluation import floors, metrics
from metalog_jax.evidence import kinds
from metalog_jax.logs import splits, store

FLAGS = (
  Flag('systems', 'systems', 'folder with the Systems hdfs, bgl, openstack, cinder'),
  Flag('table', ['cells'], 'tables to print', ('cells', 'left_out', 'families')),
  Flag('seeds', 5, 'draws of labels', low=1),
  Flag('without', list(evidence.OFF), 'evidences that are off', evidence.NAMES),
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
FAMILY_NORMALS = ('30', '100', '30%')
FAMILY_ANOMALIES = (0, 1, 5, 10, 20)
NO_VECTORS = ('lr_vectors', 'lr_vectors_pooled')  # floors that need event vectors


class Cell:
  """A system whose labels are drawn and whose other sessions are the test."""

  def __init__(self, system: types.System, kind: str, num: tuple[str, int], seed: int):
    split = splits.split(system, kind, *num, seed)
    train = np.concatenate([split.train_normals, split.train_anomalies])
    self.shown = system.sessions.take(train)
    self.test = system.sessions.take(split.test)
    self.blind = self.test._replace(labels=np.full(self.test.num, -1, np.int8))
    sessions = self.shown.joined(self.blind)
    _, self._kinds = kinds.fit(sessions, len(system.templates))
    self._tested = self._kinds.inverse[len(train) :]
    self._samples = [
      evidence.Sample.of(
        self._kinds.counts,
        self._kinds.times(sessions.labels == label),
        self._kinds.beside,
      )
      for label in (0, 1, -1)
    ]

  def judged(self, **options: Any) -> tuple[np.ndarray, float]:
    """Scores of the test by `evidence.fit` with these options, and its threshold."""
    fitted = evidence.fit(*self._samples, **options)
    scores = fitted.judge(self._kinds.counts, self._kinds.beside).scores
    return scores[self._tested], fitted.threshold


def measured(
  system: types.System, kind: str, num: tuple[str, int], seed: int, without: tuple
) -> dict[str, list[float]]:
  """name -> [F1, AUPRC, F1 of the unseen] of `evidence` and of every floor."""
  cell = Cell(system, kind, num, seed)
  scored = {'evidence': cell.judged(later=kind == TIME, without=without)}
  vectors = np.zeros((len(system.templates), 1), np.float32)
  shown, test = (types.Dataset('', x, vectors) for x in (cell.shown, cell.blind))
  scored |= floors.scores(shown, test)
  out = {}
  for name, (scores, threshold) in scored.items():
    if name not in NO_VECTORS:
      got = metrics.by_kind(cell.test, scores, threshold, cell.shown)
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


def family_rows(seeds: int, without: tuple) -> None:
  """Prints the table of simulated families; every seed is a system, and its labels."""
  print('| family |', ' | '.join(map(str, FAMILY_ANOMALIES)), '|')
  print('|---|', '--:|' * len(FAMILY_ANOMALIES), sep='', flush=True)
  every = []
  for family in families.FAMILIES:
    pairs = np.zeros((len(FAMILY_ANOMALIES), 2))
    for seed in range(seeds):
      system = families.system(family, seed)
      for place, anomalies in enumerate(FAMILY_ANOMALIES):
        for normals in FAMILY_NORMALS:
          cell = measured(system, 'random', (normals, anomalies), seed, without)
          f1 = cell.pop('evidence')[0]
          pairs[place] += f1, max(score for score, *_ in cell.values())
    every.append(100 * pairs / seeds / len(FAMILY_NORMALS))
    print(f'| {family.__name__} |', _pairs(every[-1]), flush=True)
  print('| mean |', _pairs(np.mean(every, axis=0)))


def _pairs(values: np.ndarray) -> str:
  return ' '.join(f'{f1:.1f} / {best:.1f} |' for f1, best in values)


def main(values: Any, rest: list[str]) -> None:
  """Prints Markdown tables."""
  del rest
  for table in values.table:
    if table == 'families':
      family_rows(values.seeds, tuple(values.without))
      continue
    print('| target, normals + anomalies | evidence | fixed floor | best floor |')
    print('|---|---|---|---|', flush=True)
    by_number: dict[int, list[tuple[float, float]]] = {}
    for name, kind, normals, numbers in TABLES[table]:
      system = store.load(pathlib.Path(values.systems) / name)
      for num in numbers:
        cells = [
          measured(system, kind, (normals, num), seed, tuple(values.without))
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
