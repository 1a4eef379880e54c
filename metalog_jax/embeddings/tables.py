"""What every source of event vectors gives: a table for each system."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import errors, types


class Coverage(NamedTuple):
  """How much of the templates' text the source of vectors knows."""

  words: int  # different words
  known: int  # of those, known ones
  uses: int  # words in all templates, repeats counted
  known_uses: int
  unknown: dict[str, int]  # uses of each unknown word, most used first
  cut: int = 0  # templates whose end was too long to be read

  def __str__(self):
    share = 100 * self.known_uses / max(self.uses, 1)
    shown = ', '.join(f'{word} {n}' for word, n in list(self.unknown.items())[:12])
    more = f' and {len(self.unknown) - 12} more' if len(self.unknown) > 12 else ''
    return (
      f'{self.known} of {self.words} words known ({share:.1f} % of {self.uses} uses)\n'
      f'unknown: {shown or "none"}{more}'
    )


class Table(NamedTuple):
  """The event vectors of one system."""

  vectors: np.ndarray  # [V, D] float32; row UNKNOWN is the mean of the fitted rows
  coverage: Coverage


def with_unknown(table: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """`table` [V, D] as float32, row UNKNOWN the mean of the rows in `mask` [V] bool."""
  if mask.any():
    table[types.UNKNOWN] = table[mask].mean(axis=0)
  return table.astype(np.float32)


def cover(uses: dict[str, int], known, cut: int = 0) -> Coverage:
  """Counts of words, most used first, and which of them are in `known`."""
  unknown = {word: n for word, n in uses.items() if word not in known}
  total = sum(uses.values())
  return Coverage(
    words=len(uses),
    known=len(uses) - len(unknown),
    uses=total,
    known_uses=total - sum(unknown.values()),
    unknown=unknown,
    cut=cut,
  )


def fitted(templates: Sequence[str], mask: np.ndarray | None) -> np.ndarray:
  """[V] bool: the templates to fit on; the unknown event is no template.

  Raises:
    UserError: `mask` has another length.
  """
  mask = np.ones(len(templates), bool) if mask is None else np.array(mask, bool)
  if mask.shape != (len(templates),):
    raise errors.UserError(f'a mask of {mask.shape} over {len(templates)} templates')
  mask[: types.UNKNOWN + 1] = False
  return mask
