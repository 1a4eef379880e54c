r"""Runs the tables and figures of the paper, or your own: every row with every seed.

  python -m experiments.sweep --table=table1,table2 --out=sweeps --dry_run
  python -m experiments.sweep --table=table1,table2 --out=sweeps \
    --systems=systems -- --vectors=glove.6B.100d.txt

The same command goes on where a killed sweep stopped; two at once share the work.
What follows -- are flags of `train` for every row. A table is a TOML file: see
experiments/tables/ and experiments/sweeps/tables.py.
"""

import pathlib
import shlex
import signal

from absl import flags

from experiments import main as program
from experiments.sweeps import checks, schedule, tables, trials
from metalog_jax import errors

FLAGS = flags.FLAGS
flags.DEFINE_list(
  'table', None, f'{", ".join(tables.names())}, or TOML files', required=True
)
flags.DEFINE_string('out', 'sweeps', 'folder; each table has one of its own in it')
flags.DEFINE_string(
  'systems', 'systems', 'folder of the System folders hdfs, bgl, openstack, thunderbird'
)
flags.DEFINE_list('seeds', [], 'seeds in place of those of the table')
flags.DEFINE_list('rows', [], 'run these rows alone; see --dry_run')
flags.DEFINE_bool('dry_run', False, 'list the trials, their state and their commands')


def main(more: list[str]) -> None:
  """Checks all rows, runs what is left of every table, writes the report."""
  if not all(seed.isdigit() for seed in FLAGS.seeds):
    raise errors.UserError(f'--seeds={",".join(FLAGS.seeds)}: whole numbers from 0 on')
  seeds = list(dict.fromkeys(map(int, FLAGS.seeds)))
  out = pathlib.Path(FLAGS.out)
  found = [tables.load(name, FLAGS.systems, more) for name in FLAGS.table]
  for table in found:
    checks.rows(table.rows)
  chosen = tables.select(found, FLAGS.rows)
  todo = [(out / of.name, tables.trials(of, seeds)) for of in chosen]
  if FLAGS.dry_run:
    for folder, of in todo:
      _list(folder, of)
    return
  signal.signal(signal.SIGTERM, _interrupt)
  failed = []
  for table, (folder, of) in zip(found, todo, strict=True):
    trials.start(folder, table)
    _say(f'{table.name}: {schedule.progress(folder, of)}')
    failed += [
      f'{table.name}, {trial.name}: {trials.why(folder, trial)}'
      for trial in schedule.run(folder, of, _say)
    ]
  _report([folder for folder, _ in todo], out)
  if failed:
    raise errors.UserError('failed trials:\n' + '\n'.join(failed))


def _list(out: pathlib.Path, found: list[trials.Trial]) -> None:
  for trial in found:
    state = 'finished' if trials.is_finished(out, trial) else 'left'
    print(f'{state:8} {trial.name}: {trial.row.name}')
    print(f'         {shlex.join(trials.command(out, trial)[1:])}')
  print(f'{out.name}: {schedule.progress(out, found)}')


def _report(folders: list[pathlib.Path], out: pathlib.Path) -> None:
  """Of all that is finished; two sweeps that end at once write it in turn."""
  from metalog_jax.report import report, sweeps

  if not any(sweeps.has_results(folder) for folder in folders):
    return
  out = folders[0] if len(folders) == 1 else out
  with trials.claim(out / '.lock', wait=True):
    _say(f'report: {report.write(folders, out)}')


def _say(text: str) -> None:
  print(text, flush=True)


def _interrupt(*_) -> None:
  raise KeyboardInterrupt


if __name__ == '__main__':
  program.run(main, with_arguments=True)
