r"""Judges raw logs with a trained model: one JSON line per session.

  python -m experiments.detect --model=runs/demo --logs=new.log --out=verdicts.jsonl
  zcat new.log.gz | python -m experiments.detect --model=runs/demo --logs=- --out=-

Lines are read as the target system's were when the model was trained.
"""

import sys

from absl import flags

from experiments import main as program

FLAGS = flags.FLAGS
flags.DEFINE_string('model', None, 'a finished run folder of experiments.train')
flags.DEFINE_list('logs', None, 'log files in order, compressed or not; - is stdin')
flags.DEFINE_string('out', '-', 'file for the verdicts; - is standard output')
flags.DEFINE_float(
  'threshold', None, "scores above it are anomalous; default: the run's"
)
flags.DEFINE_string(
  'format', None, 'named-group regex, in place of the one in training'
)
flags.DEFINE_string(
  'max_bad_lines', None, 'share or number of unreadable lines allowed'
)
flags.DEFINE_integer('workers', 1, 'processes that parse', 1)
flags.mark_flags_as_required(['model', 'logs'])


def main() -> None:
  """Loads the model, judges the logs, says how many were anomalous."""
  from metalog_jax import machine
  from metalog_jax.runs import detect, model

  machine.use()
  loaded = model.load(FLAGS.model)
  changes = {
    name: FLAGS[name].value
    for name in ('format', 'max_bad_lines')
    if FLAGS[name].value is not None
  }
  with detect.writer(FLAGS.out, FLAGS.logs, FLAGS.model) as write:
    verdicts = detect.detect(
      loaded, FLAGS.logs, FLAGS.threshold, changes, FLAGS.workers
    )
    for verdict in verdicts:
      write(verdict)
  for warning in verdicts.summary.warnings:
    print(f'warning: {warning}', file=sys.stderr)
  print(verdicts.summary, file=sys.stderr)


if __name__ == '__main__':
  program.run(main)
