"""Scores on Beam: sessions of any pipeline, or raw logs, judged by a trained model."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import polars as pl
import pyarrow as pa

from metalog_jax.beam import prepare, sessions
from metalog_jax.logs import sessions as sessions_lib
from metalog_jax.logs import systems
from metalog_jax.runs import detect, tables
from metalog_jax.runs import model as models

COLUMNS = ('session_id', 'time', 'events', 'first_line', 'last_line')
SHOWN = (
  'session_id',
  'first_line',
  'last_line',
  'score',
  'anomalous',
  'unknown_events',
)
ROWS = 4096  # sessions in a table


class Detect(beam.PTransform):
  """Arrow tables of sessions -> the same with score, anomalous and unknown_events.

  See `tables.ScoreBatches`, which every worker has one of.
  """

  def __init__(self, workdir: str | os.PathLike, threshold: float | None = None):
    super().__init__()
    self._score = tables.ScoreBatches(workdir, threshold)

  def expand(self, sessions_of: Any) -> Any:
    """Builds the pipeline."""
    return sessions_of | 'score' >> beam.Map(self._score).with_output_types(pa.Table)


class Judged(beam.PTransform):
  """From nothing to the verdicts on raw logs, as Arrow tables; and `Found`.

  Lines are read as the target's were in training, and get the model's templates. New
  templates are not mined (`detect` does so for an encoder's models).

  Args:
    workdir: a finished run.
    logs: files, folders, patterns.
    partitions, chunk_bytes: of `sessions.Sessions`; 0: by the size of the logs.
  """

  def __init__(
    self,
    workdir: str | os.PathLike,
    logs: Sequence[str],
    threshold: float | None = None,
    partitions: int = 0,
    chunk_bytes: int = 0,
  ):
    super().__init__()
    model = models.load(workdir)
    options = dataclasses.replace(
      model.options, logs=tuple(map(str, logs)), labels='', fit='all', keep_lines=False
    )
    task = systems.Task(options, detect.templates_of(model), False, sessions.NOWHERE)
    prepare.check(task)
    paths = sessions.expand(task)
    partitions = partitions or sessions.partitions_for(paths)
    self._sessions = sessions.Sessions(task, paths, partitions, chunk_bytes)
    self._detect = Detect(workdir, threshold)

  def expand(self, pipeline: Any) -> Any:
    """Builds the pipeline: tables, `sessions.Found`."""
    found = pipeline | 'sessions' >> self._sessions
    judged = (
      found.sessions | 'tables' >> beam.FlatMap(_tables) | 'judge' >> self._detect
    )
    return judged, found


def _tables(element: tuple[int, pl.DataFrame]) -> Iterator[pa.Table]:
  frame = element[1].select(COLUMNS)
  for part in frame.iter_slices(ROWS):
    yield sessions_lib.to_arrow(part)


def to_json(table: pa.Table) -> list[str]:
  """Verdicts as JSON lines."""
  return [json.dumps(row) for row in table.select(SHOWN).to_pylist()]
