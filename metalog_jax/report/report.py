"""The report of one run, of several beside each other, or of sweeps.

Enters: run folders, or sweep folders. Leaves: report.html (one file, figures inside),
report.md, results.csv and figures/*.png. Without matplotlib (the extra `plots`)
everything but the figures is written, and the report says what to install.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from metalog_jax import errors
from metalog_jax.report import (
  comparison,
  repeats,
  results,
  run_folder,
  sections,
  sweep_report,
  sweeps,
  tables,
)
from metalog_jax.report.document import canvas, elements, markdown, page

Path = str | os.PathLike


def write(run_folders: Sequence[Path], out: Path) -> pathlib.Path:
  """Write the report of finished runs.

  Args:
    run_folders: one run folder gives its full report, several a comparison; sweep
      folders give their tables.
    out: folder for report.html, report.md, results.csv and figures/.

  Returns:
    The path of report.html.

  Raises:
    UserError: a folder is not that of a finished run.
  """
  out = pathlib.Path(out)
  run_folders = _listed(run_folders)
  runs, content = _content(run_folders)
  images, missing = _draw(content)
  if missing:
    content = _without_figures(content)
    content.insert(1, elements.Text(f'No figures here: {missing}'))
  (out / 'figures' if images else out).mkdir(parents=True, exist_ok=True)
  for name, (light, _) in images.items():
    _write(out / 'figures' / f'{name}.png', light)
  _write(out / 'results.csv', _csv(runs).encode())
  _write(out / 'report.md', markdown.render(content, images).encode())
  _write(out / 'report.html', page.render(content, images).encode())
  return out / 'report.html'


def _listed(run_folders: Sequence[Path] | Path) -> Sequence[Path]:
  return [run_folders] if isinstance(run_folders, str | os.PathLike) else run_folders


def _content(run_folders: Sequence[Path]) -> tuple[list[run_folder.Run], list[Any]]:
  """All runs, and what the report says of them."""
  of_sweeps = [path for path in run_folders if sweeps.is_sweep(path)]
  if not of_sweeps:
    runs = _read(run_folders)
    one = len(runs) == 1
    return runs, sections.of_run(runs[0]) if one else comparison.of_runs(runs)
  if len(of_sweeps) < len(run_folders):
    raise errors.UserError('run folders and sweep folders do not go into one report')
  found = [sweeps.read(path) for path in of_sweeps]
  runs = [run for sweep in found for row in sweep.rows for run in row.runs]
  return runs, sweep_report.of_sweeps(found)


def table(result: dict[str, Any]) -> str:
  """The summary of one result.json for a terminal, as `train` prints it."""
  return tables.console(result)


def text(run_folders: Sequence[Path], form: str, kinds=results.KINDS) -> str:
  """A table of runs as text: `markdown` for a README, `csv`, or `console`.

  Of sweeps, `markdown` is all tables of their report, and `brief` what decides.

  Raises:
    UserError: `brief` of what is no sweep.
  """
  run_folders = _listed(run_folders)
  if form == 'brief':
    if runs := [path for path in run_folders if not sweeps.is_sweep(path)]:
      raise errors.UserError(
        f'--print=brief is of sweep folders, and {runs[0]} is none'
      )
    found = [sweeps.read(path) for path in run_folders]
    return markdown.render(sweep_report.brief(found), ())
  runs, content = _content(run_folders)
  if form == 'csv':
    return _csv(runs)
  if form == 'console':
    return '\n\n'.join(tables.console(run.result) for run in runs) + '\n'
  shown = [b for b in content if isinstance(b, elements.Heading | elements.Table)]
  if not any(map(sweeps.is_sweep, run_folders)):
    shown = [comparison.table(repeats.find(runs), kinds)]
  return markdown.render(shown, ())


def _read(run_folders: Sequence[Path]) -> list[run_folder.Run]:
  if not run_folders:
    raise errors.UserError('no run folders: name at least one with --runs')
  return [run_folder.read(path) for path in run_folders]


def _csv(runs: Sequence[run_folder.Run]) -> str:
  return tables.as_csv([row for r in runs for row in tables.csv_rows(r.name, r.result)])


def _draw(content: Sequence[Any]) -> tuple[page.Images, str]:
  """Every figure in both themes; or nothing, and what to install."""
  try:
    canvas.check()
  except canvas.PlotsMissing as error:
    logging.warning('%s', error)
    return {}, str(error)
  figures = [f for b in content if isinstance(b, elements.Figures) for f in b.figures]
  return {
    f.name: (canvas.png(f.draw, f.size), canvas.png(f.draw, f.size, dark=True))
    for f in figures
  }, ''


def _without_figures(content: Sequence[Any]) -> list[Any]:
  """Drop figures, and headings that have nothing else below them."""
  kept: list[Any] = []
  for block in content:
    if not isinstance(block, elements.Figures):
      kept.append(block)
    elif isinstance(kept[-1], elements.Heading):
      kept.pop()
  return kept


def _write(path: pathlib.Path, content: bytes) -> None:
  """Write all or nothing."""
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_bytes(content)
  os.replace(temporary, path)
