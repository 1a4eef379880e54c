"""How far each mode of the meta-gradient is from the exact one.

Measured along a training, and over a grid of inner loops. All figures are records, of
which meta_gradients.json is made and `gradient_report` makes its tables.
"""

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from experiments.benches import machine as bench_machine
from experiments.studies import gradient_distances as distances
from experiments.studies import probe as probes
from metalog_jax import atomic, errors
from metalog_jax.meta import inner
from metalog_jax.runs import run as runs

FILE = 'meta_gradients.json'
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to measure."""

  modes: tuple[str, ...] = ()  # of `gradient_distances.modes`; empty: all
  tasks: int = 8
  train_steps: tuple[int, ...] = (0,)  # rising
  inner_lrs: tuple[float, ...] = ()  # of the grid; empty: no grid
  inner_steps: tuple[int, ...] = (1, 5, 10)
  grid_modes: tuple[str, ...] = (distances.FIRST,)
  grid_tasks: int = 4


def run(job: runs.Job, plan: Plan, out: pathlib.Path) -> dict[str, Any]:
  """Measures all that `plan` says, and writes `FILE` into `out` as it goes.

  The grid is looked at with the first and the last of the parameters.

  Returns:
    {'settings', 'machine', 'along', 'grid'}; the last two are records.

  Raises:
    UserError: settings or data are unfit.
  """
  probe = probes.make(job)
  _check(probe, plan)
  plan = dataclasses.replace(
    plan, modes=plan.modes or tuple(distances.modes(probe.config))
  )
  results: dict[str, Any] = {
    'settings': _settings(probe, plan),
    'machine': bench_machine.describe(),
    **{'along': [], 'grid': []},
  }
  points, measure = [], _measurer(probe, plan.tasks)
  for point in probes.trained(probe, plan.train_steps):
    points.append(point)
    results['along'] += measure(point, probe.config, plan.modes)
  atomic.write_json(out / FILE, results)
  if plan.inner_lrs:
    results['grid'] = _over_grid(probe, plan, [points[0], *points[1:][-1:]])
    atomic.write_json(out / FILE, results)
  return results


def _check(probe: probes.Probe, plan: Plan) -> None:
  """Refuses, before anything is measured, what would fail after a long time."""
  if not plan.train_steps:
    raise errors.UserError('--train_steps is empty: no parameters to look at')
  if plan.inner_lrs and min(*plan.inner_steps, *plan.inner_lrs) <= 0:
    raise errors.UserError('--inner_lrs and --inner_steps of the grid must be positive')
  most = max((1, *plan.inner_steps))
  longest = dataclasses.replace(probe.config, inner_steps=most)
  for flag, names, choices in (
    ('--modes', plan.modes, distances.modes(probe.config)),
    ('--grid_modes', plan.grid_modes, distances.modes(longest)),
  ):
    for name in names:
      if name not in choices:
        raise errors.unknown_choice(flag, name, choices)


def _settings(probe: probes.Probe, plan: Plan) -> dict[str, Any]:
  job = probe.job
  return {
    'detector': job.detector,
    'preset': job.preset,
    'source': [pathlib.Path(folder).name for folder in job.data.source],
    'target': pathlib.Path(job.data.target).name or None,
    'inner_lr': probe.config.inner_lr,
    'inner_steps': probe.config.inner_steps,
    'seed': job.data.seed,
    'tasks': plan.tasks,
    'grid_tasks': plan.grid_tasks,
    'reference': distances.REFERENCE,
    'method': dataclasses.asdict(job.method),
    'data': dataclasses.asdict(job.data),
  }


def _measurer(probe: probes.Probe, num_tasks: int) -> Callable[..., list[Record]]:
  """Makes measure(point, config, names) -> records, always on the same tasks."""
  compiled = distances.make_measure(probes.loss(probe))
  tasks = probes.tasks(probe, num_tasks)

  def measure(
    point: probes.Point, config: inner.MetaConfig, names: Sequence[str]
  ) -> list[Record]:
    _say(f'looking at {point.name}: {", ".join(names)}')
    of_tasks = [compiled(point.params, task, config, names) for task in tasks]
    place = {'at': point.name, 'step': point.step}
    place |= {'inner_steps': config.inner_steps, 'inner_lr': config.inner_lr}
    return [place | record for record in _records(of_tasks)]

  return measure


def _over_grid(
  probe: probes.Probe, plan: Plan, points: Sequence[probes.Point]
) -> list[Record]:
  """Some modes for every inner learning rate and number of inner steps.

  The parameters are the points', whatever inner loop they were trained with.
  """
  records: list[Record] = []
  for steps in plan.inner_steps:
    shown = probes.with_settings(probe, inner_steps=steps)
    measure = _measurer(shown, plan.grid_tasks)
    for rate, point in itertools.product(plan.inner_lrs, points):
      config = probes.with_settings(shown, inner_lr=rate).config
      names = [name for name in plan.grid_modes if name in distances.modes(config)]
      records += measure(point, config, names)
  return [record for record in records if record['part'] == distances.ALL]


def _records(of_tasks: list[dict[str, dict[str, distances.Distance]]]) -> list[Record]:
  """{'mode', 'part', and each figure of a Distance as a list of the tasks' values}."""
  return [
    {'mode': mode, 'part': part}
    | {
      figure: [getattr(distance[mode][part], figure) for distance in of_tasks]
      for figure in distances.Distance._fields
    }
    for mode, parts in of_tasks[0].items()
    for part in parts
  ]


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
