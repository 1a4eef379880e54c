"""The report of one run, or of several beside each other.

Enters: run folders. Leaves: report.html (one file, figures inside), report.md,
results.csv and figures/*.png.
"""

import collections
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from metalog_jax import atomic, errors
from metalog_jax.evaluation import metrics
from metalog_jax.report import folding, key_values, pages, plots, repeats, tables
from metalog_jax.runs import record

Path = str | os.PathLike
FORMS = ('markdown', 'csv', 'console')


def write(run_folders: Sequence[Path], out: Path) -> pathlib.Path:
  """Writes the report of finished runs; returns the path of report.html.

  Args:
    run_folders: one run folder gives its full report, several a comparison.
    out: folder for report.html, report.md, results.csv and figures/.

  Raises:
    UserError: a folder is not that of a finished run, is given twice, or has a file
      that is damaged or another run's.
  """
  runs = _read(run_folders)
  figures, context = {}, _context(runs, metrics.KINDS)
  if len(runs) > 1:
    figures['comparison'] = plots.of_groups(context['groups'])
  else:
    (run,) = runs
    figures = {f'of {test}': plots.of_test(run, test) for test in run.result['test']}
    figures['training'] = plots.of_training(run)
  atomic.write_text(pathlib.Path(out) / 'results.csv', tables.as_csv(runs))
  template = 'comparison.j2' if len(runs) > 1 else 'run.j2'
  return pages.save(out, template, figures, **context)


def table(result: dict[str, Any]) -> str:
  """The summary of one result.json for a terminal, as `train` prints it."""
  return pages.render('console.j2', 'txt', result=result, tables=tables).rstrip('\n')


def text(
  run_folders: Sequence[Path], form: str, kinds: Sequence[str] = metrics.KINDS
) -> str:
  """A table of runs as text.

  Args:
    run_folders: of finished runs.
    form: `markdown` for a README, `csv`, or `console`.
    kinds: of sessions, the rows of the Markdown table.

  Raises:
    UserError: as `write`, or an unknown form.
  """
  if form not in FORMS:
    raise errors.unknown_choice('--print', form, FORMS)
  runs = _read(run_folders)
  if form == 'csv':
    return tables.as_csv(runs)
  if form == 'console':
    return '\n\n'.join(table(run.result) for run in runs) + '\n'
  return pages.render('comparison_table.j2', 'md', **_context(runs, kinds))


def _read(run_folders: Sequence[Path]) -> list[record.Run]:
  if not run_folders:
    raise errors.UserError('no run folders: name at least one with --runs')
  times = collections.Counter(os.path.realpath(path) for path in run_folders)
  if twice := [path for path, number in times.items() if number > 1]:
    raise errors.UserError(f'{twice[0]} is given twice: it would count as two runs')
  return [record.read(path) for path in run_folders]


def _context(runs: Sequence[record.Run], kinds: Sequence[str]) -> dict[str, Any]:
  """The variables of the templates."""
  groups = repeats.group(runs)
  compared, same = tables.comparison(groups, kinds)
  return {
    'runs': runs,
    'every': [run.result for run in runs],
    'groups': groups,
    'compared': compared,
    'same': same,
    'key_values': key_values,
    'folding': folding,
    'tables': tables,
  }
