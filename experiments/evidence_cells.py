"""`evidence` beside every floor, cell by cell: the tables of docs/evidence.md.

  python -m experiments.evidence_cells --systems=systems --table=cells,left_out
  python -m experiments.evidence_cells --systems=systems --table=groups --seeds=1
  python -m experiments.evidence_cells --table=families  # simulated, needs no System
  python -m experiments.evidence_cells --systems=systems --table=unlabelled --seeds=2

A cell is a system, so many labels, and how the sessions are split. Prints mean (worst)
F1 over seeds, AUPRC, F1 of sequences that no labelled session has; the floor that is
fixed beforehand by which labels there are, and the one that is best on the test. Of
groups of systems and of simulated families, a row is the mean over systems and seeds,
with 30, 100 and 30 % of the normals: F1 of `evidence`, and of the best floor of every
cell.
"""

import itertools
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from experiments import main as program
from experiments.studies import families
from metalog_jax import errors, evidence, types
from metalog_jax.cli.options import Flag
from metalog_jax.evaluation import floors, metrics
from metalog_jax.evidence import kinds
from metalog_jax.logs import splits, store

FLAGS = (
  Flag('systems', 'systems', 'folder with the Systems hdfs, bgl, openstack, cinder; of '
       '`groups` also bgl100k and ait_fox, ait_harrison, ...'),
  Flag('table', ['cells'], 'tables to print',
       ('cells', 'left_out', 'groups', 'families', 'unlabelled')),
  Flag('seeds', 5, 'draws of labels', low=1),
  Flag('without', list(evidence.OFF), 'evidences that are off, but in `unlabelled`',
       evidence.NAMES),
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
GROUPS = {  # systems of one make
  'HDFS': 'hdfs',
  'BGL': 'bgl',
  'BGL, its first lines': 'bgl100k',
  'OpenStack': 'openstack',
  'OpenStack Cinder': 'cinder',
  'AIT-ADS': 'ait_*',
}
GROUP_NORMALS = ('30', '100', '30%')
GROUP_ANOMALIES = (0, 1, 5, 10, 20)
Group = tuple[str, Iterable[tuple[types.System, int]]]  # name; systems with a seed
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


def group_rows(groups: Iterable[Group], without: tuple) -> None:
  """Prints a row a group, by how many anomalies are labelled."""
  print('| group |', ' | '.join(map(str, GROUP_ANOMALIES)), '|')
  print('|---|', '--:|' * len(GROUP_ANOMALIES), sep='', flush=True)
  every = []
  for name, systems in groups:
    pairs = []  # [systems, numbers of normals, of anomalies, 2]
    for system, seed in systems:
      cells = [
        measured(system, 'random', (normals, anomalies), seed, without)
        for normals, anomalies in itertools.product(GROUP_NORMALS, GROUP_ANOMALIES)
      ]
      f1 = [
        (c.pop('evidence')[0], max(score for score, *_ in c.values())) for c in cells
      ]
      pairs.append(np.reshape(f1, (len(GROUP_NORMALS), len(GROUP_ANOMALIES), 2)))
    every.append(100 * np.mean(pairs, axis=(0, 1)))
    print(f'| {name} |', _pairs(every[-1]), flush=True)
  print('| mean |', _pairs(np.mean(every, axis=0)))


def unlabelled_rows(groups: Iterable[Group]) -> None:
  """Prints a row a group: `evidence` and floors where no label at all is known."""
  print('| group | F1 / AUPRC | best floor |\n|---|--:|--:|', flush=True)
  for name, systems in groups:
    every = []
    for system, _ in systems:
      blind = system.sessions._replace(labels=np.full(system.sessions.num, -1, np.int8))
      _, found = kinds.fit(blind, len(system.templates))
      result = evidence.unlabelled(found.counts, found.times())
      vectors = np.zeros((len(system.templates), 1), np.float32)
      scored = floors.scores(None, types.Dataset('', blind, vectors))
      scored['evidence'] = result.scores[found.inverse], result.threshold
      got = {
        rule: metrics.by_kind(system.sessions, *judged, None)['all']
        for rule, judged in scored.items()
      }
      ours = got.pop('evidence')
      best = max(rule['f1'] for rule in got.values())
      every.append((ours['f1'], ours['auprc'], best))
    f1, auprc, best = 100 * np.mean(every, axis=0)
    print(f'| {name} | {f1:.1f} / {auprc:.1f} | {best:.1f} |', flush=True)


def simulated(seeds: int) -> Iterator[Group]:
  """The families; every seed is a system, and its labels."""
  for family in families.FAMILIES:
    yield family.__name__, ((families.system(family, s), s) for s in range(seeds))


def real(folder: pathlib.Path, seeds: int) -> Iterator[Group]:
  """The systems of GROUPS that stand in a folder."""
  for name, pattern in GROUPS.items():
    systems = [store.load(path) for path in sorted(folder.glob(pattern))]
    if not systems:
      raise errors.UserError(f'--systems={folder} has no {pattern}')
    yield name, ((system, s) for system in systems for s in range(seeds))


def _pairs(values: np.ndarray) -> str:
  return ' '.join(f'{f1:.1f} / {best:.1f} |' for f1, best in values)


def main(values: Any, rest: list[str]) -> None:
  """Prints Markdown tables."""
  del rest
  for table in values.table:
    if table in ('groups', 'families'):
      found = simulated(values.seeds)
      if table == 'groups':
        found = real(pathlib.Path(values.systems), values.seeds)
      group_rows(found, tuple(values.without))
      continue
    if table == 'unlabelled':
      folder = pathlib.Path(values.systems)
      unlabelled_rows(itertools.chain(real(folder, 1), simulated(values.seeds)))
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
