"""Templates as the states of their tokens, below those layers that are trained.

What the layers below give is computed once and kept on disk, as event vectors are.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import pretrained, rows, tables, texts

UNIT = 8  # rows are a multiple of this wide: few programs


class States(tables.Read):
  """Event vectors, and the states of tokens that the upper layers make them from.

  A batch holds the events that occur, several in a row: [R, L, D + 1]. The last number
  is 0 at padding, else i + 1 for the tokens of event number i. The unknown event keeps
  the vector that it has, in one cell marked - (i + 1): it is no text, and the mean of
  all would be dear (our choice).

  Args:
    templates: [V].
    vectors: [V, D], of the encoder as it is on disk.
    config: the encoder.
    top_layers: of those that are computed, how many are trained.

  Raises:
    UserError: there is no such model, or it has not so many layers.
  """

  def __init__(
    self,
    templates: Sequence[str],
    vectors: np.ndarray,
    config: texts.Encoder,
    top_layers: int,
  ):
    super().__init__(templates, vectors)
    own = lower_states(self.texts[types.UNKNOWN + 1 :], config, top_layers)
    self.states = [vectors[[types.UNKNOWN]], *own]  # each [tokens, D]
    self.width = -(-max(map(len, self.states)) // UNIT) * UNIT  # L

  def num_rows(self, events: np.ndarray) -> int:
    """R for different `events` [n]."""
    return len(self._place(events))

  def pack(self, events: np.ndarray, num: int) -> np.ndarray | None:
    """Rows [num, L, D + 1] of different `events` [n], or None: they do not fit."""
    placed = self._place(events)
    if len(placed) > num:
      return None
    found = np.zeros((num, self.width, self.vectors.shape[1] + 1), np.float32)
    for row, (_, members) in zip(found, placed):
      start = 0
      for i in members:
        states = self.states[events[i]]
        part = slice(start, start := start + len(states))
        row[part, :-1] = states
        row[part, -1] = -(i + 1) if events[i] == types.UNKNOWN else i + 1
    return found

  def lay(self, events, lengths, cells, most):
    """See `tables.Read`: the table is `pack` of the events that occur."""
    own, numbers = np.unique(events, return_inverse=True)
    table = self.pack(own, most or self.num_rows(np.arange(len(self))))
    return None if table is None else (table, numbers)

  def _place(self, events):
    return rows.place([len(self.states[event]) for event in events], self.width)


def aligned(found: Sequence[Any]) -> list[Any]:
  """`found`, with rows as wide as the widest of all."""
  widest = max((one.width for one in found if isinstance(one, States)), default=0)

  def wider(one: Any) -> Any:
    if not isinstance(one, States):
      return one
    one = copy.copy(one)
    one.width = widest
    return one

  return [wider(one) for one in found]


def form_of(config: texts.Encoder, top_layers: int) -> pretrained.Form:
  """The encoder as far as it is computed: its last layer is the last that is read.

  Raises:
    UserError: there is no such model, or it has not so many layers.
  """
  model = texts.load(config)
  if top_layers > model.depth:
    raise errors.UserError(
      f'{model.folder}: {top_layers} layers to train, of {model.depth} that are read '
      '(--logmeta.encoder_trainable)'
    )
  return dataclasses.replace(model.form, layers=model.depth)


def lower_states(
  templates: Sequence[str], config: texts.Encoder, top_layers: int
) -> list[np.ndarray]:
  """The states of the tokens of templates below the top layers, each [tokens, D]."""
  below = form_of(config, top_layers).layers - top_layers
  return texts.encode_tokens(templates, dataclasses.replace(config, layer=below))
