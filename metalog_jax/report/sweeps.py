"""A sweep folder as records: rows, and the runs that each has so far.

Enters: what `experiments.sweep` writes, sweep.json and trials/ROW-seedN/. Rows without
a finished run are kept, so that a report can say what is missing.
"""

import json
import math
import os
import pathlib
from typing import Any, NamedTuple

from metalog_jax import errors
from metalog_jax.report import results, run_folder

FILE = 'sweep.json'


class Row(NamedTuple):
  """One row of a table, with a run a seed."""

  key: str
  name: str
  setting: str  # key of Sweep.settings
  line: str  # rows of one line are points of one curve
  x: float | None
  quoted: dict[str, float]  # what the paper prints
  runs: list[run_folder.Run]

  @property
  def found(self) -> list[results.Result]:
    return [run.result for run in self.runs]

  @property
  def test(self) -> str:
    """The test set that the row is about: its first."""
    return results.tests(self.found)[0]

  def value(self, kind: str, measure: str) -> results.Value:
    return results.value(self.found, self.test, kind, measure)

  def quote(self, measure: str) -> float:
    """In the unit of the paper (per cent); nan where it prints nothing."""
    return self.quoted.get(measure, math.nan)


class Sweep(NamedTuple):
  """One table or figure."""

  name: str
  title: str
  about: str
  settings: dict[str, str]  # key -> name
  rows: list[Row]
  shown: dict[str, Any]  # x, against, roc: see experiments/sweeps/tables.py

  def of(self, setting: str) -> list[Row]:
    """The rows of a setting that have a run."""
    return [row for row in self.rows if row.setting == setting and row.runs]


def is_sweep(path: str | os.PathLike) -> bool:
  """Whether a folder is one that `experiments.sweep` wrote."""
  return (pathlib.Path(path) / FILE).is_file()


def has_results(path: str | os.PathLike) -> bool:
  """Whether any trial of a sweep folder is finished."""
  return any(pathlib.Path(path).glob('trials/*/result.json'))


def read(path: str | os.PathLike) -> Sweep:
  """Reads a sweep folder; runs are in the order of their seeds.

  Raises:
    UserError: sweep.json or a run is not what it should be.
  """
  path = pathlib.Path(path)
  try:
    saved = json.loads((path / FILE).read_text(encoding='utf-8'))
    rows = [_row(path, key, of) for key, of in saved['rows'].items()]
    return Sweep(
      saved['name'],
      saved['title'],
      ' '.join(saved['about'].split()),
      saved['settings'] or {'': ''},
      rows,
      saved['shown'],
    )
  except (json.JSONDecodeError, KeyError) as error:
    raise errors.UserError(
      f'{path / FILE} is not what experiments.sweep writes'
    ) from error


def _row(path: pathlib.Path, key: str, saved: dict[str, Any]) -> Row:
  folders = [f.parent for f in path.glob(f'trials/{key}-seed*/result.json')]
  folders.sort(key=lambda f: int(f.name.rpartition('-seed')[2]))
  kept = {name: saved[name] for name in ('name', 'setting', 'line', 'x', 'quoted')}
  return Row(key=key, runs=[run_folder.read(f) for f in folders], **kept)


def missing(sweep: Sweep, setting: str) -> list[str]:
  """Keys of rows that have no run, without the setting's."""
  rows = (row for row in sweep.rows if row.setting == setting and not row.runs)
  return [row.key.removesuffix(f'-{setting}') for row in rows]
