"""Event vectors: TF-IDF weighted sums of word vectors (MetaLog's GCSE, Eq. 1).

Word vectors know the meaning of words in every system, so events of two systems
that never shared a template still land in one space.
"""

import collections
import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import tables, words
from metalog_jax.embeddings import vectors as word_vectors


@dataclasses.dataclass(frozen=True)
class Embedding:
  """How templates become vectors."""

  vectors: str = word_vectors.DEFAULT  # a name or a path: vectors.load
  idf: Literal['joint', 'per_system'] = 'joint'  # over whose templates n_l counts
  variant: Literal['paper', 'reference'] = 'paper'
  oov: Literal['zero', 'skip', 'hash'] = 'zero'  # words without a vector


class Idf(NamedTuple):
  """What was counted: log(documents / counts[token]) weighs a token."""

  documents: int
  counts: dict[str, int]

  def weight(self, token: str) -> float:
    """A token that no fitted template holds counts as if one did."""
    return math.log(self.documents / max(self.counts.get(token, 1), 1))


def embed(
  systems: Sequence[Sequence[str]],
  config: Embedding = Embedding(),
  fit: Sequence[np.ndarray | None] | None = None,
  loaded=None,
) -> list[tables.Table]:
  """Embed the templates of systems that will be used together.

  Args:
    systems: per system its V templates; index UNKNOWN is the unknown event.
    config: the variant, the IDF's scope, the word vectors.
    fit: per system [V] bool, which templates the IDF (and the unknown event's
      mean) may count: those of the training part; None for all of them.
    loaded: KeyedVectors, in place of loading `config.vectors`.

  Returns:
    Per system a Table.

  References:
    Zhang et al, MetaLog, ICSE 2024, Eq. 1.
  """
  fit = fit or [None] * len(systems)
  masks = [tables.fitted(texts, mask) for texts, mask in zip(systems, fit, strict=True)]
  if loaded is None:
    style = config.variant
    needed = {w for texts in systems for t in texts[1:] for w in words.words(t, style)}
    loaded = word_vectors.load(config.vectors, needed)
    if needed and not len(loaded) and config.oov != 'hash':
      raise errors.UserError(
        f'{config.vectors}: none of the {len(needed)} words of the templates has a '
        'vector there (--vectors)'
      )
  fitted = [
    [text for text, kept in zip(texts, mask, strict=True) if kept]
    for texts, mask in zip(systems, masks, strict=True)
  ]
  if config.idf == 'joint':
    fitted = [sum(fitted, [])] * len(systems)
  idfs = [count(texts, config.variant) for texts in fitted]
  return [
    apply(texts, idf, config, loaded, mask)
    for texts, idf, mask in zip(systems, idfs, masks, strict=True)
  ]


def count(templates: Sequence[str], variant: words.Style) -> Idf:
  """Count in how many templates each token is (`reference`: how often in all)."""
  counts: collections.Counter[str] = collections.Counter()
  for text in templates:
    names = words.names(text, variant)
    counts.update(names if variant == 'reference' else set(names))
  return Idf(max(len(templates), 1), dict(counts))


def apply(
  templates: Sequence[str], idf: Idf, config: Embedding, loaded, mask=None
) -> tables.Table:
  """Embed one system's templates with counts taken elsewhere."""
  mask = tables.fitted(templates, mask)
  table = np.zeros((len(templates), loaded.vector_size))
  for event, text in enumerate(templates):
    if event != types.UNKNOWN:
      table[event] = event_vector(text, idf, config, loaded)
  vectors = tables.with_unknown(table, mask)
  return tables.Table(vectors, _coverage(templates, config, loaded))


def event_vector(text: str, idf: Idf, config: Embedding, loaded) -> np.ndarray:
  """The vector of one event, [D] float64; zero where it has no words.

  paper:      V_e = (1/n_e) Σ_i (n_wi / n_e) log(n_l / n_l^wi) V_wi
              over its n_e words with repeats; n_w of them are w; n_l templates, of
              which n_l^w hold w.
  reference:  V_e = Σ_t (n_t / n_e) log(n_l / c_t) u_t
              over its n_e tokens with repeats; c_t occurrences of t in all templates;
              u_t the mean vector of the token's words, unknown ones as zero.
  """
  parts = list(_known_parts(text, config, loaded))
  uses = collections.Counter(name for name, _ in parts)
  total = np.zeros(loaded.vector_size)
  for name, vector in parts:
    total += uses[name] / len(parts) * idf.weight(name) * vector
  return total / len(parts) if parts and config.variant == 'paper' else total


def _known_parts(text, config, loaded):
  """(token, mean vector of its words) under the policy for unknown words."""
  style = config.variant
  for name, token in zip(
    words.names(text, style), words.tokens(text, style), strict=True
  ):
    if config.oov == 'skip':
      token = [word for word in token if word in loaded.key_to_index]
    if token or config.oov != 'skip':
      yield name, _mean_vector(token, config, loaded)


def _mean_vector(token, config, loaded):
  total = np.zeros(loaded.vector_size)
  for word in token:
    if word in loaded.key_to_index:
      total += loaded.vectors[loaded.key_to_index[word]]
    elif config.oov == 'hash':
      total += _hash_vector(word, loaded.vector_size)
  return total / max(len(token), 1)


def _hash_vector(word, dim):
  """The same random vector for a word everywhere, spread like GloVe's."""
  seed = int.from_bytes(
    hashlib.blake2b(word.encode(), digest_size=8).digest(), 'little'
  )
  return 0.5 * np.random.default_rng(seed).standard_normal(dim)


def _coverage(templates, config, loaded):
  uses = collections.Counter(
    word for text in templates[1:] for word in words.words(text, config.variant)
  )
  return tables.cover(dict(uses.most_common()), loaded.key_to_index)
