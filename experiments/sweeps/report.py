"""The report of sweeps: the paper's tables and figures, with ours in them."""

import os
import pathlib
from collections.abc import Sequence

from experiments.studies import markdown
from experiments.sweeps import (
  page_record,
  paired,
  report_plots,
  report_tables,
  sweep_folder,
)
from metalog_jax import atomic, errors
from metalog_jax.report import pages, tables

_FORMS = {'markdown': 'sweeps.j2', 'brief': 'brief.j2'}
_TEMPLATES = pathlib.Path(__file__).parent / 'templates'


def write(folders: Sequence[str | os.PathLike], out: pathlib.Path) -> pathlib.Path:
  """Writes the report of sweep folders; returns the path of report.html.

  Raises:
    UserError: a folder is none of a sweep's, or a run in it is damaged.
  """
  sweeps, runs = _read(folders)
  figures = {
    f'{sweep.name}-{setting}': report_plots.figures(sweep, setting)
    for sweep in sweeps
    for setting in sweep.settings
  }
  atomic.write_text(pathlib.Path(out) / 'results.csv', tables.as_csv(runs))
  return pages.save(out, 'sweeps.j2', figures, _TEMPLATES, **_context(sweeps, runs))


def text(folders: Sequence[str | os.PathLike], form: str, kinds: object = None) -> str:
  """All tables as `markdown`, what decides as `brief`, or every run as `csv`; as
  `paired` every method beside the one that a table is `against`.

  `kinds` of sessions is of run folders: the tables of sweeps have all.

  Raises:
    UserError: as `write`, or a form that sweeps do not have.
  """
  sweeps, runs = _read(folders)
  if form == 'csv':
    return tables.as_csv(runs)
  if form == 'paired':
    return _paired(sweeps, [paired.entries(sweep) for sweep in sweeps])
  if form not in _FORMS:
    raise errors.UserError(f'--print={form} is of run folders, and these are sweeps')
  return pages.render(_FORMS[form], 'md', _TEMPLATES, **_context(sweeps, runs))


def renew(folders: Sequence[str | os.PathLike], page: pathlib.Path) -> None:
  """Puts methods beside the one that a table is `against` between a page's marks.

  What the page's record has of rows that these folders have not run stays.

  Raises:
    UserError: as `write`, or of the page or its record.
  """
  sweeps, _ = _read(folders)
  check_page(page, [sweep.name for sweep in sweeps])
  with atomic.holding(page):
    kept = page_record.read(_record(page))
    reference = paired.reference(sweeps)
    run = {
      sweep.name: page_record.merge(
        paired.entries(sweep), kept.get(sweep.name, []), reference
      )
      for sweep in sweeps
    }
    markdown.renew(page, f'\n{_paired(sweeps, list(run.values()))}\n')
    page_record.write(_record(page), run)


def check_page(page: pathlib.Path, names: Sequence[str]) -> None:
  """Whether these tables can be renewed in a page, without losing others.

  Raises:
    UserError: there is no such page, it has no place for tables, or has others.
  """
  markdown.around(page)
  if others := page_record.read(_record(page)).keys() - {*names}:
    raise errors.UserError(
      f'--page={page} has more tables, which would be lost: add '
      f'{",".join(sorted(others))} to --table'
    )


def _record(page: pathlib.Path) -> pathlib.Path:
  return page.with_suffix('.jsonl')


def _paired(sweeps, tables) -> str:
  """Tables of the entries of each sweep."""
  adjusted = [paired.adjusted(entries) for entries in tables]
  context = {'sweeps': sweeps, 'tables': adjusted, 'paired': paired}
  reference = paired.reference(sweeps)
  return pages.render('paired.j2', 'md', _TEMPLATES, reference=reference, **context)


def _read(folders):
  """The sweeps and all their runs."""
  if strange := [path for path in folders if not sweep_folder.is_sweep(path)]:
    raise errors.UserError(
      f'{strange[0]} is no sweep folder, and others do not go into a report with one'
    )
  sweeps = [sweep_folder.read(path) for path in folders]
  return sweeps, [run for sweep in sweeps for row in sweep.rows for run in row.runs]


def _context(sweeps, runs):
  every = [run.result for run in runs]
  return {'sweeps': sweeps, 'every': every, 'tables': report_tables}
