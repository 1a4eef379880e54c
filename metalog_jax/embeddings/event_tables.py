"""Event tables: the vectors of a system's events, and how many words are known."""

import collections
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import errors, types

_BLIND = 0.9  # share of event vectors at zero from which on a detector sees nothing
_UNKNOWN = 0.1  # share of known words up to which words are the reason


class Coverage(NamedTuple):
  """How much of the templates' text the source of vectors knows."""

  words: int  # different words
  known: int  # of those, known ones
  uses: int  # words in all templates, repeats counted
  known_uses: int
  unknown: dict[str, int]  # uses of each unknown word, most used first
  cut: int = 0  # templates whose end was too long to be read
  events: int = 0  # templates
  zero_events: int = 0  # of those, with a vector of zeros
  fitted_events: int = 0  # of all systems: templates that words were counted in

  def warning(self, system: str) -> str:
    """Why a detector cannot tell events apart, and which flag to change; '' if it can.

    Args:
      system: its name, for the sentence.
    """
    if not self.zero_events or self.zero_events < _BLIND * self.events:
      return ''
    if self.known_uses <= _UNKNOWN * self.uses:
      reason = 'hardly a word is known: change --vectors, or take an --encoder'
    elif not self.fitted_events:
      reason = (
        'no training session gives words a weight: set --fit=all, give labelled '
        'sessions (--target_normals, --target_anomalies), or take an --encoder'
      )
    else:
      reason = (
        'their words are in every template that was counted and weigh nothing: set '
        '--fit=all, or take an --encoder'
      )
    return (
      f'{system}: {self.zero_events} of {self.events} event vectors are zero, so that '
      f'events look alike; {reason}'
    )


class Table(NamedTuple):
  """The event vectors of one system."""

  vectors: np.ndarray  # [V, D] float32; row UNKNOWN is the mean of the fitted rows
  coverage: Coverage


def make_table(
  vectors: np.ndarray,
  fitted: np.ndarray,
  words: Iterable[str],
  known: Collection[str],
  fitted_events: int,
  cut: int = 0,
) -> Table:
  """Completes event vectors with the unknown event's and with their coverage.

  Args:
    vectors: [V, D]; what row UNKNOWN holds is replaced if anything is fitted.
    fitted: [V] bool, see `fitted_rows`.
    words: of the templates, repeats kept, in order.
    known: words (any superset).
    fitted_events, cut: of `Coverage`.
  """
  if fitted.any():
    vectors[types.UNKNOWN] = vectors[fitted].mean(axis=0)
  vectors = vectors.astype(np.float32)
  uses = dict(collections.Counter(words).most_common())
  unknown = {word: n for word, n in uses.items() if word not in known}
  total = sum(uses.values())
  is_zero = np.logical_not(vectors.any(axis=1))
  is_zero[types.UNKNOWN] = False
  coverage = Coverage(
    words=len(uses),
    known=len(uses) - len(unknown),
    uses=total,
    known_uses=total - sum(unknown.values()),
    unknown=unknown,
    cut=cut,
    events=len(vectors) - 1,
    zero_events=int(is_zero.sum()),
    fitted_events=fitted_events,
  )
  return Table(vectors, coverage)


def fitted_rows(templates: Sequence[str], mask: np.ndarray | None) -> np.ndarray:
  """[V] bool: the templates to fit on; the unknown event is no template.

  Args:
    mask: [V] bool; None: all.

  Raises:
    UserError: `mask` has another length.
  """
  mask = np.ones(len(templates), bool) if mask is None else np.array(mask, bool)
  if mask.shape != (len(templates),):
    raise errors.UserError(f'a mask of {mask.shape} over {len(templates)} templates')
  mask[: types.UNKNOWN + 1] = False
  return mask
