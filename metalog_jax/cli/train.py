"""Trains a detector on a few labels of a target, and on labelled source systems.

  metalog train --target=systems/bgl --target_normals=30% --workdir=runs/bgl
  metalog train --detector=metalog --source=systems/hdfs --target=systems/bgl \\
    --target_normals=30% --target_anomalies=1% --workdir=runs/hdfs_to_bgl

The same command goes on where a killed run stopped. Ten runs that differ by their
seed, in one program, each in a folder of its own:

  metalog train --seeds=0..9 --detector=metalog ... --workdir=runs/hdfs_to_bgl
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from metalog_jax import errors, lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli import options, peers
from metalog_jax.cli.options import Flag
from metalog_jax.logs import budgets

api = lazy.module('metalog_jax.api')
machine = lazy.module('metalog_jax.machine')
report = lazy.module('metalog_jax.report.report')

MOST_RUNS = 1000  # of one call: more are a slip of the pen
_JOINED = ('coordinator', 'processes', 'process', 'peer_timeout')
SPLITS = ('chronological', 'tail', 'random')
JOB = (  # what determines the run
  Flag('detector', 'evidence', 'which method to train'),
  Flag('preset', 'default', "the method's settings to start from: default, paper, ..."),
  Flag('source', [], 'System folders whose labels are all known'),
  Flag('target', '', 'System folder to detect anomalies in; none: zero-shot'),
  Flag('test', ['rest'], 'rest (of the target) and/or System folders'),
  Flag('target_normals', '30%', 'labelled normals: a count or a share of all'),
  Flag('target_anomalies', '1%', 'labelled anomalies: a count or a share of all'),
  Flag('split', 'chronological', 'which target sessions are for training', SPLITS),
  Flag('unlabelled', '0', 'test sessions of a random split to train on unlabelled'),
  Flag('fit', 'train', 'templates that the IDF counts', ('train', 'all')),
  Flag('validation', 0.2, 'share of labels to pick the best step by', low=0, high=1),
  Flag('vectors', None, 'word vectors, a name or a file, in place of the preset\'s'),
  Flag('encoder', None, 'event vectors from this BERT or RoBERTa instead: a folder in '
       'Hugging Face form, or all-minilm-l6-v2 (the default of logmeta if installed)'),
  Flag('alert_rate', '0', 'alert on this share (1%) of the sessions of a test set; 0: '
       'the detector\'s own threshold'),
  Flag('false_alarms', '0', 'of evidence: let at most this share (1%) of normal '
       'sessions through, promised by its labelled normals'),
  Flag('seed', 0, 'of labels drawn, batches and initial weights', low=0,
       high=options.MOST_SEED),
  Flag('validate_every', 10, 'meta-steps between validations', low=1,
       high=options.MOST_COUNT),
  Flag('checkpoint_every', 50, 'meta-steps between checkpoints', low=1,
       high=options.MOST_COUNT),
)  # fmt: skip
FLAGS = (
  *JOB,
  Flag('workdir', None, 'run folder to write, or to go on with'),
  Flag(
    'seeds',
    '',
    'in place of --seed several, such as 0..9 or 0,3,5: trained side by '
    'side if the detector takes meta-steps; each run is in seed-N of --workdir, or '
    'in --workdir with N for {seed}',
  ),
  Flag('devices', 0, 'CPU cores to share each batch out to; 0: all, up to 4', low=0),
  Flag('distributed', False, 'this is one of several processes that train together'),
  Flag('coordinator', '', 'host:port of process 0, where jax cannot know'),
  Flag('processes', 0, 'with --coordinator: how many processes', low=0),
  Flag('process', -1, 'with --coordinator: the number of this one', low=-1),
  Flag(
    'peer_timeout',
    60,
    'with --distributed: seconds after which a process that is not '
    'heard of ends the run; to appear, each has five times as long',
    low=5,
  ),
  Flag('overwrite', False, 'delete the run that --workdir holds first'),
  Flag('report', True, 'write report.html and report.md at the end'),
  Flag('explain', False, 'print what a step costs, and how; do not train'),
)


def detector(arguments: Sequence[str]) -> str:
  """The one that is chosen among arguments that are not parsed yet."""
  return options.given(arguments, 'detector', 'evidence')


def check(values: Any) -> None:
  """Refuses what can be seen to be wrong before jax is imported."""
  if not values.workdir and not values.explain:
    raise errors.UserError('--workdir is needed: the run folder to write')
  options.refuse_without(values, 'distributed', _JOINED)
  for name in ('alert_rate', 'false_alarms'):
    budgets.rate(values[name].value, name)
  for setting in options.settings(values, values.detector):
    name = setting.rpartition('.')[2]
    if name in values and values[name].present:
      raise errors.UserError(
        f'--{name} and --{values.detector}.{setting} are one setting: give one'
      )
  options.registry.preset(values.detector, values.preset)
  if values.seeds:
    parse_seeds(values.seeds)
    for name in ('seed', 'explain', 'distributed'):
      if values[name].present and values[name].value is not False:
        raise errors.UserError(f'--seeds and --{name} do not go together: give one')


def parse_seeds(text: str) -> list[int]:
  """The numbers of a list such as 0..9 or 0,3,5, each once.

  >>> parse_seeds('3,0..2,1')
  [3, 0, 1, 2]

  Raises:
    UserError: it is no such list.
  """
  seeds: dict[int, None] = {}
  for part in text.split(','):
    first, dots, last = part.strip().partition('..')
    numbers = (first, last if dots else first)
    if not all(number.isdecimal() for number in numbers):
      raise errors.UserError(
        f'--seeds={text}: {part!r} is no number or range; give 0..9 or 0,3,5'
      )
    start, end = map(int, numbers)
    if end < start or end > options.MOST_SEED:
      raise errors.UserError(
        f'--seeds={text}: {part} is empty or above {options.MOST_SEED}'
      )
    if len(seeds) + end - start >= MOST_RUNS:
      raise errors.UserError(f'--seeds={text}: at most {MOST_RUNS} at once')
    seeds |= dict.fromkeys(range(start, end + 1))
  return list(seeds)


def main(values: Any, rest: list[str]) -> int | None:
  """Reads the flags, trains, prints the table."""
  if not values.distributed:
    _train(values)
    return None
  workdir = values.workdir
  return peers.supervise(
    'metalog train',
    lambda: _train(values),
    values.peer_timeout,
    lambda: bool(workdir) and api.Run(pathlib.Path(workdir)).is_finished,
    values.debug,
  )


def _train(values: Any) -> None:
  if values.distributed:
    machine.use(values.devices)
    joined = values.coordinator, values.processes, values.process
    machine.join(*joined, timeout=values.peer_timeout)
  given = {flag.name: values[flag.name].value for flag in JOB}
  given |= options.settings(values, values.detector)
  if values.explain:
    programs.say(api.explain(devices=values.devices, **given))
    return
  if values.seeds:
    _train_seeds(values, given)
    return
  is_first = not values.distributed or machine.is_first()
  run = api.train(
    workdir=values.workdir,
    devices=values.devices,
    overwrite=values.overwrite,
    say=programs.say if is_first else bool,
    **given,
  )
  if run.is_finished and is_first:
    programs.say(run)
    if values.report:
      programs.say(f'report: {run.report()}')


def _train_seeds(values: Any, given: dict[str, Any]) -> None:
  del given['seed']
  trained = api.train_seeds(
    seeds=parse_seeds(values.seeds),
    workdir=values.workdir,
    devices=values.devices,
    overwrite=values.overwrite,
    say=programs.say,
    **given,
  )
  finished = [run for run in trained if run.is_finished]
  for run in finished:
    if values.report:
      programs.say(f'report: {run.report()}')
  if finished:
    programs.say(report.text(finished, 'markdown'))
