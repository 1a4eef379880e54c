"""Writes the report of a run, or of several runs beside each other.

  metalog report runs/demo/train
  metalog report --runs=runs/a,runs/b --out=reports/a_and_b
  metalog report --runs=runs/a,runs/b --print=markdown

report.html (one file, figures inside), report.md, results.csv and figures/*.png.
Runs that differ in their seed alone become one row: mean and standard deviation.
"""

from typing import Any

from metalog_jax import atomic, errors, lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli.options import Flag

run_report = lazy.module('metalog_jax.report.report')

KINDS = ('all', 'distinct', 'unseen')
FLAGS = (
  Flag('runs', [], 'run folders; may also be given without --runs'),
  Flag('out', None, 'folder to write into; one run: its own folder'),
  Flag('print', None, 'print this table and write no file',
       ('markdown', 'csv', 'console')),
  Flag('kinds', list(KINDS), 'rows of --print=markdown', KINDS),
)  # fmt: skip
TAKES_ARGUMENTS = True


def check(values: Any) -> None:
  """Refuses rows of a table that is not printed."""
  if values['kinds'].present and values.print != 'markdown':
    raise errors.UserError('--kinds goes with --print=markdown alone')


def main(values: Any, rest: list[str], report: Any = run_report) -> None:
  """Writes the report, or prints the table that was asked for.

  Args:
    report: module with `write` and `text`.
  """
  runs = values.runs + rest
  if values.print:
    programs.say(report.text(runs, values.print, values.kinds).rstrip('\n'))
    return
  out = values.out or (runs[0] if len(runs) == 1 else '')
  if len(runs) > 1 and not out:
    raise errors.UserError('several runs need a folder for their report: give --out')
  atomic.check_folder(out)
  programs.say(report.write(runs, out))
