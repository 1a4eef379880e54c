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
from collections.abc import Sequence
from typing import Any

from experiments import main as program
from metalog_jax import atomic, errors
from metalog_jax import flags as config_flags
from metalog_jax.cli import options
from metalog_jax.cli.options import Flag
from metalog_jax.detectors import registry

FLAGS = (
  Flag('systems', [], 'System folders, each left out in turn', required=True),
  Flag('targets', [], 'those of --systems to leave out; none: all'),
  Flag('twins', [], 'TARGET=DIR: do not learn from DIR (its simulated twin) for that '
       'target'),
  Flag('labels', ['1', '5', '10', '20'], 'labels a class: counts or shares'),
  Flag('preset', 'default', 'of logmeta: how it is meta-trained'),
  Flag('unlabelled', '20%', 'of the test: given without labels'),
  Flag('vectors', None, 'word vectors; none: the encoder of `make encoder`, or the '
       'default'),
  Flag('encoder', None, 'event vectors from this BERT or RoBERTa instead'),
  Flag('most_sources', 0, 'train on so many systems at most; 0: all', low=0),
  Flag('seeds', 5, 'how many, from 0', low=1),
  Flag('out', None, 'folder to write into', required=True),
)  # fmt: skip


def detector(arguments: Sequence[str]) -> str:
  """Whose settings are flags."""
  del arguments
  return 'logmeta'


def check(values: Any) -> None:
  """Refuses targets and twins that are not among the systems."""
  for target in values.targets:
    if target not in values.systems:
      raise errors.unknown_choice('--targets', target, values.systems)
  names = [pathlib.Path(target).name for target in values.targets or values.systems]
  for pair in values.twins:
    target, _, system = pair.partition('=')
    if target not in names:
      raise errors.unknown_choice(f'--twins={pair}: target', target, names)
    if system not in values.systems:
      raise errors.unknown_choice(f'--twins={pair}: DIR', system, values.systems)


def main(values: Any, rest: list[str]) -> None:
  """Trains, adapts and compares."""
  from experiments.studies import few_shot, few_shot_report  # jax: not for --help
  from metalog_jax import machine

  del rest
  machine.use()
  base = registry.choose('logmeta', values.preset, values.vectors, values.encoder)
  settings = options.settings(values, 'logmeta')
  plan = few_shot.Plan(
    tuple(values.systems),
    tuple(values.targets or values.systems),
    dict(pair.split('=', 1) for pair in values.twins),
    tuple(values.labels),
    config_flags.with_settings('logmeta', base, settings),
    values.preset,
    values.unlabelled,
    values.most_sources,
    values.seeds,
  )
  out = pathlib.Path(values.out)
  atomic.check_output(out / few_shot_report.FILE)
  print(few_shot_report.write(few_shot.run(plan, out), out))


if __name__ == '__main__':
  program.run()
