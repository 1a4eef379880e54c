"""The measurements: along training, over a grid of inner loops, and what ways cost.

Every function returns plain dicts, which meta_gradients.json is made of.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax

from experiments.studies import subject as subjects
from metalog_jax import machine
from metalog_jax.meta import compare, costs, study

MEASURES = compare.Distance._fields


def along(
  subject: subjects.Subject,
  points: Iterable[subjects.Point],
  ways: Sequence[str],
  num_tasks: int,
  tick: Callable[[], Any] = lambda: None,
) -> Iterator[tuple[subjects.Point, dict[str, Any]]]:
  """Some ways at every point: (point, {'at', 'step', 'ways': way -> part -> measure}).

  Args:
    points: parameters to look at.
    ways: keys of `study.variants`.
    num_tasks: how many tasks, the same at every point.
    tick: called after each gradient that was compared.
  """
  measure = study.apart(subjects.loss(subject))
  tasks = subjects.tasks(subject, num_tasks)
  for point in points:
    found = [measure(point.params, t, subject.config, ways, tick) for t in tasks]
    yield point, {'at': point.name, 'step': point.step, 'ways': _over_tasks(found)}


def grid(
  subject: subjects.Subject,
  points: Sequence[subjects.Point],
  rates: Sequence[float],
  steps: Sequence[int],
  ways: Sequence[str],
  num_tasks: int,
  tick: Callable[[], Any] = lambda: None,
) -> Iterator[dict[str, Any]]:
  """Some ways for every inner learning rate and number of inner steps.

  The parameters are the points', whatever inner loop they were trained with.
  """
  for num in steps:
    shown = subjects.with_settings(subject, inner_steps=num)
    measure = study.apart(subjects.loss(shown))
    tasks = subjects.tasks(shown, num_tasks)
    for rate in rates:
      config = subjects.with_settings(shown, inner_lr=rate).config
      known = [way for way in ways if way in study.variants(config)]
      for point in points:
        found = [measure(point.params, t, config, known, tick) for t in tasks]
        yield {
          'at': point.name,
          'inner_lr': rate,
          'inner_steps': num,
          'ways': _over_tasks(found),
        }


def cost(
  subject: subjects.Subject,
  ways: Sequence[str],
  tick: Callable[[], Any] = lambda: None,
) -> dict[str, dict[str, Any]]:
  """What the meta-step of some ways costs, compiled afresh; see `costs.Cost`."""
  seed, found = subject.job.data.seed, {}
  settings = _settings(subject)
  for name in ways:
    detector = subjects.with_settings(subject, **settings[name]).detector
    batch = detector.put(detector.batches(subject.problem.train, seed).draw(0))
    state = detector.init(jax.random.key(seed), subject.problem.train)
    with machine.without_compilation_cache():
      found[name] = costs.explain(detector.step, state, batch)._asdict()
    found[name]['load'] = round(os.getloadavg()[0], 1)  # others' work slows this one
    tick()
  return found


def _settings(subject: subjects.Subject) -> dict[str, dict[str, Any]]:
  """Each way as settings of the detector."""
  fields = ('order', 'gradient', 'truncate', 'proximal')
  return {
    name: {field: getattr(config, field) for field in fields}
    for name, config in study.variants(subject.config).items()
  }


def _over_tasks(found: list[dict[str, dict[str, compare.Distance]]]) -> dict[str, Any]:
  """One dict a task -> way -> part -> measure -> mean, std and each task's value."""
  return {
    way: {
      part: {
        field: _spread([getattr(one[way][part], field) for one in found])
        for field in MEASURES
      }
      for part in found[0][way]
    }
    for way in found[0]
  }


def _spread(values: list[float]) -> dict[str, Any]:
  """Sample standard deviation; None where it, or a value, has no meaning."""
  known = [v for v in values if math.isfinite(v)]
  return {
    'mean': statistics.fmean(known) if known else None,
    'std': statistics.stdev(known) if len(known) > 1 else None,
    'each': [v if math.isfinite(v) else None for v in values],
  }
