"""LogMeta at a new system: time to adapt to its few labels, and to score one session.

`adapt_*`: what starts the clock is 10 labelled sessions of each class in memory, with
the vectors of their events at hand; what stops it are the weights after 10 steps of
gradient descent on them. `window_*`: the clock runs from a session's event ids to its
score, one session a call. Sorting, merging, padding and copying are inside. The weights
are random, in the size of LogMeta's: the work does not depend on them.
"""

from typing import Any, NamedTuple

import numpy as np

from experiments.benches import machine, meta_step, suite, turns, variants, workloads
from metalog_jax import types
from metalog_jax.batches import sequences

PACKAGES = meta_step.PACKAGES
SAMPLES = 10
DRAWS = 5  # different labels, in turn
COLLAPSE, MAX_EVENTS = 2, 96  # as LogMeta reads sessions by default


class Workload(NamedTuple):
  """A system and a network; the defaults are LogMeta's."""

  system: str  # of `profiles.json`, or of `workloads.SYNTHETIC`
  windows: int = 0  # sessions scored one by one in a run; 0: it is adapted to
  hidden: int = 256  # of one direction
  dim: int = 384  # a sentence encoder's
  shots: int = 10  # labelled sessions of each class
  steps: int = 10
  rate: float = 1e-2


WORKLOADS = {
  'adapt_hdfs': Workload('hdfs'),
  'adapt_bgl': Workload('bgl'),
  'window_hdfs': Workload('hdfs', 100),
  'window_bgl': Workload('bgl', 100),
  'adapt_tiny': Workload('tiny', 0, 3, 4, 5, 3, 0.1),
  'window_tiny': Workload('tiny', 10, 3, 4),
}
DEFAULT = ('adapt_hdfs', 'adapt_bgl', 'window_hdfs', 'window_bgl')


def _table(*hows: str) -> dict[str, variants.Variant]:
  torch = {how: variants.Variant('torch', how) for how in hows}
  return {'ours': variants.Variant('jax', 'ours')} | torch


ADAPT = _table('nn.LSTM packed', 'nn.LSTM padded, each way by itself')
WINDOW = _table('nn.LSTM', 'nn.LSTM, 1 thread')
VARIANTS = ADAPT | WINDOW


def dataset(workload: Workload, folders: dict[str, str]) -> types.Dataset:
  """The system with random event vectors."""
  folder = folders.get(workload.system, '')
  return workloads.dataset(workload.system, workload.dim, folder)


def labelled(workload: Workload, data: types.Dataset, draw: int) -> types.Dataset:
  """So many sessions of each class, and no other."""
  rng, labels = np.random.default_rng([4, draw]), data.sessions.labels
  chosen = [
    rng.choice(np.flatnonzero(labels == label), workload.shots, replace=False)
    for label in (0, 1)
  ]
  return data._replace(sessions=data.sessions.take(np.concatenate(chosen)))


def windows(workload: Workload, data: types.Dataset) -> list[types.Dataset]:
  """Sessions of the system, each by itself."""
  rng = np.random.default_rng(5)
  chosen = rng.choice(data.sessions.num, workload.windows, replace=False)
  take = lambda i: data._replace(sessions=data.sessions.take(np.array([i])))
  return [take(i) for i in chosen]


def read(sessions: types.Sessions) -> list[np.ndarray]:
  """The events [L] that are read of each."""
  rows = np.split(sessions.events, sessions.offsets[1:-1])
  return [row[sequences.kept(row, COLLAPSE, MAX_EVENTS)] for row in rows]


def build(spec: dict[str, Any]) -> variants.Runner:
  """In the process of one variant."""
  workload, variant = WORKLOADS[spec['workload']], variants.Variant(**spec['variant'])
  if variant.framework == 'jax':
    from experiments.benches import adaptation_jax as module
  else:
    variants.use_torch()
    from experiments.benches import adaptation_torch as module
  data = dataset(workload, spec['folders'])
  if not workload.windows:
    targets = [labelled(workload, data, draw) for draw in range(DRAWS)]
    return _adapting(module.adapt(workload, variant, data), targets)
  return _scoring(module.score(workload, variant, data), windows(workload, data))


def _adapting(adapt, targets: list[types.Dataset]) -> variants.Runner:
  """Takes the targets in turn; the answer is how far the first moves each weight."""
  first: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    moved = adapt(targets[i % len(targets)])
    if not first:
      first.update(moved())

  return variants.Runner(run, lambda: first)


def _scoring(score, alone: list[types.Dataset]) -> variants.Runner:
  """Scores all of them, one a call."""
  scores = np.zeros(len(alone))
  watch = machine.Stopwatch()

  def run(_: int) -> None:
    for i, data in enumerate(alone):
      with watch:
        scores[i] = score(data)

  return variants.Runner(run, lambda: {'scores': scores.copy()}, watch.figures)


def _finish(row: suite.Row, facts: suite.Row, answer: dict) -> suite.Row:
  row['answer_error'] = row.pop('gradient_error')
  named = {'ms_per_session': None, 'window_median_ms': None, 'window_p99_ms': None}
  row |= named | facts.get('more', {})
  if 'scores' in answer and row['median_ms']:
    row['ms_per_session'] = round(row['median_ms'] / len(answer['scores']), 4)
  return row


SUITE = suite.Suite(
  'adaptation',
  DEFAULT,
  lambda workload: WINDOW if WORKLOADS[workload].windows else ADAPT,
  _finish,
  ('vs_best_torch',),
  DRAWS,
  ('ours',),
)


def run(options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload."""
  return suite.run(SUITE, options)
