"""A session as the sub-words of its events' texts, which an encoder reads as one text.

There is no pooling: every sub-word's last hidden state is a step of the network, as in
LogRoBERTa and SemiRALD, but for padding, which is left out here. A session is cut to so
many sub-words, with the two that mark begin and end.

References:
  Sun et al, LogRoBERTa, Automated Software Engineering 2025. Sun et al, SemiRALD,
  Information and Software Technology 183, 2025.
"""

import collections
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from metalog_jax.embeddings import pretrained, tables, texts, tokens

BYTES = 1 << 30  # of encoded windows that are kept in memory (our choice)


class Windows(tables.Read):
  """Event vectors, and how a session of events becomes sub-words and their states.

  Args:
    templates: [V]; the unknown event is read as its name says.
    vectors: [V, D].
    config: the encoder; its pooling does not matter.
    longest: sub-words of a session at most.

  Raises:
    ValueError: there is no such model.
  """

  def __init__(
    self,
    templates: Sequence[str],
    vectors: np.ndarray,
    config: texts.Encoder,
    longest: int,
  ):
    super().__init__(templates, vectors)
    self._config = dataclasses.replace(config, max_tokens=longest)
    self._model = texts.load(self._config)
    self.longest = self._model.longest
    weights = (pretrained.WEIGHTS,)
    self._key = pretrained.fingerprint(self._model.folder, weights)
    self._kept: collections.OrderedDict[bytes, np.ndarray] = collections.OrderedDict()
    self._bytes = 0
    read = [texts.as_text(one, config.text) for one in self.texts]
    split = lambda some: tokens.encode(self._model.tokenizer, some, self.longest).ids
    self._first = [ids[1:-1] for ids in split(read)]
    # RoBERTa's sub-words begin with the blank before a word.
    self._later = [
      ids[1:-1] for ids in split([f' {one}' if one else '' for one in read])
    ]
    [self._ends] = split([''])

  def sub_words(self, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `events` [L] are read as: ids [n] int32, and the place of each event [n].

    The ids are those of the texts joined by blanks; -1 is the place of begin and end.
    """
    later = [self._later[event] for event in events]
    named = next((i for i, ids in enumerate(later) if len(ids)), 0)
    if later:
      later[named] = self._first[events[named]]
    room = self.longest - 2
    ids = np.concatenate([np.zeros(0, np.int32), *later])[:room]
    places = np.repeat(np.arange(len(later)), [len(x) for x in later])[:room]
    begin, end = self._ends
    return np.r_[begin, ids, end].astype(np.int32), np.r_[-1, places, -1]

  def shares(self, events: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What the sub-words of each event weigh together: [n] of `sub_words` -> [L]."""
    places = self.sub_words(events)[1]
    inside = places >= 0
    return np.bincount(places[inside], weights[inside], minlength=len(events))

  def states(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The states [n, D] float32 of the sub-words of windows, each encoded once.

    That is, while BYTES hold them; then the one that was asked for longest ago goes.
    """
    found = {row.tobytes(): self._kept.get(row.tobytes()) for row in rows}
    new = [key for key, states in found.items() if states is None]
    found |= zip(new, self._compute([np.frombuffer(key, np.int32) for key in new]))
    for key, states in found.items():
      self._bytes += 0 if key in self._kept else states.nbytes
      self._kept[key] = states
      self._kept.move_to_end(key)
    while self._bytes > BYTES:
      self._bytes -= self._kept.popitem(last=False)[1].nbytes
    return [found[row.tobytes()] for row in rows]

  def lay(self, events, lengths, cells, most):
    """See `tables.Read`: the table has a row for each sub-word of the batch."""
    states = self.states(np.split(events, np.cumsum(lengths)[:-1]))
    table = np.zeros((cells, self._model.form.hidden), np.float32)
    if states:
      table[: len(events)] = np.concatenate(states)
    return table, np.arange(len(events), dtype=np.int32)

  def _compute(self, rows: list[np.ndarray]) -> list[np.ndarray]:
    """One window a row, all of one shape: its company changes not a bit of it."""
    from metalog_jax.embeddings import encoder

    form, made = self._model.form, []
    height = max(texts.cells() // self.longest, 1)
    for i in range(0, len(rows), height):
      part = rows[i : i + height]
      ids = np.full((height, self.longest), form.padding, np.int32)
      segments = np.zeros(ids.shape, np.int32)
      for j, row in enumerate(part):
        ids[j, : len(row)], segments[j, : len(row)] = row, j + 1
      params = _params(self._key, self._config)
      hidden = encoder.apply(params, ids, segments, form, depth=self._model.depth)
      states = np.asarray(hidden, np.float32)
      made += [states[j, : len(row)].copy() for j, row in enumerate(part)]
    return made


@functools.lru_cache(maxsize=1)
def _params(key: str, config: texts.Encoder):
  """The weights, once for all systems; `key` tells what the files hold."""
  return texts.params_of(texts.load(config), config)
