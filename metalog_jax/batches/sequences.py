"""Sessions -> static-shaped batches of distinct sequences, on the host.

Real logs repeat: 11,501 HDFS sessions are 1,532 sequences. Equal sequences in a
batch are computed once, with their number as weight, which is exact for any loss
that is a weighted mean over sessions. What different sequences begin with in common
can be computed once as well, exactly, by a network that reads forward only.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from metalog_jax import flags, types
from metalog_jax.batches import packing

PAYS = 0.8  # beginnings are shared if that leaves at most this share of the cells


class Sequences(NamedTuple):
  """The distinct event sequences of some sessions, and who has which."""

  events: np.ndarray  # [N] int32
  offsets: np.ndarray  # [U + 1] int64
  inverse: np.ndarray  # [S] int64: session -> sequence
  rank: np.ndarray  # [U] place in alphabetic order
  trie: packing.Trie | None = None  # where what they begin with is to be shared

  @property
  def lengths(self) -> np.ndarray:  # [U]
    return np.diff(self.offsets)


@dataclasses.dataclass(frozen=True)
class Reading(flags.Settings):
  """The part of a session that a detector reads."""

  collapse: int = flags.field(2, 'cut runs of equal events to this many; 0: keep them')
  max_events: int = flags.field(96, 'events of a session that are read', least=1)

  def sequences(self, sessions: types.Sessions, share: bool = False) -> Sequences:
    """The distinct sequences that are read; see `sequences`."""
    return sequences(sessions, self.collapse, self.max_events, share)


def positions_read(events: np.ndarray, collapse: int, max_events: int) -> np.ndarray:
  """Positions [n] that a detector reads of one session of `events` [L].

  Runs of more than `collapse` equal events are cut to that many (0: not at
  all), then the first `max_events` positions stay.
  """
  positions = np.arange(len(events))
  if collapse and len(events) > collapse:
    starts = np.flatnonzero(np.r_[True, events[1:] != events[:-1]])
    run_start = np.repeat(starts, np.diff(np.r_[starts, len(events)]))
    positions = positions[positions - run_start < collapse]
  return positions[:max_events]


def sequences(
  sessions: types.Sessions, collapse: int, max_events: int, with_trie: bool = False
) -> Sequences:
  """Collapses, cuts and de-duplicates sessions, in order of first appearance.

  Args:
    collapse, max_events: see `positions_read`.
    with_trie: also find what sequences begin with in common.
  """
  events, offsets = _read(sessions, collapse, max_events)
  data = events.astype('>i4').tobytes()  # bytes are in the order of the numbers
  ends = (4 * offsets).tolist()
  number: dict[bytes, int] = {}
  inverse = [
    number.setdefault(data[start:end], len(number))
    for start, end in zip(ends, ends[1:])
  ]
  rows = list(number)
  offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64) // 4
  events = np.frombuffer(b''.join(rows), '>i4').astype(np.int32)
  trie = packing.trie(events, offsets) if with_trie else None
  rank = np.empty(len(rows), np.int64)
  rank[sorted(range(len(rows)), key=rows.__getitem__)] = np.arange(len(rows))
  return Sequences(events, offsets, np.array(inverse, np.int64), rank, trie)


def _read(
  sessions: types.Sessions, collapse: int, max_events: int
) -> tuple[np.ndarray, np.ndarray]:
  """The events that are read of all sessions, by `positions_read`, and offsets."""
  offsets = np.asarray(sessions.offsets, np.int64)
  events = sessions.events[offsets[0] : offsets[-1]]
  if sessions.num == 1:  # as a log that grows gives them
    events = events[positions_read(events, collapse, max_events)]
    return events, np.array([0, len(events)])
  offsets = offsets - offsets[0]
  place = np.arange(len(events))
  is_read = np.ones(len(events), bool)
  if collapse:
    begins = np.r_[True, events[1:] != events[:-1]][: len(events)]
    begins[offsets[:-1][offsets[:-1] < len(events)]] = True
    is_read = place - np.maximum.accumulate(np.where(begins, place, 0)) < collapse
  before = np.concatenate([[0], np.cumsum(is_read)])  # events read before each place
  lengths = np.diff(offsets)
  is_read &= before[:-1] - np.repeat(before[offsets[:-1]], lengths) < max_events
  return events[is_read], np.concatenate([[0], np.cumsum(is_read)])[offsets]


class Draw(NamedTuple):
  """Sessions of a batch: sequences, each with a label and how often it was drawn."""

  rows: np.ndarray  # [n] sequence numbers
  labels: np.ndarray  # [n]
  weights: np.ndarray  # [n]


def drawn(index: np.ndarray, labels: np.ndarray, merge: bool = True) -> Draw:
  """Draws [n], those of equal sequence and label as one if they are to `merge`."""
  if not merge:
    return Draw(index, labels, np.ones(len(index)))
  pairs, weights = np.unique(np.stack([index, labels]), axis=1, return_counts=True)
  return Draw(pairs[0].astype(np.int64), pairs[1], weights)


def deal(seqs: Sequences, draw: Draw, num: int) -> list[Draw]:
  """Shares the sessions out into `num` parts of about equally many events.

  Those that begin alike stay together.
  """
  order = np.argsort(seqs.rank[draw.rows], kind='stable')
  ends = np.cumsum(seqs.lengths[draw.rows[order]] + 1)
  part = np.minimum(ends * num // (ends[-1] + 1), num - 1)
  return [Draw(*(x[order[part == i]] for x in draw)) for i in range(num)]


def deal_rows(seqs: Sequences, draw: Draw, num: int, steps: int) -> list[Draw]:
  """As `deal`, by whole rows of so many steps that all sessions are packed into.

  So the parts need hardly more rows than there are, whatever begins alike: sessions of
  some rows of `packing.first_fit`, packed anew, fill the same rows.
  """
  row, _ = packing.first_fit(seqs.lengths[draw.rows], steps)
  return [Draw(*(x[row % num == i] for x in draw)) for i in range(num)]


def fit_room(
  draws: list[tuple[Sequences, Draw]], batch: int, longest: int
) -> packing.Room:
  """The smallest room that some draws fit, and a little more.

  Args:
    draws: what was drawn, from which sequences.
    batch: sessions drawn at most; longest: events of a session at most.
  """
  steps = -(-longest // 8) * 8
  rows, sessions, cells = _needed(draws, steps)
  # Round numbers, so that runs on like data share compiled programs.
  enlarged = lambda x, unit: min(-(-int(np.ceil(x * 1.05)) // unit) * unit, batch)
  rows, cells = enlarged(rows, 2), enlarged(cells, 2)
  cells = cells if cells <= PAYS * rows else 0
  return packing.Room(steps, rows, enlarged(sessions, 8), cells)


def fit_full_room(
  draws: list[tuple[Sequences, Draw]], batch: int, longest: int, num: int
) -> packing.Room:
  """As `fit_room`, with hardly an empty row: for each of `num` parts of the draws.

  They are to be dealt by beginnings if it has shared cells, else by whole rows.
  """
  steps = -(-longest // 4) * 4
  eight = lambda sessions: min(-(-sessions // 8) * 8, batch)
  rows = max(_needed([draw], steps)[0] for draw in draws)
  rows = min(-(-(rows + 1) // num), batch)
  if draws[0][0].trie:
    parts = [(seqs, part) for seqs, draw in draws for part in deal(seqs, draw, num)]
    places, sessions, cells = (min(n + 1, batch) for n in _needed(parts, steps))
    if cells <= PAYS * rows:
      return packing.Room(steps, places, eight(sessions), cells)
  parts = [(s, part) for s, draw in draws for part in deal_rows(s, draw, num, steps)]
  return packing.Room(steps, rows, eight(_needed(parts, steps)[1] + 1))


def _needed(draws: list[tuple[Sequences, Draw]], steps: int) -> tuple[int, int, int]:
  """The most rows, sessions and, without a tree 0, rows of shared cells of a draw."""
  rows, sessions, cells = 1, 1, 0
  for seqs, draw in draws:
    sessions = max(sessions, len(draw.rows))
    used, _ = packing.first_fit(seqs.lengths[draw.rows], steps)
    rows = max(rows, int(used.max(initial=0)) + 1)
    if seqs.trie:
      paths = _paths(seqs.trie, seqs, draw)
      cells = max(cells, packing.fewest_rows(paths, seqs.trie.parents, steps))
  return rows, sessions, cells


def wider(room: packing.Room, batch: int) -> packing.Room:
  """A quarter more of everything, for batches that hardly fit."""
  rows, sessions, cells = (min(n + n // 4 + 1, batch) for n in room[1:])
  return packing.Room(room.steps, rows, sessions, cells if room.cells else 0)


def roomy(room: packing.Room, batch: int) -> packing.Room:
  """The room for any batch, with a row for each session."""
  return packing.Room(room.steps, batch, batch, batch if room.cells else 0)


def assemble(
  vectors: np.ndarray, seqs: Sequences, draw: Draw, room: packing.Room
) -> types.Batch | None:
  """Lays sessions out on the grid; None if they do not fit.

  Three sessions, 0: a b c d, 1: a b e, 2: a b, on a grid of 4 steps and 3 rows. As
  chains, row after row filled from the top (`packing.first_fit`):

      events      sessions        `places` is None: a place is a cell.
      a  a  a     0  1  2         Places without a session have the number B.
      b  b  b     0  1  2
      c  e  .     0  1  B
      d  .  .     0  B  B

  With shared beginnings, a and b are cells of all three (`packing.schedule`). `parents`
  has the flat number of the cell before each cell (.: none), `places` the cells that
  make up each session, so that `sessions` stays as above:

      events      numbers     parents     places
      a  .        0  1        .  .        0  0  0
      b  .        2  3        0  .        2  2  2
      c  e        4  5        2  2        4  5  .
      d  .        6  7        4  .        6  .  .

  Args:
    vectors: [V, D] of the events.
    draw: the sessions, in the order they are to have; behind them come sessions of
      weight 0 without a place.
    room: with shared cells only if `seqs` has a trie.
  """
  lengths = seqs.lengths[draw.rows]
  if len(lengths) > room.sessions or lengths.max(initial=0) > room.steps:
    return None
  row, start = packing.first_fit(lengths, room.steps)
  if row.max(initial=0) >= room.rows:
    return None
  # Of every event: its session in the batch, its index there, its flat place.
  which = np.repeat(np.arange(len(lengths)), lengths)
  within = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
  place = (start[which] + within) * room.rows + row[which]
  position = seqs.offsets[draw.rows][which] + within

  def scatter(values: np.ndarray, fill: int) -> np.ndarray:
    flat = np.full(room.steps * room.rows, fill, np.int32)
    flat[place] = values
    return flat.reshape(room.steps, room.rows)

  def pad(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.zeros(room.sessions - len(x))]).astype(np.float32)

  batch = types.Batch(
    vectors,
    scatter(seqs.events[position], 0),
    scatter(which, room.sessions),
    pad(draw.labels),
    pad(draw.weights),
  )
  if seqs.trie is None or not room.cells:
    return batch
  shared = _share(seqs.trie, _paths(seqs.trie, seqs, draw), room)
  if shared is None:
    return None
  events, parents, cell_of = shared
  places = scatter(cell_of(seqs.trie.nodes[position]), 0)
  return batch._replace(events=events, parents=parents, places=places)


def _paths(trie: packing.Trie, seqs: Sequences, draw: Draw) -> list[np.ndarray]:
  """The nodes of each session."""
  return [trie.nodes[seqs.offsets[i] : seqs.offsets[i + 1]] for i in draw.rows]


def _share(trie, paths, room):
  """Events and parents on the grid of shared cells, and a node's cell by its number."""
  scheduled = packing.schedule(paths, trie.parents, room.steps, room.cells)
  if scheduled is None:
    return None
  nodes, cells = scheduled
  total = room.steps * room.cells  # stands for no cell
  cell_of = lambda x: np.where(x < 0, total, cells[np.searchsorted(nodes, x)])
  events, parents = np.zeros(total, np.int32), np.full(total, total, np.int32)
  events[cells], parents[cells] = trie.events[nodes], cell_of(trie.parents[nodes])
  shape = (room.steps, room.cells)
  return events.reshape(shape), parents.reshape(shape), cell_of
