"""What is studied: a detector's objective, real tasks of its stream, its parameters.

Enters: a job, as `experiments.train` would run it. Leaves: the objective as a loss of
a whole batch on one device, however many the detector trains on.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import errors, types
from metalog_jax.detectors import registry
from metalog_jax.meta import inner, mesh
from metalog_jax.runs import problem as transfer
from metalog_jax.runs import run as job
from metalog_jax.training import base, checkpoints

APART = 97  # steps between the tasks looked at: epochs draw parts of a source anew


class Subject(NamedTuple):
  """A detector on its data."""

  job: job.Job
  detector: base.Detector
  problem: transfer.Problem

  @property
  def config(self) -> inner.MetaConfig:
    return self.detector.objective[1]


class Point(NamedTuple):
  """Parameters to look at."""

  name: str
  step: int  # meta-steps that led there
  params: Any  # numpy


def make(chosen: job.Job) -> Subject:
  """Loads the data and makes the detector.

  Raises:
    UserError: the detector takes no meta-gradient, or the data are unfit.
  """
  module = registry.get(chosen.detector)
  detector = module.make(chosen.method)
  if detector.objective is None or not detector.objective[1].inner_steps:
    raise errors.UserError(
      f'--detector={chosen.detector} with these settings has no inner steps, so its '
      'gradient can be taken in one way only'
    )
  needs = registry.needs(module, chosen.method)
  problem = transfer.make(chosen.data, chosen.method.embedding, needs)
  return Subject(chosen, detector, problem)


def with_settings(subject: Subject, **change: Any) -> Subject:
  """The same data under other settings of the method."""
  method = dataclasses.replace(subject.job.method, **change)
  detector = registry.get(subject.job.detector).make(method)
  chosen = dataclasses.replace(subject.job, method=method)
  return Subject(chosen, detector, subject.problem)


def loss(subject: Subject) -> Callable[[Any, Any], jax.Array]:
  """loss_fn(params, batch): of batches with a leading axis over devices, on one."""
  loss_fn = subject.detector.objective[0]
  rows = jax.vmap(loss_fn, in_axes=(None, 0), axis_name=mesh.ROWS)
  return lambda params, batch: rows(params, batch)[0]  # added up: all are the same


def tasks(subject: Subject, num: int) -> list[types.Task]:
  """Tasks that training would meet after its last step, far apart from each other."""
  seed = subject.job.data.seed
  stream = subject.detector.batches(subject.problem.train, seed)
  return [_one(stream.draw(stream.num_steps + i * APART)) for i in range(num)]


def _one(drawn: types.Task) -> types.Task:
  """Leaves [1, D, K, ...] of the support become [K, D, ...], the query's [D, ...]."""
  support, query = jax.tree.map(lambda x: x[0], drawn)
  return types.Task(jax.tree.map(lambda x: np.moveaxis(x, 1, 0), support), query)


def initial(subject: Subject) -> Any:
  """The state before the first step."""
  seed = subject.job.data.seed
  return subject.detector.init(jax.random.key(seed), subject.problem.train)


def trained(
  subject: Subject, steps: Sequence[int], tick: Callable[[], Any] = lambda: None
) -> Iterator[Point]:
  """The parameters after so many steps of a training that is made here.

  It is that of `experiments.train`, but nothing is validated or kept.

  Args:
    steps: rising.
    tick: called after each step.
  """
  state, detector = initial(subject), subject.detector
  stream = detector.batches(subject.problem.train, subject.job.data.seed)
  done = 0
  for stop in steps:
    while done < stop:
      state, _ = detector.step(state, detector.put(stream.draw(done)))
      done += 1
      tick()
    name = f'step {stop}' if stop else 'initial weights'
    yield Point(name, stop, jax.device_get(state.params))


def saved(subject: Subject, workdir: pathlib.Path) -> list[Point]:
  """The best and the last parameters of a run, from its newest checkpoint."""
  manager = checkpoints.Checkpoints(workdir / 'checkpoints')
  progress = manager.restore(checkpoints.start(initial(subject)))
  manager.close()
  if progress is None:
    raise errors.UserError(f'--model={workdir} has no checkpoint')
  best, last = int(progress.best_step), int(progress.step)
  points = [Point(f'best, step {best}', best, progress.best_state.params)]
  if last != best:
    points.append(Point(f'last, step {last}', last, progress.state.params))
  return [p._replace(params=jax.device_get(p.params)) for p in points]
