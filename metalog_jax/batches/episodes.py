"""Few-shot tasks: some labelled sessions to adapt on, others to judge the result.

A task is a system and a contiguous segment of its time. Which one, and which sessions
of it, depend on (seed, step, number of the task) alone, so a resumed run goes on with
what the uninterrupted run would have drawn.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import drawing, packing, sequences

splits = lazy.module('metalog_jax.logs.splits')  # polars: not for --help

PROFILE = 16  # steps that the static layout of batches is fitted to


class Timeline(NamedTuple):
  """The labelled sessions of a system, each class in order of its place in time."""

  name: str
  vectors: np.ndarray  # [V, D]
  seqs: sequences.Sequences  # of the whole system
  members: tuple[np.ndarray, np.ndarray]  # sessions: normals, anomalies
  places: tuple[np.ndarray, np.ndarray]  # of each, in [0, 1), ascending


def timeline(data: types.Dataset, seqs: sequences.Sequences) -> Timeline:
  """Where the labelled sessions of a system stand in time.

  Where not all times are known, the file's order says nothing across classes (session
  files often have all normals first): then each class runs over [0, 1) by itself.
  """
  sessions = data.sessions
  order = splits.time_order(sessions)
  rank = np.empty(len(order))
  rank[order] = np.arange(len(order)) / max(len(order), 1)
  members, places = [], []
  for label in (0, 1):
    of_class = order[sessions.labels[order] == label]
    members.append(of_class)
    known = not np.isnan(np.asarray(sessions.times, np.float64)).any()
    places.append(
      rank[of_class] if known else np.arange(len(of_class)) / max(len(of_class), 1)
    )
  return Timeline(
    data.name, data.vectors, seqs, (members[0], members[1]), (places[0], places[1])
  )


@dataclasses.dataclass(frozen=True)
class Tasks(flags.Settings):
  """How tasks are drawn."""

  shots: int = flags.field(
    10, 'K: support sessions of each class (our choice)', least=1
  )
  queries: int = flags.field(
    15, 'Q: query sessions of each class (our choice)', least=1
  )
  classes: Literal['balanced', 'natural'] = flags.field(
    'natural',
    'classes of the query: Q of each or as they come (ours, on simulated systems)',
  )
  spread: int = flags.field(
    4,
    'a segment of time holds so many times K + Q sessions of each class (our choice)',
    least=1,
  )
  tasks: int = flags.field(4, 'tasks in a meta-step', least=1)


class Sampler(NamedTuple):
  """Draws tasks."""

  how: Tasks
  seed: int
  devices: int = 1  # that the sessions of a batch are dealt to

  def draw(
    self, lines: list[Timeline], step: int, task: int
  ) -> tuple[Timeline, sequences.Draw, sequences.Draw]:
    """(the system, its support, its query) of one task; systems take turns."""
    line = lines[(step * self.how.tasks + task) % len(lines)]
    rng = np.random.default_rng([self.seed, 6, step, task])
    inside = [rng.permutation(x) for x in self._segment(line, rng)]
    support = [x[: self.how.shots] for x in inside]
    rest = [x[self.how.shots :] for x in inside]
    if self.how.classes == 'natural':
      both = rng.permutation(np.concatenate(rest))[: 2 * self.how.queries]
      query = [np.intersect1d(both, x) for x in rest]
    else:
      query = [x[: self.how.queries] for x in rest]
    return line, _drawn(line, support), _drawn(line, query)

  def _segment(self, line: Timeline, rng) -> list[np.ndarray]:
    """The sessions of each class in a segment that holds enough of both."""
    need = [
      min(self.how.spread * (self.how.shots + self.how.queries), len(x))
      for x in line.members
    ]
    if min(need) <= self.how.shots:
      raise errors.UserError(
        f'system {line.name} has {len(line.members[0])} normal and '
        f'{len(line.members[1])} anomalous sessions with a label: too few for tasks of '
        f'{self.how.shots} of each class and others to judge by: lower the shots'
      )
    latest = min(p[len(p) - n] for p, n in zip(line.places, need))
    start = rng.uniform(0, latest)
    first = [np.searchsorted(p, start) for p in line.places]
    end = max(p[f + n - 1] for p, f, n in zip(line.places, first, need))
    return [m[(p >= start) & (p <= end)] for m, p in zip(line.members, line.places)]

  def rooms(self, lines: list[Timeline]) -> list[list[packing.Room]]:
    """For support and query: a room that nearly all batches fit, one that all do."""
    num, sizes = self.how.tasks, (self.how.shots, self.how.queries)
    profile = [self.draw(lines, s, t) for s in range(PROFILE) for t in range(num)]
    longest = max(int(line.seqs.lengths.max(initial=1)) for line in lines)
    rooms = []
    for which, size in enumerate(sizes, start=1):
      draws = [(t[0].seqs, part) for t in profile for part in self._deal(t, which)]
      room = sequences.fit_room(draws, 2 * size, longest)
      rooms.append([room, sequences.roomy(room, 2 * size)])
    return rooms

  def tasks_of(
    self, lines: list[Timeline], step: int, rooms: Sequence[list[packing.Room]]
  ) -> types.Task:
    """The tasks of a step, all of one shape: leaves [T, devices, ...].

    Args:
      lines: with event tables of one height.
    """
    drawn = [self.draw(lines, step, task) for task in range(self.how.tasks)]
    sides = (
      [
        [(task[0].vectors, task[0].seqs, part) for part in self._deal(task, which)]
        for task in drawn
      ]
      for which in (1, 2)
    )
    return types.Task(*(drawing.fitting(*both) for both in zip(sides, rooms)))

  def _deal(self, task: tuple, which: int) -> list[sequences.Draw]:
    return sequences.deal(task[0].seqs, task[which], self.devices)


def _drawn(line: Timeline, chosen: list[np.ndarray]) -> sequences.Draw:
  labels = np.repeat([0.0, 1.0], [len(x) for x in chosen])
  return sequences.drawn(line.seqs.inverse[np.concatenate(chosen)], labels)


def episode_stream(
  settings: Tasks,
  reading: sequences.Reading,
  steps: int,
  transfer: types.Transfer,
  seed: int,
  devices: int = 1,
) -> types.Stream:
  """`tasks` tasks a meta-step, the sources in turn: leaves [T, devices, ...].

  The target is not trained on: it is adapted to afterwards.

  Raises:
    UserError: there is no source, or one has too few labelled sessions.
  """
  if not steps:
    return types.Stream(0, lambda step: None)
  if not transfer.sources:
    raise errors.UserError(
      'there is no --source to learn from: give some, or --preset=scratch'
    )
  sampler = Sampler(settings, seed, devices)
  tables = drawing.same_height([data.vectors for data in transfer.sources])
  lines = [
    timeline(data._replace(vectors=table), reading.sequences(data.sessions))
    for data, table in zip(transfer.sources, tables)
  ]

  def within(rooms) -> types.Stream:
    draw = lambda step: sampler.tasks_of(lines, step, rooms)
    return types.Stream(steps, draw, rooms, within)

  return within(tuple(sampler.rooms(lines)))
