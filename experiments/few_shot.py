r"""How much meta-learning adds with few labels: every system is left out in turn.

  python -m experiments.few_shot --systems=systems/hdfs,systems/bgl,systems/openstack \
    --labels=1,5,10,20 --seeds=5 --out=studies/few_shot

For each system and seed, LogMeta is trained on the others, and so is the same network
without inner steps (pooled). Both, and a random start, are then adapted to the left-out
system with so many labels of each class (a count or a share): by the method's own few
steps, and by 100 steps of Adam. The threshold is 0.5 throughout. What is done is kept
in --out: the same command goes on where it stopped, and ablations are other settings
(--logmeta.recurrent=false, --most_sources=1, --vectors=...) with another --out.
"""

import pathlib

from absl import flags

from experiments import main as program
from metalog_jax import atomic, errors
from metalog_jax import flags as config_flags
from metalog_jax.detectors import registry

FLAGS = flags.FLAGS
flags.DEFINE_list('systems', None, 'System folders, each left out in turn')
flags.DEFINE_list('targets', [], 'those of --systems to leave out; none: all')
flags.DEFINE_list(
  'twins', [], 'TARGET=DIR: do not learn from DIR (its simulated twin) for that target'
)
flags.DEFINE_list('labels', ['1', '5', '10', '20'], 'labels a class: counts or shares')
flags.DEFINE_string('preset', 'default', 'of logmeta: how it is meta-trained')
flags.DEFINE_string('unlabelled', '20%', 'of the test: given without labels')
flags.DEFINE_string(
  'vectors', None, 'word vectors; none: the encoder of `make encoder`, or the default'
)
flags.DEFINE_string('encoder', None, 'event vectors from this BERT or RoBERTa instead')
flags.DEFINE_integer('most_sources', 0, 'train on so many systems at most; 0: all', 0)
flags.DEFINE_integer('seeds', 5, 'how many, from 0', 1)
flags.DEFINE_bool('curves', True, 'F1 after every step of adaptation')
flags.DEFINE_string('out', None, 'folder to write into')
flags.mark_flags_as_required(['systems', 'out'])


def main() -> None:
  """Trains, adapts and compares."""
  from experiments.studies import few_shot, few_shot_report  # jax: not for --help
  from metalog_jax import machine

  machine.use()
  preset = registry.choose('logmeta', FLAGS.preset, FLAGS.vectors, FLAGS.encoder)
  method = config_flags.read('logmeta', preset)
  plan = few_shot.Plan(
    tuple(FLAGS.systems),
    _targets(),
    _twins(),
    tuple(FLAGS.labels),
    method,
    FLAGS.preset,
    FLAGS.unlabelled,
    FLAGS.most_sources,
    FLAGS.seeds,
    FLAGS.curves,
  )
  out = pathlib.Path(FLAGS.out)
  atomic.check_output(out / few_shot_report.FILE)
  print(few_shot_report.write(few_shot.run(plan, out), out))


def _twins() -> dict[str, str]:
  names, twins = [pathlib.Path(target).name for target in _targets()], {}
  for pair in FLAGS.twins:
    target, _, system = pair.partition('=')
    if target not in names:
      raise errors.unknown_choice(f'--twins={pair}: target', target, names)
    if system not in FLAGS.systems:
      raise errors.unknown_choice(f'--twins={pair}: DIR', system, FLAGS.systems)
    twins[target] = system
  return twins


def _targets() -> tuple[str, ...]:
  for target in FLAGS.targets:
    if target not in FLAGS.systems:
      raise errors.unknown_choice('--targets', target, FLAGS.systems)
  return tuple(FLAGS.targets or FLAGS.systems)


if __name__ == '__main__':
  program.run(main, detector=lambda arguments: 'logmeta')
