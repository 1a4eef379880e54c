"""What LogMeta reads of a system's events, where that is more than their vectors."""

from typing import Any

import numpy as np

from metalog_jax.embeddings import states, texts


def table(config: Any, templates: tuple[str, ...], vectors: np.ndarray) -> Any:
  """`vectors` [V, D], or what stands for them in a `types.Dataset`.

  Args:
    config: LogMeta's.
    templates: [V].
    vectors: [V, D] of them.

  Raises:
    ValueError: the settings want an encoder, and vectors are not from one.
  """
  if not config.encoder_trainable:
    return vectors
  return states.States(templates, vectors, encoder(config), config.encoder_trainable)


def encoder(config: Any) -> texts.Encoder:
  """What embeds events.

  Raises:
    ValueError: it is word vectors.
  """
  if not isinstance(config.embedding, texts.Encoder):
    raise ValueError(
      '--logmeta.encoder_trainable: word vectors have no layers to train: give an '
      '--encoder'
    )
  return config.embedding
