"""Sessions in Arrow tables, scored by a trained model: for engines that map batches.

score_batches = tables.ScoreBatches('runs/a')
dataset.map_batches(score_batches, batch_format='pyarrow')             # Ray Data
frame.mapInArrow(lambda batches: map(score_batches, batches), schema)  # Spark
"""

import functools
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metalog_jax import errors, machine, types
from metalog_jax.evaluation import scoring
from metalog_jax.runs import detect
from metalog_jax.runs import model as models


class ScoreBatches:
  """A function of tables that can be sent to any process.

  The model is loaded once a process, at the first table.
  """

  def __init__(self, workdir: str | os.PathLike, threshold: float | None = None):
    """Takes a finished run, and what scores are anomalous above; None: the run's own.

    Whether there is such a run, with a threshold, is seen at the first table.
    """
    self._workdir = os.path.abspath(workdir)
    self._threshold = threshold

  def __call__(self, table: pa.Table | pa.RecordBatch) -> pa.Table | pa.RecordBatch:
    """Adds the columns `score`, `anomalous` and `unknown_events`.

    Args:
      table: with a column `events`: lists of the model's own events, as in the
        sessions.parquet of a System that was prepared with its templates.

    Raises:
      UserError: the folder is no finished run, or has no threshold; the column is
        missing, or names an event that the model lacks.
    """
    model, scorer = _load(self._workdir)
    threshold = detect.threshold_of(model, self._threshold)
    sessions = _sessions(table, len(model.texts))
    data = types.Dataset('', sessions, model.vectors, model.texts)
    scores = scorer.scores(model.state, data) if sessions.num else np.zeros(0)
    unknown = np.concatenate([[0], np.cumsum(sessions.events == types.UNKNOWN)])
    new = {
      'score': scores,
      'anomalous': scores > threshold,
      'unknown_events': np.diff(unknown[sessions.offsets]).astype(np.int32),
    }
    for name, values in new.items():
      table = table.append_column(name, pa.array(values))
    return table


@functools.lru_cache
def _load(workdir: str) -> tuple[models.Model, scoring.Scorer]:
  machine.use()
  model = models.load(workdir)
  return model, scoring.Scorer(model.detector)


def _sessions(table: pa.Table | pa.RecordBatch, num_events: int) -> types.Sessions:
  if 'events' not in table.schema.names:
    raise errors.UserError('the table has no column events: give sessions of a System')
  column = table['events']
  lengths = pc.list_value_length(column)
  if lengths.null_count:
    raise errors.UserError('the column events has an empty cell')
  flat = pc.list_flatten(column)
  events = flat.to_numpy(zero_copy_only=False) if len(flat) else np.zeros(0)
  if not np.all((events >= 0) & (events < num_events)):
    raise errors.UserError(
      f'the column events has other events than 0 to {num_events - 1}: prepare the '
      "logs with the model's templates"
    )
  offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))])
  return types.Sessions.bare(events.astype(np.int32), offsets.astype(np.int64))
