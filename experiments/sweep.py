r"""Runs the tables and figures of the paper, or your own: every row with every seed.

  python -m experiments.sweep --table=table1,table2 --out=sweeps --dry_run
  python -m experiments.sweep --table=table1,table2 --out=sweeps \
    --systems=systems -- --vectors=glove.6B.100d.txt

The same command goes on where a killed sweep stopped; two at once share the work.
With --page=PAGE.md the tables of all that is finished, every method and floor beside
the row that a table is `against`, take the place of those between the page's two marks.
PAGE.jsonl beside it has their figures: rows that were run elsewhere stay in the page.
What follows -- are flags of `train` for every row. A table is a TOML file: see
experiments/tables/ and experiments/sweeps/table_files.py.
"""

import pathlib
import shlex
import signal
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments import main as program
from experiments.sweeps import table_files, trials
from metalog_jax import atomic, errors
from metalog_jax.cli import options, train
from metalog_jax.cli.options import Flag

TAKES_ARGUMENTS = True
FLAGS = (
  Flag('table', [], f'{", ".join(table_files.names())}, or TOML files', required=True),
  Flag('out', 'sweeps', 'folder; each table has one of its own in it'),
  Flag('systems', 'systems', 'folder of the System folders hdfs, bgl, openstack and '
       'thunderbird'),
  Flag('seeds', [], 'seeds in place of those of the table: 0..9 or 0,3,5'),
  Flag('rows', [], 'run these rows alone; see --dry_run'),
  Flag('side_by_side', False, 'trials that differ by their seed alone are one program; '
       'those of a detector without meta-steps one after another in it'),
  Flag('page', None, 'Markdown page to renew in place of writing report.html'),
  Flag('dry_run', False, 'list the trials, their state and their commands'),
)  # fmt: skip


def main(values: Any, last_flags: list[str]) -> None:
  """Checks all rows, runs what is left of every table, writes the report."""
  seeds = train.parse_seeds(','.join(values.seeds)) if values.seeds else []
  out = pathlib.Path(values.out)
  tables = [table_files.load(name, values.systems, last_flags) for name in values.table]
  if len({table.name for table in tables}) < len(tables):
    raise errors.UserError(f'--table={",".join(values.table)} has two of one name')
  for table in tables:
    _check_rows(table.rows)
  if values.page:
    from experiments.sweeps import report  # slow: not for --help

    report.check_page(pathlib.Path(values.page), [table.name for table in tables])
  chosen = table_files.select(tables, values.rows)
  todo = [(out / table.name, table_files.trials(table, seeds)) for table in chosen]
  if values.dry_run:
    for folder, every in todo:
      _list(folder, every, values.side_by_side)
    return
  atomic.check_folder(out)
  signal.signal(signal.SIGTERM, _interrupt)
  failed = []
  for table, (folder, every) in zip(tables, todo, strict=True):
    trials.start(folder, table)
    _say(f'{table.name}: {trials.progress(folder, every)}')
    failed += [
      f'{table.name}, {trial.name}: {trials.last_line(folder, trial)}'
      for trial in trials.run_trials(folder, every, _say, values.side_by_side)
    ]
  _report([folder for folder, _ in todo], out, values.page)
  if failed:
    raise errors.UserError('failed trials:\n' + '\n'.join(failed))


def _check_rows(rows: Sequence[table_files.Row]) -> None:
  """Parses every row's flags as `train` does, without running it."""
  for row in rows:
    try:
      options.parse(
        train, 'train', options.expand([table_files.METHOD, *row.flags, '--workdir=x'])
      )
    except (flags.Error, errors.UserError) as error:
      raise errors.UserError(f'row {row.key}: {error}') from error


def _list(out: pathlib.Path, every: Sequence[trials.Trial], side_by_side: bool) -> None:
  for group in trials.groups(every, side_by_side):
    for trial in group:
      state = 'finished' if trials.is_finished(out, trial) else 'left'
      print(f'{state:8} {trial.name}: {trial.row.name}')
    print(f'         {shlex.join(trials.command(out, group)[1:])}')
  print(f'{out.name}: {trials.progress(out, every)}')


def _report(folders: list[pathlib.Path], out: pathlib.Path, page: str | None) -> None:
  """Of all that is finished; two sweeps that end at once write it in turn."""
  from experiments.sweeps import report, sweep_folder  # slow: not for --help

  if not any(sweep_folder.has_results(folder) for folder in folders):
    return
  if page:
    report.renew(folders, pathlib.Path(page))
    _say(f'page: {page}')
    return
  out = folders[0] if len(folders) == 1 else out
  with trials.claim(out / '.lock', wait=True):
    _say(f'report: {report.write(folders, out)}')


def _say(text: str) -> None:
  print(text, flush=True)


def _interrupt(*_) -> None:
  raise KeyboardInterrupt


if __name__ == '__main__':
  program.run()
