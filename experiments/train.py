r"""Trains a detector on labelled source systems and a few labels of a target.

  python -m experiments.train --source=systems/hdfs --target=systems/bgl \
    --target_normals=30% --target_anomalies=1% --workdir=runs/hdfs_to_bgl

The same command goes on where a killed run stopped. Settings of the method are
dotted flags (--metalog.order=first) over a --preset.
"""

import pathlib

from absl import flags

from experiments import main as program
from metalog_jax import flags as config_flags
from metalog_jax.detectors import registry

FLAGS = flags.FLAGS
flags.DEFINE_string('detector', 'metalog', 'which method to train')
flags.DEFINE_string('preset', 'default', 'settings to start from: default, paper, ...')
flags.DEFINE_list('source', [], 'System folders whose labels are all known')
flags.DEFINE_string(
  'target', '', 'System folder to detect anomalies in; none: zero-shot'
)
flags.DEFINE_list('test', ['rest'], 'rest (of the target) and/or System folders')
flags.DEFINE_string(
  'target_normals', '30%', 'labelled normals: a count or a share of all'
)
flags.DEFINE_string('target_anomalies', '1%', 'labelled anomalies: count or share')
flags.DEFINE_enum(
  'split',
  'chronological',
  ['chronological', 'tail', 'random'],
  'which target sessions are for training',
)
flags.DEFINE_string(
  'unlabelled',
  '0',
  'test sessions of a random split to take out and train on without their labels',
)
flags.DEFINE_enum(
  'fit',
  'train',
  ['train', 'all'],
  'IDF counts templates of the training part alone, or all (the papers)',
)
flags.DEFINE_float(
  'validation', 0.2, 'share of the labels held out to pick the best step'
)
flags.DEFINE_string(
  'vectors',
  None,
  'word vectors: a name or a file; the preset has one, but logmeta '
  'takes the encoder of `make encoder` where it is installed',
)
flags.DEFINE_string(
  'encoder',
  None,
  'event vectors from this BERT or RoBERTa in place of word vectors: '
  'all-minilm-l6-v2 (make encoder) or a folder in Hugging Face form',
)
flags.DEFINE_float(
  'alert_rate',
  0.0,
  'alert on this share of the sessions of a test set, '
  'in place of the fixed threshold 0.5',
  0.0,
  1.0,
)
flags.DEFINE_integer('seed', 0, 'of labels drawn, batches and initial weights', 0)
flags.DEFINE_string('workdir', None, 'run folder to write, or to go on with')
flags.DEFINE_integer('validate_every', 10, 'meta-steps between validations', 1)
flags.DEFINE_integer('checkpoint_every', 50, 'meta-steps between checkpoints', 1)
flags.DEFINE_integer(
  'devices', 0, 'CPU cores to share each batch out to; 0: all, up to 4', 0
)
flags.DEFINE_bool(
  'distributed', False, 'this is one of several processes that train together'
)
flags.DEFINE_string(
  'coordinator', '', 'with --distributed: host:port of process 0, where jax cannot know'
)
flags.DEFINE_integer('processes', 0, 'with --coordinator: how many processes', 0)
flags.DEFINE_integer('process', -1, 'with --coordinator: the number of this one', -1)
flags.DEFINE_bool('overwrite', False, 'delete what --workdir holds first')
flags.DEFINE_bool('report', True, 'write report.html and report.md at the end')
flags.DEFINE_bool(
  'tensorboard', False, 'mirror metrics.jsonl to TensorBoard event files'
)
flags.DEFINE_bool(
  'explain', False, 'print what a step costs in work, memory and time; do not train'
)
flags.register_multi_flags_validator(
  ['workdir', 'explain'],
  lambda given: given['workdir'] is not None or given['explain'],
  'Flag --workdir must have a value other than None.',
)


def main() -> None:
  """Reads the flags, runs the job, prints the table."""
  from metalog_jax import machine
  from metalog_jax.report import report
  from metalog_jax.runs import folder, problem, run
  from metalog_jax.training import loop

  machine.use(FLAGS.devices)
  if FLAGS.distributed:
    machine.join(FLAGS.coordinator, FLAGS.processes, FLAGS.process)

  preset = registry.choose(FLAGS.detector, FLAGS.preset, FLAGS.vectors, FLAGS.encoder)
  method = config_flags.read(FLAGS.detector, preset)
  data = problem.Options(
    tuple(FLAGS.source),
    FLAGS.target,
    tuple(FLAGS.test),
    FLAGS.target_normals,
    FLAGS.target_anomalies,
    FLAGS.split,
    FLAGS.fit,
    FLAGS.validation,
    FLAGS.seed,
    FLAGS.unlabelled,
  )
  looping = loop.Options(FLAGS.validate_every, FLAGS.checkpoint_every)
  chosen = run.Job(
    FLAGS.detector, FLAGS.preset, method, data, looping, FLAGS.alert_rate
  )
  if FLAGS.explain:
    print(run.explain(chosen))
    return
  workdir = pathlib.Path(FLAGS.workdir)
  is_first = machine.is_first()
  if FLAGS.overwrite:
    folder.clear(FLAGS.workdir, [*chosen.folders, FLAGS.vectors, FLAGS.encoder])
  mirror = _mirror(workdir) if FLAGS.tensorboard and is_first else None
  result = run.start(chosen, FLAGS.workdir, mirror, print if is_first else bool)
  if result is None or not is_first:
    return
  print(report.table(result))
  if FLAGS.report:
    print(f'report: {report.write([workdir], workdir)}')


def _mirror(workdir: pathlib.Path):
  import tensorboardX

  writer = tensorboardX.SummaryWriter(str(workdir / 'tensorboard'))

  def write(step: int, record: dict) -> None:
    for name, value in record.items():
      writer.add_scalar(name, value, step)
    writer.flush()

  return write


if __name__ == '__main__':
  for name, module in registry.DETECTORS.items():
    config_flags.define(name, module.Config())
  flags.adopt_module_key_flags(config_flags)
  program.run(main)
