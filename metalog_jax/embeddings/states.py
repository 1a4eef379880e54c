"""Templates as the states of their tokens, below those layers that are trained.

What the layers below give is computed once and kept on disk, as event vectors are.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from metalog_jax import types
from metalog_jax.embeddings import pretrained, tables, texts

TOKEN, PADDING, READY = 1.0, 0.0, -1.0  # marks; READY: a vector that needs no layer
UNIT = 8  # L is rounded up to this: few programs


class States(tables.Read):
  """Event vectors, and the states [V, L, D + 1] that the upper layers make them from.

  The last number is a mark: TOKEN or PADDING. The unknown event keeps the vector that
  it has, marked READY: it is no text, and the mean of all would be dear (our choice).

  Args:
    templates: [V].
    vectors: [V, D], of the encoder as it is on disk.
    config: the encoder.
    top_layers: of those that are computed, how many are trained.

  Raises:
    ValueError: there is no such model, or it has not so many layers.
  """

  def __init__(
    self,
    templates: Sequence[str],
    vectors: np.ndarray,
    config: texts.Encoder,
    top_layers: int,
  ):
    super().__init__(templates, vectors)
    states = lower_states(self.texts[types.UNKNOWN + 1 :], config, top_layers)
    longest = -(-max(map(len, states), default=1) // UNIT) * UNIT
    self.states = np.zeros((len(vectors), longest, vectors.shape[1] + 1), np.float32)
    self.states[types.UNKNOWN, 0] = [*vectors[types.UNKNOWN], READY]
    for own, state in zip(self.states[types.UNKNOWN + 1 :], states):
      own[: len(state), :-1], own[: len(state), -1] = state, TOKEN

  def take(self, events: np.ndarray, num: int) -> np.ndarray:
    """The states of `events` [n], and padding: [num, L, D + 1]."""
    found = np.zeros((num, *self.states.shape[1:]), np.float32)
    found[: len(events)] = self.states[events]
    return found

  def lay(self, events, lengths, cells, most):
    """See `tables.Read`: the table is `take` of the events that occur."""
    own, numbers = np.unique(events, return_inverse=True)
    num = most or len(self)
    return None if len(own) > num else (self.take(own, num), numbers)


def aligned(found: Sequence[Any]) -> list[Any]:
  """`found`, with room in each for the longest template of all: L is the same."""
  longest = max((x.states.shape[1] for x in found if isinstance(x, States)), default=0)

  def wider(one: Any) -> Any:
    if not isinstance(one, States):
      return one
    one, more = copy.copy(one), longest - one.states.shape[1]
    one.states = np.pad(one.states, ((0, 0), (0, more), (0, 0)))
    return one

  return [wider(one) for one in found]


def form_of(config: texts.Encoder, top_layers: int) -> pretrained.Form:
  """The encoder as far as it is computed: its last layer is the last that is read.

  Raises:
    ValueError: there is no such model, or it has not so many layers.
  """
  model = texts.load(config)
  if top_layers > model.depth:
    raise ValueError(
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
