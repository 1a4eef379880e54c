r"""How far each mode of the meta-gradient is from the exact one, and what it costs.

  python -m experiments.meta_gradients --model=runs/hdfs_to_bgl --out=studies/a
  python -m experiments.meta_gradients --source=systems/hdfs --target=systems/bgl \
    --train_steps=0,50,200 --out=studies/b

Looks at real tasks of the detector's stream: first order, truncated, implicit and
Reptile against the exact gradient, and the exact modes against each other. With a
--model, its settings, data and checkpoint are taken, unless flags say otherwise;
without one, a training is made here as the settings say, and looked at on the way.

Writes meta_gradients.json and meta_gradients.md into --out. Settings of the method are
dotted flags (--metalog.inner_lr=0.02) over a --preset.
"""

import dataclasses
import math
import pathlib

from absl import flags

from experiments import main as program
from metalog_jax import atomic, errors
from metalog_jax import flags as config_flags
from metalog_jax.cli import adapt, options
from metalog_jax.detectors import registry
from metalog_jax.embeddings import sources

FLAGS = flags.FLAGS
flags.DEFINE_string('model', None, 'run folder of metalog train to look into')
flags.DEFINE_string('detector', 'metalog', 'which method, without a --model')
flags.DEFINE_string('preset', 'default', 'settings to start from, without a --model')
flags.DEFINE_list('source', [], 'System folders whose labels are all known')
flags.DEFINE_string('target', '', 'System folder to detect anomalies in')
flags.DEFINE_string('target_normals', '30%', 'labelled normals: a count or a share')
flags.DEFINE_string('target_anomalies', '1%', 'labelled anomalies: count or share')
flags.DEFINE_enum(
  'split',
  'chronological',
  ['chronological', 'tail', 'random'],
  'which target sessions are for training',
)
flags.DEFINE_float('validation', 0.2, 'share of the labels held out, as in train')
flags.DEFINE_string('vectors', None, 'word vectors: a name or a file')
flags.DEFINE_string('encoder', None, 'event vectors from this BERT or RoBERTa instead')
flags.DEFINE_integer('seed', 0, 'of labels drawn, batches and initial weights', 0)
flags.DEFINE_string('out', None, 'folder to write into', required=True)
flags.DEFINE_list('modes', [], 'modes to look at: first, implicit, ...; none: all')
flags.DEFINE_integer('tasks', 8, 'tasks to look at; the spread is over them', 1)
flags.DEFINE_list(
  'train_steps', ['0'], 'look after so many meta-steps of a training made here'
)
flags.DEFINE_list('inner_lrs', [], 'inner learning rates of the grid; none: no grid')
flags.DEFINE_list('inner_steps', ['1', '5', '10'], 'inner steps of the grid')
flags.DEFINE_list('grid_modes', ['first'], 'modes of the grid: first, reptile, ...')
flags.DEFINE_integer('grid_tasks', 4, 'tasks in each cell of the grid', 1)
flags.DEFINE_bool('costs', True, 'measure time, memory and compilation of each mode')
flags.DEFINE_integer(
  'devices', 0, 'CPU cores that training shares each batch out to; 0: all, up to 4', 0
)


def main() -> None:
  """Measures what was asked for, writes it and prints the tables."""
  from experiments.studies import gradient_report, gradient_study  # jax: not for --help
  from metalog_jax import machine

  machine.use(FLAGS.devices)
  model = pathlib.Path(FLAGS.model) if FLAGS.model else None
  plan = gradient_study.Plan(
    model=model,
    modes=tuple(FLAGS.modes),
    tasks=FLAGS.tasks,
    train_steps=tuple(sorted(_numbers('train_steps', int))),
    inner_lrs=_numbers('inner_lrs', float),
    inner_steps=_numbers('inner_steps', int),
    grid_modes=tuple(FLAGS.grid_modes),
    grid_tasks=FLAGS.grid_tasks,
    costs=FLAGS.costs,
  )
  out = pathlib.Path(FLAGS.out)
  for file in (gradient_study.FILE, gradient_report.FILE):
    atomic.check_output(out / file)
  results = gradient_study.run(_job(model), plan, out)
  print(gradient_report.write(results, out))
  print(f'report: {out / gradient_report.FILE}')


def _job(model: pathlib.Path | None):
  """The job to study: the model's or the preset's, and the flags given over it."""
  from metalog_jax.runs import problem, run  # jax: not for --help

  if model:
    base = run.restore(model)
    embedding = sources.choose(base.method.embedding, FLAGS.vectors, FLAGS.encoder)
    method = dataclasses.replace(base.method, embedding=embedding)
    base = dataclasses.replace(base, method=method)
  else:
    preset = registry.choose(FLAGS.detector, FLAGS.preset, FLAGS.vectors, FLAGS.encoder)
    data = problem.Options(test=())  # nothing is tested
    base = run.Job(FLAGS.detector, FLAGS.preset, preset, data)
  method = config_flags.read(base.detector, base.method)
  fields = {f.name for f in dataclasses.fields(base.data)}
  given = {
    name: tuple(FLAGS[name].value) if name == 'source' else FLAGS[name].value
    for name in fields
    if name in FLAGS and FLAGS[name].present
  }
  return dataclasses.replace(
    base, method=method, data=dataclasses.replace(base.data, **given)
  )


def _numbers(flag: str, kind: type) -> tuple:
  """The numbers of a list flag.

  Raises:
    UserError: one of them is no such number, or negative, or not finite.
  """
  try:
    numbers = tuple(kind(text) for text in FLAGS[flag].value)
  except (ValueError, OverflowError):
    numbers = (-1,)
  if not all(0 <= number < math.inf for number in numbers):
    raise errors.UserError(
      f'--{flag}={",".join(FLAGS[flag].value)}: numbers >= 0 are needed'
    )
  return numbers


if __name__ == '__main__':
  # That of the --model, where there is one.
  program.run(
    main,
    detector=lambda arguments: (
      adapt.detector(arguments) or options.given(arguments, 'detector', 'metalog')
    ),
  )
