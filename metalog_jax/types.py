"""Every shared record, and the letters that shapes are written in.

B sessions in a batch, L events in a session, D embedding, H hidden, V event
templates, T tasks, K inner steps, S sessions of a system, N events or lines.

Everywhere: label 1 is an anomaly, 0 is normal, -1 is unlabelled or erased;
a higher score is more anomalous; event 0 of every system is the unknown event.
This module imports numpy alone, so that host code never pulls in jax.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

Array = Any  # a numpy or jax array
Order = Literal['second', 'first']  # of a meta-gradient
# How a meta-gradient is taken: see `meta.gradients`, which jax is needed for.
Gradient = Literal[
  'auto',
  'reverse',
  'mixed',
  'linearized',
  'remat',
  'truncated',
  'implicit',
  'reptile',
]
UNKNOWN = 0  # the event id of a line that no template describes
UNKNOWN_TEMPLATE = '<unknown>'
REST = 'rest'  # the name of the test set that is the rest of the target


class Sessions(NamedTuple):
  """Sessions of one system, ragged: session i is events[offsets[i]:offsets[i+1]]."""

  ids: np.ndarray  # [S] object, str
  times: np.ndarray  # [S] float64 of the first line, seconds since the epoch; or nan
  events: np.ndarray  # [N] int32 event ids
  offsets: np.ndarray  # [S + 1] int64
  labels: np.ndarray  # [S] int8: 1 anomalous, 0 normal, -1 unlabelled
  first_lines: np.ndarray  # [S] int64 from 1 on, over all files in order; 0: unknown
  last_lines: np.ndarray  # [S] int64

  @classmethod
  def none(cls) -> 'Sessions':
    """No sessions."""
    return cls.bare(np.zeros(0, np.int32), np.zeros(1, np.int64))

  @classmethod
  def bare(cls, events: np.ndarray, offsets: np.ndarray) -> 'Sessions':
    """Sessions of which nothing is known but their events."""
    num = len(offsets) - 1
    return cls(
      ids=np.zeros(num, object),
      times=np.full(num, np.nan),
      events=events,
      offsets=offsets,
      labels=np.full(num, -1, np.int8),
      first_lines=np.zeros(num, np.int64),
      last_lines=np.zeros(num, np.int64),
    )

  @property
  def num(self) -> int:
    return len(self.offsets) - 1

  @property
  def lengths(self) -> np.ndarray:  # [S] int64
    return np.diff(self.offsets)

  def of(self, i: int) -> np.ndarray:
    """The events [L] of session `i`."""
    return self.events[self.offsets[i] : self.offsets[i + 1]]

  def joined(self, others: 'Sessions') -> 'Sessions':
    """These sessions, and then the others."""
    pairs = zip(self, others, strict=True)
    both = Sessions(*(np.concatenate(pair) for pair in pairs))
    offsets = np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]])
    return both._replace(offsets=offsets)

  def take(self, index: np.ndarray) -> 'Sessions':
    """The sessions `index` [n], in that order."""
    lengths = self.lengths[index]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(
      self.offsets[index] - offsets[:-1], lengths
    )
    return Sessions(
      self.ids[index],
      self.times[index],
      self.events[places],
      offsets,
      self.labels[index],
      self.first_lines[index],
      self.last_lines[index],
    )


class System(NamedTuple):
  """A prepared system: its templates, its sessions, and where they came from."""

  name: str
  templates: tuple[str, ...]  # V texts; templates[UNKNOWN] is UNKNOWN_TEMPLATE
  counts: np.ndarray  # [V] int64 lines of each template
  sessions: Sessions
  manifest: dict[str, Any]


class Dataset(NamedTuple):
  """Sessions as a detector sees them: with event vectors, labels maybe erased."""

  name: str
  sessions: Sessions
  vectors: np.ndarray  # [V, D] float32; row UNKNOWN is the mean event
  templates: tuple[str, ...] = ()  # [V] texts, for reports alone
  folder: str = ''  # the System folder that the sessions are from


class Transfer(NamedTuple):
  """All a detector may train on."""

  sources: tuple[Dataset, ...]
  target: Dataset | None  # None: zero-shot


class Batch(NamedTuple):
  """Distinct sessions of ONE system, packed into a grid of L steps times R rows.

  Networks go down the steps, all rows at once. A row holds sessions one after
  another, so that hardly a cell is empty; where sessions share what they begin with
  (`parents`), a cell stands for an event of all of them, and `places` tells which
  cells make a session. The shapes are the static layout: jit specializes on them.
  """

  vectors: Array  # [V, D] the system's event table, or what a detector makes it of
  events: Array  # [L, R] int32, one a cell
  sessions: Array  # [L', R'] int32 which of the B sessions a place is of; B: of none
  labels: Array  # [B] float32 in [0, 1]
  weights: Array  # [B] float32: how many sessions it stands for, times class weight
  parents: Array | None = None  # [L, R] int32 flat cell of the event before; L R: none
  places: Array | None = None  # [L', R'] int32 flat cells; None: places are cells


class Task(NamedTuple):
  """What one meta-gradient is taken on; any pytrees that the loss understands."""

  support: Any
  query: Any


class Stream(NamedTuple):
  """What a detector is trained on, a pure function of (transfer, seed, step)."""

  num_steps: int
  draw: Callable[[int], Any]  # step number -> pytree of numpy arrays
  # Of a stream that can be one of several of equal shapes: what batches are laid out
  # in, `packing.Room`s from the tightest to the one that holds all for each of its
  # sides, and the same stream laid out in others.
  rooms: tuple[list[Any], ...] = ()
  within: Callable[[Any], 'Stream'] | None = None
