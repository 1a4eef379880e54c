"""Frozen templates: a masked line in, an event id out, for every line there is.

Event ids are rows of `Templates.texts`; 0 is the unknown event. An id is looked
for in four steps, and the first that answers wins:
  exact    the lines of the training part that the next steps would place elsewhere
  match    a template all of whose tokens agree; a wildcard agrees with anything
  nearest  the template that Drain would have added the line to
  unknown  none
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from drain3 import drain as drain_lib

from metalog_jax import atomic, errors, types
from metalog_jax.logs import masksets, repeats

FILE = 'templates.json'  # of a System folder
HOW = ('exact', 'match', 'nearest', 'unknown')
EXACT, MATCH, NEAREST, NONE = range(4)
_FORMAT = 1


def make_core(maskset: masksets.MaskSet, evict: bool = False) -> drain_lib.Drain:
  """An empty Drain with the settings of `maskset`; `evict` obeys max_clusters."""
  return drain_lib.Drain(
    sim_th=maskset.sim_th,
    depth=maskset.depth,
    max_children=maskset.max_children,
    max_clusters=maskset.max_clusters if evict else None,
    extra_delimiters=maskset.delimiters,
    profiler=None,
    param_str=maskset.wildcard,
    parametrize_numeric_tokens=maskset.numeric_tokens,
  )


@dataclasses.dataclass(frozen=True)
class Templates:
  """Templates of one system, as fitted; see `freeze` for how to make them."""

  maskset: masksets.MaskSet
  texts: tuple[str, ...]  # [V], texts[0] is UNKNOWN_TEMPLATE
  exceptions: Mapping[str, int]  # masked line (tokens, one space between) -> event id

  @functools.cached_property
  def hash(self) -> str:
    """Content hash of all that decides an event: equal for equal parsers."""
    content = self.maskset.as_json(), self.texts, dict(self.exceptions)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

  @functools.cached_property
  def _core(self) -> drain_lib.Drain:
    core = make_core(self.maskset)
    for event, text in enumerate(self.texts[1:], start=1):
      cluster = drain_lib.LogCluster(text.split(' ') if text else [], event)
      core.id_to_cluster[event] = cluster
      core.add_seq_to_prefix_tree(core.root_node, cluster)
    return core

  def assign(self, masked: pl.Series | Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Gives every masked line its event.

    Args:
      masked: N lines from `masking.mask` with this object's `maskset`.

    Returns:
      Event ids [N] int32, and how each was found [N] int8, an index of `HOW`;
      `numpy.bincount(how, minlength=4)` counts them.
    """
    texts, codes = repeats.encode(pl.Series('masked', masked, dtype=pl.String))
    answers = np.array([self._answer(t) for t in texts], np.int32).reshape(-1, 2)
    return answers[codes, 0], answers[codes, 1].astype(np.int8)

  def _answer(self, text: str) -> tuple[int, int]:
    tokens = self._core.get_content_as_tokens(text)
    exact = self.exceptions.get(' '.join(tokens))
    return (exact, EXACT) if exact is not None else self.search(tokens)

  def search(self, tokens: list[str]) -> tuple[int, int]:
    """The event of a tokenized masked line and how it was found, but for `exact`."""
    core = self._core
    near = core.tree_search(core.root_node, tokens, core.sim_th, False)
    if near is not None:
      pairs = zip(near.log_template_tokens, tokens, strict=True)
      if all(want in (self.maskset.wildcard, token) for want, token in pairs):
        return near.cluster_id, MATCH
    same = core.match(' '.join(tokens), full_search_strategy='fallback')
    if same is not None:
      return same.cluster_id, MATCH
    return (types.UNKNOWN, NONE) if near is None else (near.cluster_id, NEAREST)

  def extended(self, newer: 'Templates') -> 'Templates':
    """These templates, and after them those of lines that these do not know."""
    above = len(self.texts) - 1  # the unknown event is there already
    new = {line: event + above for line, event in newer.exceptions.items()}
    texts = (*self.texts, *newer.texts[1:])
    return dataclasses.replace(self, texts=texts, exceptions={**new, **self.exceptions})

  def tree(self) -> dict[str, Any]:
    """Drain's tree as plain data: {number of tokens: {'ids', 'next': {token: ...}}}."""

    def plain(node):
      children = node.key_to_child_node
      return {
        'ids': list(node.cluster_ids),
        'next': {token: plain(child) for token, child in children.items()},
      }

    return plain(self._core.root_node)['next']

  def save(self, path: str | os.PathLike) -> None:
    """Writes JSON, atomically; the same bytes for the same templates."""
    content = {
      'format': _FORMAT,
      'hash': self.hash,
      'settings': self.maskset.as_json(),
      'templates': self.texts,
      'exceptions': dict(sorted(self.exceptions.items())),
    }
    atomic.write_json(path, content)

  @classmethod
  def load(cls, path: str | os.PathLike) -> 'Templates':
    """Reads what `save` wrote; UserError if it was not, or was changed since."""
    try:
      content = json.loads(pathlib.Path(path).read_text('utf-8'))
      settings = content['settings']
      settings['rules'] = tuple(tuple(rule) for rule in settings['rules'])
      settings['delimiters'] = tuple(settings['delimiters'])
      maskset = masksets.MaskSet(**settings)
      templates = cls(maskset, tuple(content['templates']), content['exceptions'])
      same = templates.hash == content['hash']
    except (KeyError, TypeError, ValueError, AttributeError) as error:
      raise errors.UserError(f'{path}: not a template file ({error!r})') from error
    if not same:
      raise errors.UserError(
        f'{path}: templates differ from their hash; mine them again'
      )
    return templates


def freeze(
  maskset: masksets.MaskSet, sizes: Mapping[str, int], template_of: Mapping[str, str]
) -> Templates:
  """Makes templates from what mining found; the most frequent is event 1.

  Args:
    maskset: the settings they were mined with.
    sizes: text of a template -> number of its lines.
    template_of: masked line, one space between tokens -> text of its template.
  """
  texts = sorted(sizes, key=lambda text: (-sizes[text], text))
  event_of = {text: event for event, text in enumerate(texts, start=1)}
  templates = Templates(maskset, (types.UNKNOWN_TEMPLATE, *texts), {})
  exceptions = {
    line: event_of[text]
    for line, text in template_of.items()
    if templates.search(line.split())[0] != event_of[text]
  }
  return dataclasses.replace(templates, exceptions=exceptions)
