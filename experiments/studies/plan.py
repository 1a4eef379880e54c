"""The whole study: what is measured in which order, written as it comes."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from experiments.benches import machine
from experiments.studies import measures, outcome, report, subject
from metalog_jax import errors
from metalog_jax.meta import study
from metalog_jax.runs import run as job


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to measure."""

  model: pathlib.Path | None = None  # whose checkpoint to look at
  ways: tuple[str, ...] = ()  # of `study.variants`; empty: all
  tasks: int = 8
  train_steps: tuple[int, ...] = (0,)  # rising
  inner_lrs: tuple[float, ...] = ()  # of the grid; empty: no grid
  inner_steps: tuple[int, ...] = (1, 5, 10)
  grid_ways: tuple[str, ...] = (study.FIRST,)
  grid_tasks: int = 4
  costs: bool = True
  seeds: int = 0  # trainings to the end, in each of the orders
  orders: tuple[str, ...] = ('first', 'second')


def run(chosen: job.Job, plan: Plan, out: pathlib.Path) -> dict[str, Any]:
  """Measures all that `plan` says; what meta_gradients.json holds.

  The grid is looked at with the first and the last of the parameters.

  Raises:
    UserError: settings or data are unfit.
  """
  about = subject.make(chosen)
  _check(about, plan)
  out.mkdir(parents=True, exist_ok=True)
  found = _head(about, plan)
  points = _look_along(about, plan, found)
  report.write_json(found, out)
  if plan.inner_lrs:
    found['grid'] = _look_over(about, plan, [points[0], *points[1:][-1:]])
    report.write_json(found, out)
  if plan.costs:
    with _bar('costs', len(_ways(about, plan))) as tick:
      found['costs'] = measures.cost(about, _ways(about, plan), tick)
    report.write_json(found, out)
  if plan.seeds:
    found['outcome'] = outcome.run(chosen, plan.orders, plan.seeds, out / 'runs', _say)
  return found


def _look_along(about, plan, found) -> list[subject.Point]:
  points = []
  num = len(plan.train_steps) + (2 if plan.model else 0)
  with _bar('gradients', plan.tasks * num * len(_ways(about, plan))) as tick:
    over = (_ways(about, plan), plan.tasks)
    for point, row in measures.along(about, _points(about, plan), *over, tick):
      points.append(point)
      found['along'].append(row)
  return points


def _look_over(about, plan, points) -> list[dict[str, Any]]:
  cells = len(points) * len(plan.inner_lrs) * len(plan.inner_steps)
  with _bar('grid', cells * len(plan.grid_ways) * plan.grid_tasks) as tick:
    over = (plan.inner_lrs, plan.inner_steps, plan.grid_ways, plan.grid_tasks)
    return list(measures.grid(about, points, *over, tick))


def _check(about: subject.Subject, plan: Plan) -> None:
  """Before anything is measured: what would fail only after a long time.

  Raises:
    UserError: a setting of the plan has no meaning.
  """
  if not plan.train_steps and not plan.model:
    raise errors.UserError(
      '--train_steps is empty and there is no --model: no parameters'
    )
  if plan.inner_lrs and min(*plan.inner_steps, *plan.inner_lrs) <= 0:
    raise errors.UserError('--inner_lrs and --inner_steps of the grid must be positive')
  most = max((1, *plan.inner_steps))
  known = study.variants(dataclasses.replace(about.config, inner_steps=most))
  for flag, given, choices in (
    ('ways', plan.ways, study.variants(about.config)),
    ('grid_ways', plan.grid_ways, known),
    ('orders', plan.orders, outcome.ORDERS),
  ):
    if unknown := sorted(set(given) - set(choices)):
      raise errors.UserError(
        f'--{flag}={",".join(unknown)}: not one of {", ".join(choices)}'
      )


def _head(about: subject.Subject, plan: Plan) -> dict[str, Any]:
  chosen = about.job
  settings = {
    'detector': chosen.detector,
    'preset': chosen.preset,
    'model': str(plan.model) if plan.model else None,
    'source': [pathlib.Path(folder).name for folder in chosen.data.source],
    'target': pathlib.Path(chosen.data.target).name or None,
    'inner_lr': about.config.inner_lr,
    'inner_steps': about.config.inner_steps,
    'seed': chosen.data.seed,
    'tasks': plan.tasks,
    'grid_tasks': plan.grid_tasks,
    'reference': study.REFERENCE,
    'method': dataclasses.asdict(chosen.method),
    'data': dataclasses.asdict(chosen.data),
  }
  empty = {'along': [], 'grid': [], 'costs': {}, 'outcome': None}
  return {'settings': settings, 'machine': machine.describe(), **empty}


def _points(about: subject.Subject, plan: Plan) -> Iterator[subject.Point]:
  """What training made here comes by, then the model's best and last."""
  with _bar('training', max(plan.train_steps, default=0)) as tick:
    for point in subject.trained(about, plan.train_steps, tick):
      _say(f'looking at {point.name}')
      yield point
  if plan.model:
    yield from subject.saved(about, plan.model)


def _ways(about: subject.Subject, plan: Plan) -> list[str]:
  return [*plan.ways] or list(study.variants(about.config))


@contextlib.contextmanager
def _bar(name: str, total: int) -> Iterator[Callable[[], Any]]:
  """What to call after each of `total` things; shown on a terminal only."""
  _say(f'{name}: {total}')
  with tqdm(total=total, desc=name, disable=None) as bar:
    yield lambda: bar.update()


def _say(text: str) -> None:
  """A plain line where there is no terminal for bars."""
  if not sys.stderr.isatty():
    print(text, file=sys.stderr, flush=True)
