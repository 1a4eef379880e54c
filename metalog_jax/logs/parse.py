"""Masked lines in, templates out: Drain's core, two ways to feed it.

`mine` (canonical) sees every distinct masked line once, most frequent first, so
its result depends on which lines there are and not on their order, nor on how
they were cut into chunks or dealt to workers. `Arrival` is plain online Drain in
the order of the file, as the papers ran it.

References:
  He et al, Drain: An online log parsing approach with fixed depth tree, ICWS 2017.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metalog_jax.logs import grouping, masksets, templates

_CROWD = 500  # templates of one length: more, and a word that varies is not masked


class Distinct:
  """Distinct masked lines with their counts; adding is order-independent.

  `texts` is in order of first appearance, which is for codes only: nothing that
  is mined from it depends on that order.
  """

  def __init__(self):
    self._codes: dict[str, int] = {}
    self._counts = np.zeros(0, np.int64)

  @property
  def texts(self) -> list[str]:
    return list(self._codes)

  @property
  def counts(self) -> dict[str, int]:
    return dict(zip(self._codes, self._counts.tolist()))

  def add(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Adds `counts` of different texts [n]; returns their codes, [n] int32."""
    known = self._codes
    codes = np.array([known.setdefault(t, len(known)) for t in texts], np.int32)
    self._counts = np.pad(self._counts, (0, len(known) - len(self._counts)))
    self._counts[codes] += counts
    return codes


def mine(counts: Mapping[str, int], maskset: masksets.MaskSet) -> templates.Templates:
  """Mines templates in canonical order: by number of tokens, count, then text.

  Lines of different lengths never meet in Drain, so each length is mined alone;
  one that would get more than 500 templates is mined again, allowing one more
  token to differ, until it does not: some word of it varies and no mask knows it.
  Mask sets of unknown systems are not Drain's: `grouping` looks at all lines together.
  `max_clusters` is not obeyed: it bounds the memory of an online miner, and
  evicting would leave lines without a template.

  Args:
    counts: masked line -> how often it occurs.
    maskset: the settings, and the masks that were applied.
  """
  lines = _normalize(counts, maskset)
  if maskset.grouping == 'vocabulary':
    grouped = grouping.group(lines, maskset.sim_th)
    totals: collections.Counter[str] = collections.Counter()
    for line, text in grouped.items():
      totals[text] += lines[line]
    return templates.freeze(maskset, totals, grouped)
  order = sorted(lines, key=lambda line: (len(line.split()), -lines[line], line))
  template_of: dict[str, str] = {}
  sizes: dict[str, int] = {}
  for length, group in itertools.groupby(order, key=lambda line: len(line.split())):
    for line, text in _mine_length(list(group), length, maskset).items():
      template_of[line] = text
      sizes[text] = sizes.get(text, 0) + lines[line]
  return templates.freeze(maskset, sizes, template_of)


def _normalize(counts: Mapping[str, int], maskset: masksets.MaskSet) -> dict[str, int]:
  """Lines as Drain splits them, one space between tokens."""
  core = templates.make_core(maskset)
  lines: dict[str, int] = {}
  for text, count in counts.items():
    line = ' '.join(core.get_content_as_tokens(text))
    lines[line] = lines.get(line, 0) + count
  return lines


def _mine_length(
  lines: Sequence[str], length: int, maskset: masksets.MaskSet
) -> dict[str, str]:
  """Line -> the text of its template, for lines of one length."""
  looser = [(length - different) / max(length, 1) for different in range(length + 1)]
  for sim_th in dict.fromkeys(min(maskset.sim_th, share) for share in looser):
    core = templates.make_core(dataclasses.replace(maskset, sim_th=sim_th))
    clusters = {}
    for line in lines:
      clusters[line] = core.add_log_message(line)[0]
      if len(core.clusters) > _CROWD and sim_th > 0:
        break
    else:
      break
  return {line: cluster.get_template() for line, cluster in clusters.items()}


class Arrival:
  """Online Drain in the order of the lines, each with its cluster at that moment.

  The clusters equal those of drain3's `TemplateMiner.add_log_message`. Most lines
  skip Drain: an answer that changed nothing stays true until some template of
  that length changes, or one is evicted (`max_clusters`).
  """

  def __init__(self, maskset: masksets.MaskSet):
    self._maskset = maskset
    self._core = templates.make_core(maskset, evict=True)
    self._seen: set[str] = set()
    self._answers: dict[str, Any] = {}  # line -> cluster, while it holds
    self._by_length: dict[int, list[str]] = {}  # the lines of `_answers`

  @property
  def clusters(self) -> list[Any]:
    """drain3's clusters as they now are."""
    return list(self._core.clusters)

  def add(self, masked: Iterable[str]) -> np.ndarray:
    """Feeds some lines and returns the cluster id of each, [n] int64, from 1."""
    answers, core, ids = self._answers, self._core, []
    for line in masked:
      cluster = answers.get(line)
      if cluster is None:
        cluster = self._ask(line)
      else:
        cluster.size += 1
        if core.max_clusters:
          core.id_to_cluster[cluster.cluster_id]  # it was used: others go first
      ids.append(cluster.cluster_id)
    return np.array(ids, np.int64)

  def _ask(self, line: str):
    core = self._core
    self._seen.add(line)
    full = core.max_clusters and len(core.clusters) >= core.max_clusters
    cluster, change = core.add_log_message(line)
    length = len(cluster.log_template_tokens)
    if change == 'none':
      self._answers[line] = cluster
      self._by_length.setdefault(length, []).append(line)
    elif change == 'cluster_created' and full:
      # Some cluster was evicted, of any length: drain3 does not say which.
      self._answers.clear()
      self._by_length.clear()
    else:
      for stale in self._by_length.pop(length, ()):
        del self._answers[stale]
    return cluster

  def freeze(self) -> templates.Templates:
    """The templates as they now are; lines seen so far get what drain3 matches.

    A line whose template was evicted is assigned like a line never seen.
    """
    template_of: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for cluster in self.clusters:
      text = cluster.get_template()
      sizes[text] = sizes.get(text, 0) + cluster.size
    for line in _normalize(dict.fromkeys(self._seen, 1), self._maskset):
      cluster = self._core.match(line, full_search_strategy='fallback')
      if cluster is not None:
        template_of[line] = cluster.get_template()
    return templates.freeze(self._maskset, sizes, template_of)
