"""What a detector reads of sessions, where that is more than event vectors."""

from typing import Any

import numpy as np

from metalog_jax import errors, types
from metalog_jax.batches import sequences as batches
from metalog_jax.embeddings import states, texts, windows


def table(config: Any, templates: tuple[str, ...], vectors: np.ndarray) -> Any:
  """`vectors` [V, D], or what stands for them in a `types.Dataset`.

  Args:
    config: LogMeta's.
    templates: [V].
    vectors: [V, D] of them.

  Raises:
    UserError: see `check`.
  """
  check(config)
  if config.token_level:
    return windows.Windows(templates, vectors, config.embedding, config.max_tokens)
  if config.encoder_trainable:
    layers = config.encoder_trainable
    return states.States(templates, vectors, config.embedding, layers)
  return vectors


def check(config: Any) -> None:
  """Checks that settings which need an encoder have one.

  Raises:
    UserError: they have not, or exclude each other.
  """
  asked = [
    name for name in ('token_level', 'encoder_trainable') if getattr(config, name)
  ]
  if len(asked) == 2:
    raise errors.UserError('--logmeta.token_level reads an encoder that is not trained')
  if asked and not isinstance(config.embedding, texts.Encoder):
    raise errors.UserError(
      f'--logmeta.{asked[0]} needs an encoder, and events are word vectors here: give '
      '--encoder'
    )


def sequences(data: types.Dataset, collapse: int, max_events: int) -> batches.Sequences:
  """`batches.sequences`: of events, or of what `windows.Windows` makes of them."""
  seqs = batches.sequences(data.sessions, collapse, max_events)
  if not isinstance(data.vectors, windows.Windows):
    return seqs
  rows = [
    data.vectors.sub_words(seqs.events[start:end])[0]
    for start, end in zip(seqs.offsets[:-1], seqs.offsets[1:])
  ]
  own = batches.sequences(bare(rows), 0, data.vectors.longest)
  return own._replace(inverse=own.inverse[seqs.inverse])


def bare(rows: list[np.ndarray]) -> types.Sessions:
  """Sessions of which nothing is known but their events."""
  offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
  nothing = np.zeros(len(rows), np.int64)
  return types.Sessions(
    nothing.astype(object),
    np.full(len(rows), np.nan),
    np.concatenate([np.zeros(0, np.int32), *rows]),
    offsets,
    np.full(len(rows), -1, np.int8),
    nothing,
    nothing,
  )


def per_event(
  data: types.Dataset, events: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """What weighs each place of a sequence of `sequences` -> each of its events [L]."""
  if isinstance(data.vectors, windows.Windows):
    return data.vectors.shares(events, weights)
  return weights
