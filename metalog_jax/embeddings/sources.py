"""The sources of event vectors, by their configs: word vectors or an encoder."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from metalog_jax import errors
from metalog_jax.embeddings import event_tables, gcse, pretrained, texts

Config = gcse.Embedding | texts.Encoder


def embed(
  systems: Sequence[Sequence[str]],
  config: Config,
  fit: Sequence[np.ndarray | None] | None = None,
) -> list[event_tables.Table]:
  """Embeds the templates of systems that will be used together; see `gcse.embed`."""
  if isinstance(config, texts.Encoder):
    return texts.embed(systems, config, fit)
  return gcse.embed(systems, config, fit)


def can_extend(config: Config) -> bool:
  """Whether a template's vector depends on nothing but itself: see `encode`."""
  return isinstance(config, texts.Encoder)


def encode(templates: Sequence[str], config: Config) -> np.ndarray:
  """The vectors of templates that `embed` was not given, [n, D] float32.

  Raises:
    UserError: not from word vectors, whose weights were counted over all templates.
  """
  if not isinstance(config, texts.Encoder):
    raise errors.UserError(
      'word vectors are weighed by all templates: embed them together'
    )
  return texts.encode(templates, config)


def choose(
  config: Config, vectors: str | None, encoder: str | None, prefer_encoder: bool = False
) -> Config:
  """`config`, or what was asked for in its place: word vectors, or an encoder.

  Args:
    config: of a preset; its other settings stay if it is of the kind asked for.
    vectors: a name or a path; None or '': not asked for.
    encoder: likewise.
    prefer_encoder: where nothing is asked for and the default encoder is installed,
      take it.

  Raises:
    UserError: both are asked for.
  """
  if vectors and encoder:
    raise errors.UserError(
      '--vectors and --encoder: events have vectors from one of them'
    )
  if vectors:
    words = config if isinstance(config, gcse.Embedding) else gcse.Embedding()
    return dataclasses.replace(words, vectors=vectors)
  if encoder:
    read = config if isinstance(config, texts.Encoder) else texts.Encoder()
    return dataclasses.replace(read, path=encoder)
  return texts.Encoder() if prefer_encoder and pretrained.is_installed() else config
