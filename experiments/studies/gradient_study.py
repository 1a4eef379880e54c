"""How far each mode of the meta-gradient is from the exact one.

Measured along a training, and over a grid of inner loops. All figures are records, of
which meta_gradients.json is made and `gradient_report` makes its tables.
"""

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benches import bench_machine
from experiments.studies import gradient_distances as distances
from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.meta import inner, mesh
from metalog_jax.runs import problem as problems
from metalog_jax.runs import run as runs
from metalog_jax.training import base

FILE = 'meta_gradients.json'
STRIDE = 97  # steps between the tasks looked at: epochs draw parts of a source anew
Record = dict[str, Any]


class Probe(NamedTuple):
  """A detector on its data."""

  job: runs.Job
  detector: base.Detector
  problem: problems.Problem

  @property
  def config(self) -> inner.MetaConfig:
    """The meta-objective of the detector."""
    return self.detector.training.objective[1]


class Point(NamedTuple):
  """Parameters to look at."""

  name: str
  step: int  # meta-steps that led there
  params: Any  # numpy


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
  probe = make_probe(job)
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
  for point in trained(probe, plan.train_steps):
    points.append(point)
    results['along'] += measure(point, probe.config, plan.modes)
  atomic.write_json(out / FILE, results)
  if plan.inner_lrs:
    results['grid'] = _over_grid(probe, plan, [points[0], *points[1:][-1:]])
    atomic.write_json(out / FILE, results)
  return results


def _check(probe: Probe, plan: Plan) -> None:
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


def _settings(probe: Probe, plan: Plan) -> dict[str, Any]:
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


def _measurer(probe: Probe, num_tasks: int) -> Callable[..., list[Record]]:
  """Makes measure(point, config, names) -> records, always on the same tasks."""
  compiled = distances.make_measure(make_loss(probe))
  tasks = draw_tasks(probe, num_tasks)

  def measure(
    point: Point, config: inner.MetaConfig, names: Sequence[str]
  ) -> list[Record]:
    _say(f'looking at {point.name}: {", ".join(names)}')
    of_tasks = [compiled(point.params, task, config, names) for task in tasks]
    place = {'at': point.name, 'step': point.step}
    place |= {'inner_steps': config.inner_steps, 'inner_lr': config.inner_lr}
    return [place | record for record in _records(of_tasks)]

  return measure


def _over_grid(probe: Probe, plan: Plan, points: Sequence[Point]) -> list[Record]:
  """Some modes for every inner learning rate and number of inner steps.

  The parameters are the points', whatever inner loop they were trained with.
  """
  records: list[Record] = []
  for steps in plan.inner_steps:
    shown = with_settings(probe, inner_steps=steps)
    measure = _measurer(shown, plan.grid_tasks)
    for rate, point in itertools.product(plan.inner_lrs, points):
      config = with_settings(shown, inner_lr=rate).config
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


def make_probe(job: runs.Job) -> Probe:
  """Loads the data and makes the detector.

  Raises:
    UserError: the detector takes no meta-gradient, or the data are unfit.
  """
  module = registry.get(job.detector)
  detector = module.make_detector(job.method)
  objective = detector.training and detector.training.objective
  if objective is None or not objective[1].inner_steps:
    raise errors.UserError(
      f'--detector={job.detector} with these settings has no inner steps, so its '
      'gradient can be taken in one way only'
    )
  needs = module.needs(job.method)
  problem = problems.make_problem(job.data, job.method.embedding, needs)
  return Probe(job, detector, problem)


def with_settings(probe: Probe, **changes: Any) -> Probe:
  """The same data under other settings of the method."""
  method = flags.replace(probe.job.method, **changes)
  detector = registry.get(probe.job.detector).make_detector(method)
  return Probe(dataclasses.replace(probe.job, method=method), detector, probe.problem)


def make_loss(probe: Probe) -> Callable[[Any, Any], jax.Array]:
  """loss_fn(params, batch): of batches with a leading axis over devices, on one."""
  loss_fn = probe.detector.training.objective[0]
  rows = jax.vmap(loss_fn, in_axes=(None, 0), axis_name=mesh.ROWS)
  return lambda params, batch: rows(params, batch)[0]  # added up: all are the same


def draw_tasks(probe: Probe, num: int) -> list[types.Task]:
  """Tasks that training would meet after its last step, far apart from each other."""
  stream = probe.detector.training.batches(probe.problem.train, probe.job.data.seed)

  def draw(step: int) -> types.Task:
    """Leaves [1, D, K, ...] of the support become [K, D, ...], the query's [D, ...]."""
    support, query = jax.tree.map(lambda x: x[0], stream.draw(step))
    return types.Task(jax.tree.map(lambda x: np.moveaxis(x, 1, 0), support), query)

  return [draw(stream.num_steps + i * STRIDE) for i in range(num)]


def trained(probe: Probe, steps: Sequence[int]) -> Iterator[Point]:
  """The parameters after so many steps, rising, of a training that is made here.

  It is that of `train`, but nothing is validated or saved.
  """
  training, seed = probe.detector.training, probe.job.data.seed
  state = probe.detector.init(jax.random.key(seed), probe.problem.train)
  stream = training.batches(probe.problem.train, seed)
  done = 0
  for stop in steps:
    while done < stop:
      state, values = training.step(state, training.put(stream.draw(done)))
      jax.block_until_ready(values)  # hundreds in flight could wait for each other
      done += 1
    name = f'step {stop}' if stop else 'initial weights'
    yield Point(name, stop, jax.device_get(state.params))


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
