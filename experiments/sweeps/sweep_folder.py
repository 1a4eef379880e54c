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
from metalog_jax.report import results
from metalog_jax.runs import record

FILE = 'sweep.json'


class Row(NamedTuple):
  """One row of a table, with a run a seed."""

  key: str
  name: str
  setting: str  # key of Sweep.settings
  line: str  # rows of one line are points of one curve
  x: float | None
  quoted: dict[str, float]  # what the paper prints
  runs: list[record.Run]

  def value(self, kind: str, measure: str) -> results.Value:
    return results.value(self.results, self.test, kind, measure)

  @property
  def results(self) -> list[results.Result]:
    return [run.result for run in self.runs]

  @property
  def seeds(self) -> str:
    return ','.join(str(result.get('seed')) for result in self.results)

  @property
  def test(self) -> str:
    """The test set that the row is about: its first."""
    return results.tests(self.results)[0]

  def quote(self, measure: str) -> float:
    """In the unit of the paper (per cent); NaN where it prints nothing."""
    return self.quoted.get(measure, math.nan)


class Sweep(NamedTuple):
  """One table or figure."""

  name: str
  title: str
  about: str
  settings: dict[str, str]  # key -> name
  rows: list[Row]
  shown: dict[str, Any]  # x, against: see table_files.py

  def of(self, setting: str) -> list[Row]:
    """The rows of a setting that have a run."""
    return [row for row in self.rows if row.setting == setting and row.runs]

  def missing(self, setting: str) -> list[str]:
    """Keys of rows that have no run, without the setting's."""
    rows = (row for row in self.rows if row.setting == setting and not row.runs)
    return [row.key.removesuffix(f'-{setting}') for row in rows]

  def reference(self, setting: str) -> Row | None:
    """The row of a setting that the others are held against."""
    keys = self.reference_keys(setting)
    return next((row for row in self.of(setting) if row.key in keys), None)

  def reference_keys(self, setting: str) -> tuple[str, str]:
    """What the key of that row may be."""
    against = self.shown.get('against')
    return against, f'{against}-{setting}'


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
    rows = [_row(path, key, row) for key, row in saved['rows'].items()]
    about = ' '.join(saved['about'].split())
    settings = saved['settings'] or {'': ''}
    return Sweep(saved['name'], saved['title'], about, settings, rows, saved['shown'])
  except errors.UserError:  # of a run
    raise
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.UserError(
      f'{path / FILE} is not what experiments.sweep writes: run the sweep again'
    ) from error


def _row(path: pathlib.Path, key: str, saved: dict[str, Any]) -> Row:
  folders = [file.parent for file in path.glob(f'trials/{key}-seed*/result.json')]
  folders.sort(key=lambda folder: int(folder.name.rpartition('-seed')[2]))
  fields = {name: saved[name] for name in ('name', 'setting', 'line', 'x', 'quoted')}
  return Row(key=key, runs=[record.read(folder) for folder in folders], **fields)
