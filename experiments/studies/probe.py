"""What a study looks at: a detector's objective, real tasks of it, its parameters.

Enters: a job, as `train` would run it. Leaves: the objective as a loss of a whole batch
on one device, however many the detector trains on.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.meta import inner, mesh
from metalog_jax.runs import problem as problems
from metalog_jax.runs import run as runs
from metalog_jax.training import base

STRIDE = 97  # steps between the tasks looked at: epochs draw parts of a source anew


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


def make(job: runs.Job) -> Probe:
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
  problem = problems.make(job.data, job.method.embedding, needs)
  return Probe(job, detector, problem)


def with_settings(probe: Probe, **changes: Any) -> Probe:
  """The same data under other settings of the method."""
  method = flags.replace(probe.job.method, **changes)
  detector = registry.get(probe.job.detector).make_detector(method)
  return Probe(dataclasses.replace(probe.job, method=method), detector, probe.problem)


def loss(probe: Probe) -> Callable[[Any, Any], jax.Array]:
  """loss_fn(params, batch): of batches with a leading axis over devices, on one."""
  loss_fn = probe.detector.training.objective[0]
  rows = jax.vmap(loss_fn, in_axes=(None, 0), axis_name=mesh.ROWS)
  return lambda params, batch: rows(params, batch)[0]  # added up: all are the same


def tasks(probe: Probe, num: int) -> list[types.Task]:
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
      state, _ = training.step(state, training.put(stream.draw(done)))
      done += 1
    name = f'step {stop}' if stop else 'initial weights'
    yield Point(name, stop, jax.device_get(state.params))
