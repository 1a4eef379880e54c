"""Faults of the released MetaLog: a copy of its attention, rows of another table."""

from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import types


class Copied(NamedTuple):
  """A batch that is judged by the copy of the parameters: the query of a task."""

  batch: Any


def with_copy(params: Any, other: Any) -> Any:
  """Adds the attention of the copy, whose parameters nothing ever reaches.

  The release copies only modules without children, and its attention has one.
  """
  return {**params, 'copy': other['attention']}


def seen(params: Any, batch: Any) -> tuple[Any, Any]:
  """The parameters and the batch that the network sees.

  Args:
    params: as `with_copy` makes them.
    batch: a types.Batch of a source, or a Copied one of the target.
  """
  rest = {name: value for name, value in params.items() if name != 'copy'}
  if not isinstance(batch, Copied):
    return rest, batch
  return rest | {'attention': jax.lax.stop_gradient(params['copy'])}, batch.batch


def wrong_rows(transfer: types.Transfer) -> types.Transfer:
  """Source events by their own numbers in a table that begins with the target's.

  Source event k reads the vector of target event k, or, beyond the T events of the
  target, that of source event k - T.
  """
  if transfer.target is None:
    return transfer
  table = transfer.target.vectors

  def misread(source: types.Dataset) -> types.Dataset:
    joint = np.concatenate([table, source.vectors[1:]])  # event 0 is the unknown one
    return source._replace(vectors=joint[: len(source.vectors)])

  return transfer._replace(sources=tuple(map(misread, transfer.sources)))
