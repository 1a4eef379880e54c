r"""Adapts a trained model to a system by a few labels, in seconds, without the sources.

  python -m experiments.adapt --model=runs/many_sources --target=systems/new \
    --target_normals=10 --target_anomalies=10 --workdir=runs/new

Writes a run folder like experiments.train; experiments.detect takes it. Settings of the
method that matter to adaptation may be changed by its dotted flags
(--logmeta.adapt_steps=20); others are those of the model.
"""

from absl import flags

from experiments import main as program
from metalog_jax import flags as config_flags
from metalog_jax.detectors import registry

FLAGS = flags.FLAGS
flags.DEFINE_string('model', None, 'a finished run folder of experiments.train')
flags.DEFINE_string('target', None, 'System folder to adapt to')
flags.DEFINE_list('test', ['rest'], 'rest (of the target) and/or System folders')
flags.DEFINE_string('target_normals', '10', 'labelled normals: a count or a share')
flags.DEFINE_string('target_anomalies', '10', 'labelled anomalies: count or share')
flags.DEFINE_string(
  'unlabelled', '0', 'test sessions of a random split to use without their labels'
)
flags.DEFINE_enum(
  'split',
  'random',
  ['chronological', 'tail', 'random'],
  'which target sessions are adapted to',
)
flags.DEFINE_integer('seed', 0, 'of the labels drawn', 0)
flags.DEFINE_string('workdir', None, 'run folder to write')
flags.mark_flags_as_required(['model', 'target', 'workdir'])


def main() -> None:
  """Adapts, judges the rest of the target, prints the table."""
  from metalog_jax import machine
  from metalog_jax.report import report
  from metalog_jax.runs import problem, run

  machine.use()
  trained = run.restore(FLAGS.model)
  method = config_flags.read(trained.detector, trained.method)
  data = problem.Options(
    target=FLAGS.target,
    test=tuple(FLAGS.test),
    target_normals=FLAGS.target_normals,
    target_anomalies=FLAGS.target_anomalies,
    split=FLAGS.split,
    fit=trained.data.fit,
    validation=0.0,
    seed=FLAGS.seed,
    unlabelled=FLAGS.unlabelled,
  )
  chosen = run.Job(
    trained.detector,
    trained.preset,
    method,
    data,
    alert_rate=trained.alert_rate,
    model=FLAGS.model,
  )
  result = run.start(chosen, FLAGS.workdir)
  print(report.table(result))
  if told := result['adaptation']:
    print(f'{told["steps"]} steps in {told["seconds"]:.2f} s; {told["pseudo_labels"]}')


if __name__ == '__main__':
  for name, module in registry.DETECTORS.items():
    config_flags.define(name, module.Config())
  flags.adopt_module_key_flags(config_flags)
  program.run(main)
