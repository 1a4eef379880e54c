"""A run folder as a record: what training left behind, read and checked.

Enters: a finished run folder. Leaves: a `Run`. No file may be damaged or another run's.
Runs of 0.1.0 have no checksums: their files must not contradict each other, and the
report says which are missing.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.evaluation import metrics
from metalog_jax.runs import folder

_COLUMNS = ('session_id', 'label', 'score')
_NUMBER = (int, float, type(None))
_DICT, _LIST = (dict, type(None)), (list, type(None))
_RESULT = {'test': dict, 'detector': str, 'steps': _NUMBER, 'labels_seen': _DICT}
_RESULT |= {'seconds': _DICT, 'source': _LIST, 'simulated': _LIST}
_SESSION = {'session_id': str, 'label': int, 'score': float, 'why': str, 'events': list}
_EVENT = {'event': int, 'template': str, 'weight': _NUMBER}


History = dict[str, tuple[np.ndarray, np.ndarray]]  # key -> steps [N], values [N]


class Scores(NamedTuple):
  """Scores of the labelled sessions of one test set."""

  ids: np.ndarray  # [S] of str
  labels: np.ndarray  # [S] int8, 0 or 1
  scores: np.ndarray  # [S] float64, finite
  left_out: int  # sessions without a label or without a finite score


class Run(NamedTuple):
  """One run folder."""

  path: pathlib.Path
  result: dict[str, Any]
  config: dict[str, Any]
  environment: dict[str, Any]
  history: History
  scores: dict[str, Scores]  # test set -> scores
  explained: dict[str, list[dict[str, Any]]]  # test set -> sessions, see _SESSION
  missing: tuple[str, ...]  # names of files that are not there

  @property
  def name(self) -> str:
    return self.path.resolve().name


def read(path: str | os.PathLike) -> Run:
  """Reads a run folder.

  Raises:
    UserError: the run is not finished; or a file is missing, damaged or another run's.
  """
  path = pathlib.Path(path)
  folder.verify(path)
  readers = {
    folder.ENVIRONMENT: folder.read_json,
    folder.METRICS: _history,
    folder.SCORES: _scores,
    folder.EXPLAINED: _explained,
  }
  missing = tuple(name for name in readers if not (path / name).is_file())
  result, config = _result(path / folder.RESULT), folder.read_json(path / folder.CONFIG)
  parts: list[Any] = [
    {} if name in missing else readers[name](path / name) for name in readers
  ]
  run = Run(path, result, config, *(*parts, missing))
  if not (path / folder.CHECKSUMS).exists():
    _check_agreement(run)
  return run


def _result(path: pathlib.Path) -> dict[str, Any]:
  result = folder.read_json(path)
  if not _has(result, _RESULT):
    raise folder.damaged(path, f'not all of {", ".join(_RESULT)}')
  for name, test in result['test'].items():
    for scored in (test, *((test or {}).get('floors') or {}).values()):
      for kind in metrics.KINDS:
        measures = (scored or {}).get(kind) or {}
        if not _has(measures, dict.fromkeys(measures, _NUMBER)):
          raise folder.damaged(path, f'it has no figures of {name}, {kind} sessions')
  return result


def _history(path: pathlib.Path) -> History:
  """The curves in metrics.jsonl; of a step that was done twice, the later one."""
  curves: dict[str, dict[float, float]] = {}
  lines = path.read_bytes().splitlines()
  for number, line in enumerate(lines, 1):
    try:
      row = json.loads(line)
      step = float(row.pop('step', number))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
      if number == len(lines):
        break  # a run that was killed may leave half a line behind
      raise folder.damaged(path, f'line {number}: {error}') from error
    for key, value in row.items():
      if isinstance(value, int | float) and math.isfinite(value):
        curves.setdefault(key, {})[step] = value
  return {
    key: (np.array(sorted(points)), np.array([points[step] for step in sorted(points)]))
    for key, points in curves.items()
  }


def _scores(path: pathlib.Path) -> dict[str, Scores]:
  """Labelled finite scores by test set."""
  try:
    table = pl.read_parquet(path.read_bytes()).with_columns(
      pl.col('system', 'session_id').cast(pl.String),
      pl.col('label', 'score').cast(pl.Float64),
    )
  except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
    raise folder.damaged(path, error) from error
  is_used = pl.col('label').is_in([0.0, 1.0]) & pl.col('score').is_finite()
  scores = {}
  for part in table.partition_by('system', maintain_order=True):
    ids, labels, values = (part.filter(is_used)[name].to_numpy() for name in _COLUMNS)
    left_out = part.height - len(ids)
    scores[part['system'][0]] = Scores(ids, labels.astype(np.int8), values, left_out)
  return scores


def _explained(path: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
  explained = folder.read_json(path)
  if not all(
    _has(session, _SESSION) and all(_has(event, _EVENT) for event in session['events'])
    for sessions in explained.values()
    for session in (sessions if isinstance(sessions, list) else [{}])
  ):
    raise folder.damaged(path, 'a session lacks what a report shows')
  return explained


def _has(value: Any, fields: dict[str, Any]) -> bool:
  """Whether a value is an object with fields of these types."""
  return isinstance(value, dict) and all(
    isinstance(value.get(name), kind) for name, kind in fields.items()
  )


def _check_agreement(run: Run) -> None:
  """Checks that no file contradicts another.

  Raises:
    UserError: a file is another run's; it is named.
  """
  for name, agrees, what in _agreements(run):
    if not agrees and name not in run.missing:
      raise errors.UserError(
        f'{run.path / name} is not of this run, {what}: put back the file that the run'
        ' wrote, or train again with --overwrite'
      )


def _agreements(run: Run) -> Iterator[tuple[str, bool, str]]:
  """(file, whether it agrees with the others, in what)."""
  result, data = run.result, run.config.get('data') or {}
  settings = {key: run.config.get(key) for key in ('detector', 'preset')}
  settings |= {key: data.get(key) for key in ('seed', 'split')}
  settings['source'] = [
    pathlib.PurePath(path).name for path in data.get('source') or []
  ]
  settings['target'] = pathlib.PurePath(data.get('target') or '').name or None
  for key, value in settings.items():
    what = f'whose {key} is {result.get(key)!r} and not {value!r}'
    yield folder.CONFIG, (result.get(key) or None) == (value or None), what
  last = max((steps[-1] for steps, _ in run.history.values() if len(steps)), default=0)
  steps = result.get('steps') or last
  yield folder.METRICS, last <= steps, f'which had {steps} steps and not {last:.0f}'
  tests = ', '.join(result['test'])
  yield folder.SCORES, set(run.scores) == set(result['test']), f'which tests on {tests}'
  for test, part in run.scores.items():
    written = result['test'][test].get('all') or {}
    if written.get('threshold') is not None:
      figures = metrics.measure(part.labels, part.scores, written['threshold'])
      for key in ('sessions', 'anomalies', 'f1'):
        here, there = figures[key], written.get(key)
        agrees = math.isclose(here or 0, there or 0, rel_tol=1e-6)
        yield folder.SCORES, agrees, f'whose {key} on {test} is {there} and not {here}'
    known = set(zip(part.ids, part.scores, strict=True))
    for session in run.explained.get(test) or []:
      agrees = (session['session_id'], session['score']) in known
      what = f'which scored session {session["session_id"]} otherwise'
      yield folder.EXPLAINED, agrees or session['label'] not in (0, 1), what
