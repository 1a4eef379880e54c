"""A run folder as a record: what training left behind, verified and read."""

import json
import math
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax.runs import folder

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
  history: History  # empty for a run that was adapted and not trained
  scores: dict[str, Scores]  # test set -> scores
  explained: dict[str, list[dict[str, Any]]]  # test set -> sessions: `scoring.explain`

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
  with folder.reading(path / folder.METRICS):
    history = _history(path / folder.METRICS)
  with folder.reading(path / folder.SCORES):
    scores = _scores(path / folder.SCORES)
  return Run(
    path,
    folder.read_json(path / folder.RESULT),
    folder.read_json(path / folder.CONFIG),
    folder.read_json(path / folder.ENVIRONMENT),
    history,
    scores,
    folder.read_json(path / folder.EXPLAINED),
  )


def _history(path: pathlib.Path) -> History:
  """The curves in metrics.jsonl."""
  curves: dict[str, dict[float, float]] = {}
  for line in path.read_bytes().splitlines() if path.exists() else ():
    row = json.loads(line)
    step = row.pop('step')
    for key, value in row.items():
      if isinstance(value, int | float) and math.isfinite(value):
        curves.setdefault(key, {})[step] = value
  return {
    key: (np.array(sorted(points)), np.array([points[step] for step in sorted(points)]))
    for key, points in curves.items()
  }


def _scores(path: pathlib.Path) -> dict[str, Scores]:
  """Labelled finite scores by test set."""
  scores = {}
  for (test,), part in pl.read_parquet(path, glob=False).group_by(
    'system', maintain_order=True
  ):
    used = part.filter(pl.col('label') >= 0, pl.col('score').is_finite())
    ids, labels, values = (used[n].to_numpy() for n in ('session_id', 'label', 'score'))
    left_out = len(part) - len(used)
    scores[str(test)] = Scores(ids, labels.astype(np.int8), values, left_out)
  return scores
