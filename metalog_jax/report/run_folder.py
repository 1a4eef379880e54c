"""A run folder as a record: what training left behind, read and checked.

Enters: a folder with result.json and, where the run got that far, config.json,
environment.json, metrics.jsonl, scores.parquet and explained.json. Leaves: a
`Run`. Only result.json must be there; the report says less without the others.
"""

import json
import math
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import errors

_SCORE_COLUMNS = ('system', 'session_id', 'label', 'score')


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
  history: dict[str, tuple[np.ndarray, np.ndarray]]  # key -> steps [N], values [N]
  scores: dict[str, Scores]  # test set -> scores
  explained: dict[str, list[dict[str, Any]]]  # test set -> sessions

  @property
  def name(self) -> str:
    return self.path.resolve().name


def read(path: str | os.PathLike) -> Run:
  """Read a run folder.

  Raises:
    UserError: no result.json, or a file that is not what it should be.
  """
  path = pathlib.Path(path)
  if not (path / 'result.json').is_file():
    raise errors.UserError(
      f'{path} holds no result.json: --runs takes folders that experiments.train'
      ' has finished writing'
    )
  result = _json(path / 'result.json')
  if not isinstance(result.get('test'), dict):
    raise errors.UserError(f'{path / "result.json"} has no "test" to report on')
  return Run(
    path=path,
    result=result,
    config=_json(path / 'config.json'),
    environment=_json(path / 'environment.json'),
    history=_history(path / 'metrics.jsonl'),
    scores=_scores(path / 'scores.parquet'),
    explained=_json(path / 'explained.json'),
  )


def _json(path: pathlib.Path) -> dict[str, Any]:
  """The object in a JSON file; empty where there is no such file."""
  if not path.is_file():
    return {}
  try:
    value = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.UserError(f'{path} is not JSON: {error}') from error
  if not isinstance(value, dict):
    raise errors.UserError(f'{path} holds a {type(value).__name__}, not an object')
  return value


def _history(path: pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """The curves in metrics.jsonl; of a step that was done twice, the later one."""
  curves: dict[str, dict[float, float]] = {}
  lines = path.read_bytes().splitlines() if path.is_file() else []
  for number, line in enumerate(lines, 1):
    try:
      row = json.loads(line)
    except ValueError as error:
      if number == len(lines):
        break  # a run that was killed may leave half a line behind
      raise errors.UserError(f'{path}:{number} is not JSON: {error}') from error
    step = row.pop('step', number)
    for key, value in row.items():
      if isinstance(value, int | float) and not isinstance(value, bool):
        curves.setdefault(key, {})[step] = value
  return {key: _curve(points) for key, points in curves.items()}


def _curve(points: dict[float, float]) -> tuple[np.ndarray, np.ndarray]:
  steps = sorted(step for step, value in points.items() if math.isfinite(value))
  return np.array(steps, float), np.array([points[step] for step in steps], float)


def _scores(path: pathlib.Path) -> dict[str, Scores]:
  """Labelled finite scores by test set."""
  if not path.is_file():
    return {}
  import pyarrow as pa
  import pyarrow.parquet as pq

  try:
    table = pq.read_table(path)
  except (pa.ArrowInvalid, OSError) as error:
    raise errors.UserError(f'{path} is not a Parquet file: {error}') from error
  missing = [name for name in _SCORE_COLUMNS if name not in table.column_names]
  if missing:
    raise errors.UserError(f'{path} has no column {", ".join(missing)}')
  systems = np.array(table['system'].to_pylist(), object)
  ids = np.array(table['session_id'].cast('string').to_pylist(), object)
  labels = np.array(table['label'].cast('float64').fill_null(-1).to_numpy())
  scores = np.array(table['score'].cast('float64').fill_null(np.nan).to_numpy())
  use = np.isin(labels, (0, 1)) & np.isfinite(scores)
  return {
    name: Scores(
      ids[(systems == name) & use],
      labels[(systems == name) & use].astype(np.int8),
      scores[(systems == name) & use],
      int(((systems == name) & ~use).sum()),
    )
    for name in dict.fromkeys(systems)
  }
