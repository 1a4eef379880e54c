"""LogMeta at a new system: time to adapt to its few labels, and to score one session.

`adapt_*`: what starts the clock is 10 labelled sessions of each class in memory, with
the vectors of their events at hand; what stops it are the weights after 10 steps of
gradient descent on them. `window_*`: the clock runs from a session's event ids to its
score, one session a call. Sorting, merging, padding and copying are inside. The weights
are random, in the size of LogMeta's: the work does not depend on them.
"""

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benches import lstm_workloads, suite, variants
from experiments.benches.variants import Runner, Variant
from metalog_jax import types

PACKAGES, SAMPLES = suite.PACKAGES, suite.SAMPLES
DRAWS = 5  # different labels, in turn
WORKLOADS = lstm_workloads.NEW_SYSTEMS
_OURS = {'ours': Variant('jax', 'ours')}
_torch = lambda *names: {name: Variant('torch', name) for name in names}
ADAPT = _OURS | _torch('nn.LSTM packed', 'nn.LSTM padded, each way by itself')
WINDOW = _OURS | _torch('nn.LSTM', 'nn.LSTM, 1 thread')
VARIANTS = ADAPT | WINDOW


def build(spec: dict[str, Any]) -> Runner:
  """Makes the runner of one variant, in the variant's own process."""
  workload, variant = WORKLOADS[spec['workload']], Variant(**spec['variant'])
  if variant.framework == 'torch':
    variants.use_torch()
  name = variant.framework if variant.how != 'reference' else 'reference'
  module = importlib.import_module(f'experiments.benches.{name}_lstm')
  data = lstm_workloads.dataset(workload, spec['folders'])
  if workload.windows:
    score = module.scorer(workload, variant, data)
    return _score_windows(score, lstm_workloads.windows(workload, data))
  targets = [lstm_workloads.labelled(workload, data, draw) for draw in range(DRAWS)]
  return _adapt_in_turn(module.adapter(workload, variant, data), targets)


def _adapt_in_turn(adapt: Callable, targets: list[types.Dataset]) -> Runner:
  """The answer is how far adapting to the first target moves each weight."""
  first: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    moved = adapt(targets[i % len(targets)])
    if not first:
      first.update(moved())

  return Runner(run, lambda: first)


def _score_windows(score: Callable, windows: list[types.Dataset]) -> Runner:
  """Scores all of them, one a call."""
  scores = np.zeros(len(windows))
  seconds: list[float] = []

  def run(_: int) -> None:
    for i, data in enumerate(windows):
      begin = time.perf_counter()
      scores[i] = score(data)
      seconds.append(time.perf_counter() - begin)

  def figures() -> dict[str, float]:
    middle, last = np.round(np.percentile(seconds, (50, 99)) * 1e3, 4).tolist()
    seconds.clear()
    return {'window_median_ms': middle, 'window_p99_ms': last}

  return Runner(run, lambda: {'scores': scores.copy()}, figures)


SUITE = suite.Suite(
  'adaptation',
  ('adapt_hdfs', 'adapt_bgl', 'window_hdfs', 'window_bgl'),
  lambda workload: WINDOW if WORKLOADS[workload].windows else ADAPT,
  'answer_error',
  ('vs_best_torch',),
  DRAWS,
  ('ours',),
)
run = functools.partial(suite.run, SUITE)
