"""Event vectors: TF-IDF weighted sums of word vectors (MetaLog's GCSE, Eq. 1).

Word vectors know the meaning of words in every system, so events of two systems
that never shared a template still land in one space.
"""

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import event_tables, word_vectors, words


@dataclasses.dataclass(frozen=True)
class Embedding:
  """How templates become vectors."""

  vectors: str = word_vectors.DEFAULT  # a name or a path: `word_vectors.load`
  idf: Literal['joint', 'per_system'] = 'joint'  # over whose templates n_l counts
  variant: Literal['paper', 'reference'] = 'paper'

  def __post_init__(self):
    errors.check_choices(self)


class Idf(NamedTuple):
  """In how many documents each token is: log(documents / counts[token]) weighs it."""

  documents: int
  counts: dict[str, int]

  def weight(self, token: str) -> float:
    """A token that no fitted template holds counts as if one did."""
    return math.log(self.documents / max(self.counts.get(token, 1), 1))


def embed(
  systems: Sequence[Sequence[str]],
  config: Embedding = Embedding(),
  fit: Sequence[np.ndarray | None] | None = None,
  vectors: word_vectors.WordVectors | None = None,
) -> list[event_tables.Table]:
  """Embeds the templates of systems that will be used together.

  Args:
    systems: per system its V templates; index UNKNOWN is the unknown event.
    config: the variant, the IDF's scope, the word vectors.
    fit: per system [V] bool, which templates the IDF (and the unknown event's
      mean) may count: those of the training part; None for all of them.
    vectors: of words, in place of loading `config.vectors`.

  Returns:
    A table for each system, [V, D].

  Raises:
    UserError: no word vectors, or a mask does not fit.

  References:
    Zhang et al, MetaLog, ICSE 2024, Eq. 1.
  """
  fit = fit or [None] * len(systems)
  masks = [
    event_tables.fitted_rows(texts, mask)
    for texts, mask in zip(systems, fit, strict=True)
  ]
  if vectors is None:
    vectors = _load(systems, config)
  fitted = [
    [text for text, is_fitted in zip(texts, mask) if is_fitted]
    for texts, mask in zip(systems, masks)
  ]
  if config.idf == 'joint':
    fitted = [sum(fitted, [])] * len(systems)
  return [
    _table(texts, count(documents, config.variant), config, vectors, mask)
    for texts, documents, mask in zip(systems, fitted, masks)
  ]


def _load(systems, config: Embedding) -> word_vectors.WordVectors:
  """The vectors of the words that the templates hold."""
  needed = {
    word
    for texts in systems
    for t in texts[1:]
    for word in words.words(t, config.variant)
  }
  return word_vectors.load(config.vectors, needed)


def count(templates: Sequence[str], variant: words.Style) -> Idf:
  """Counts in how many templates each token is (`reference`: how often in all)."""
  counts: collections.Counter[str] = collections.Counter()
  for text in templates:
    names = [token.name for token in words.tokens(text, variant)]
    counts.update(names if variant == 'reference' else set(names))
  return Idf(max(len(templates), 1), dict(counts))


def _table(templates, idf: Idf, config: Embedding, vectors, mask) -> event_tables.Table:
  """Embeds the templates of one system."""
  table = np.zeros((len(templates), vectors.dim))
  for event, text in enumerate(templates):
    if event != types.UNKNOWN:
      table[event] = event_vector(text, idf, config, vectors)
  used = [word for text in templates[1:] for word in words.words(text, config.variant)]
  fitted_events = idf.documents if idf.counts else 0
  return event_tables.make_table(table, mask, used, vectors.rows, fitted_events)


def event_vector(
  text: str, idf: Idf, config: Embedding, vectors: word_vectors.WordVectors
) -> np.ndarray:
  """The vector of one event, [D] float64; zero where it has no words.

  paper:      V_e = (1/n_e) Σ_i (n_wi / n_e) log(n_l / n_l^wi) V_wi
              over its n_e words with repeats; n_w of them are w; n_l templates, of
              which n_l^w hold w.
  reference:  V_e = Σ_t (n_t / n_e) log(n_l / c_t) u_t
              over its n_e tokens with repeats; c_t occurrences of t in all templates;
              u_t the mean vector of the token's words, unknown ones as zero.
  """
  parts = list(_token_vectors(text, config, vectors))
  uses = collections.Counter(name for name, _ in parts)
  total = np.zeros(vectors.dim)
  for name, vector in parts:
    total += uses[name] / len(parts) * idf.weight(name) * vector
  return total / len(parts) if parts and config.variant == 'paper' else total


def _token_vectors(text, config, vectors) -> Iterator[tuple[str, np.ndarray]]:
  """(token, mean vector of its words); unknown words count as zero."""
  for name, parts in words.tokens(text, config.variant):
    total = np.zeros(vectors.dim)
    for word in parts:
      if word in vectors.rows:
        total += vectors.table[vectors.rows[word]]
    yield name, total / max(len(parts), 1)
