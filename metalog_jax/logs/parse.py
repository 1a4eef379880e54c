"""Masked lines in, templates out: Drain's core, two ways to feed it.

`mine` (canonical) sees every distinct masked line once, most frequent first, so
its result depends on which lines there are and not on their order, nor on how
they were cut into chunks or dealt to workers. `Arrival` is plain online Drain in
the order of the file, as the papers ran it.

References:
  He et al, Drain: An online log parsing approach with fixed depth tree, ICWS 2017.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from metalog_jax.logs import masksets, templates


class Distinct:
  """Distinct masked lines with their counts; merging is order-independent.

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

  def add(self, masked: pl.Series) -> np.ndarray:
    """Counts a chunk and returns each line's index into `texts`, [n] int32."""
    texts, codes = templates.encode(masked)
    return self._add(texts, np.bincount(codes, minlength=len(texts)))[codes]

  def merge(self, other: 'Distinct') -> np.ndarray:
    """Adds another's counts and returns its codes in terms of this one's."""
    return self._add(other.texts, other._counts)

  def _add(self, texts: list[str], counts: np.ndarray) -> np.ndarray:
    known = self._codes
    table = np.array([known.setdefault(t, len(known)) for t in texts], np.int32)
    grown = np.zeros(len(known), np.int64)
    grown[: len(self._counts)] = self._counts
    grown[table] += counts
    self._counts = grown
    return table


def mine(counts: Mapping[str, int], maskset: masksets.MaskSet) -> templates.Templates:
  """Mines templates in canonical order: count descending, then text.

  Drain's first level is the number of tokens, so this equals mining every number
  of tokens by itself. `max_clusters` is not obeyed: it bounds the memory of an
  online miner, and evicting would leave lines without a template.

  Args:
    counts: masked line -> how often it occurs.
    maskset: the settings, and the masks that were applied.
  """
  core = templates.make_core(maskset)
  lines: dict[str, int] = {}
  for text, count in counts.items():
    line = ' '.join(core.get_content_as_tokens(text))
    lines[line] = lines.get(line, 0) + count
  order = sorted(lines, key=lambda line: (-lines[line], line))
  clusters = {line: core.add_log_message(line)[0] for line in order}
  own = {line: cluster.get_template() for line, cluster in clusters.items()}
  return templates.freeze(maskset, own, lines)
