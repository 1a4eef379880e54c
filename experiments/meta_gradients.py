r"""How far each mode of the meta-gradient is from the exact one.

  python -m experiments.meta_gradients --source=systems/hdfs --target=systems/bgl \
    --train_steps=0,50,200 --out=studies/a

Looks at real tasks of the detector's stream: first order, truncated, implicit and
Reptile against the exact gradient, and the exact modes against each other. A
training is made here as the settings say, and looked at on the way.

Writes meta_gradients.json and meta_gradients.md into --out. Settings of the method are
dotted flags (--metalog.inner_lr=0.02) over a --preset.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

from experiments import main as program
from metalog_jax import atomic, errors
from metalog_jax.cli import options, train
from metalog_jax.cli.options import Flag

METHOD = ('detector', 'preset', 'vectors', 'encoder')
DATA = (
  *('source', 'target', 'target_normals', 'target_anomalies', 'split', 'validation'),
  'seed',
)
FLAGS = (
  Flag('detector', 'metalog', 'a method that meta-learns'),
  *(flag for flag in train.JOB if flag.name in METHOD[1:] + DATA),
  Flag('out', None, 'folder to write into', required=True),
  Flag('modes', [], 'modes to look at: first, implicit, ...; none: all'),
  Flag('tasks', 8, 'tasks to look at; the spread is over them', low=1),
  Flag('train_steps', ['0'], 'look after so many meta-steps of a training made here'),
  Flag('inner_lrs', [], 'inner learning rates of the grid; none: no grid'),
  Flag('inner_steps', ['1', '5', '10'], 'inner steps of the grid'),
  Flag('grid_modes', ['first'], 'modes of the grid: first, reptile, ...'),
  Flag('grid_tasks', 4, 'tasks in each cell of the grid', low=1),
  Flag('devices', 0, 'CPU cores to share each batch out to; 0: all, up to 4', low=0),
)


def detector(arguments: Sequence[str]) -> str:
  """The one that is chosen among arguments that are not parsed yet."""
  return options.given(arguments, 'detector', 'metalog')


def main(values: Any, rest: list[str]) -> None:
  """Measures what was asked for, writes it and prints the tables."""
  from experiments.studies import gradient_report, gradient_study  # jax: not for --help
  from metalog_jax import api, machine

  del rest
  machine.use(values.devices)
  data = {name: values[name].value for name in METHOD + DATA}
  settings = options.settings(values, values.detector)
  job = api.make_job(test=(), **data, **settings)  # nothing is tested
  plan = gradient_study.Plan(
    modes=tuple(values.modes),
    tasks=values.tasks,
    train_steps=tuple(sorted(_numbers(values, 'train_steps', int))),
    inner_lrs=_numbers(values, 'inner_lrs', float),
    inner_steps=_numbers(values, 'inner_steps', int),
    grid_modes=tuple(values.grid_modes),
    grid_tasks=values.grid_tasks,
  )
  out = pathlib.Path(values.out)
  for file in (gradient_study.FILE, gradient_report.FILE):
    atomic.check_output(out / file)
  results = gradient_study.run(job, plan, out)
  print(gradient_report.write(results, out))
  print(f'report: {out / gradient_report.FILE}')


def _numbers(values: Any, flag: str, kind: type) -> tuple:
  """The numbers of a list flag.

  Raises:
    UserError: one of them is no such number, or negative, or not finite.
  """
  try:
    numbers = tuple(kind(text) for text in values[flag].value)
  except (ValueError, OverflowError):
    numbers = (-1,)
  if not all(0 <= number < math.inf for number in numbers):
    raise errors.UserError(
      f'--{flag}={",".join(values[flag].value)}: numbers >= 0 are needed'
    )
  return numbers


if __name__ == '__main__':
  program.run()
