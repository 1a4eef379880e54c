"""Figures of how long real sessions are and how they repeat; and sessions like them.

Sessions in, cut at CUT events, figures out: the distinct sequences in
lexicographic order, each with how many events it shares with the one before it,
its length, and how many normal and anomalous sessions have it. That is the trie of
all prefixes without the events' names: sequences drawn to these figures repeat and
share prefixes exactly as the real ones do, in any batch.

    python -m experiments.benches.profile hdfs=systems/hdfs bgl=systems/bgl
"""

import json
import os
import pathlib
import sys
from typing import Any

import numpy as np

from metalog_jax import atomic, types
from metalog_jax.logs import store

PATH = pathlib.Path(__file__).with_name('profiles.json')
CUT = 128  # events of a session that are kept


def cut(sessions: types.Sessions) -> types.Sessions:
  """The first CUT events of every session."""
  place = np.arange(len(sessions.events)) - np.repeat(
    sessions.offsets[:-1], sessions.lengths
  )
  lengths = np.minimum(sessions.lengths, CUT)
  return sessions._replace(
    events=sessions.events[place < CUT], offsets=np.cumsum([0, *lengths])
  )


def measure(sessions: types.Sessions) -> dict[str, list[int]]:
  """The figures of labelled sessions, see above; `events` counts each by rank."""
  counts: dict[tuple[int, ...], list[int]] = {}
  sessions = cut(sessions)
  for i in np.flatnonzero(sessions.labels >= 0):
    events = sessions.events[sessions.offsets[i] : sessions.offsets[i + 1]]
    count = counts.setdefault(tuple(events.tolist()), [0, 0])
    count[sessions.labels[i]] += 1
  ordered = sorted(counts)
  before = [(), *ordered[:-1]]
  ranked = np.sort(np.bincount(sessions.events))[::-1]
  return {
    'events': ranked.tolist(),
    'shared': [len(os.path.commonprefix(pair)) for pair in zip(before, ordered)],
    'lengths': [len(sequence) for sequence in ordered],
    'normals': [counts[sequence][0] for sequence in ordered],
    'anomalies': [counts[sequence][1] for sequence in ordered],
  }


def sessions(figures: dict[str, list[int]], seed: int = 0) -> types.Sessions:
  """Sessions that have these figures, their events drawn by frequency."""
  rng = np.random.default_rng(seed)
  frequency = np.array(figures['events']) / sum(figures['events'])
  sequence, rows, labels = np.zeros(0, np.int32), [], []
  for shared, length, *counts in zip(
    *(figures[name] for name in ('shared', 'lengths', 'normals', 'anomalies'))
  ):
    tail = rng.choice(len(frequency), length - shared, p=frequency)
    if len(sequence) > shared:  # a branch: siblings are told apart by counting on
      tail[0] = (sequence[shared] + 1) % len(frequency)
    sequence = np.concatenate([sequence[:shared], tail]).astype(np.int32)
    for label, count in enumerate(counts):
      rows += [sequence] * count
      labels += [label] * count
  return collect(rows, np.array(labels, np.int8))


def collect(rows: list[np.ndarray], labels: np.ndarray) -> types.Sessions:
  """Sessions of these events [L] each, in that order."""
  num = len(rows)
  return types.Sessions(
    np.array([str(i) for i in range(num)], object),
    np.arange(num, dtype=np.float64),
    np.concatenate(rows).astype(np.int32),
    np.cumsum([0, *map(len, rows)]),
    labels,
    np.zeros(num, np.int64),
    np.zeros(num, np.int64),
  )


def load(name: str) -> dict[str, Any]:
  """The committed figures of a system."""
  return json.loads(PATH.read_text())[name]['figures']


def main(arguments: list[str]) -> None:
  """Writes `profiles.json` from System folders given as NAME=DIR."""
  profiles = {}
  for name, folder in (argument.split('=', 1) for argument in arguments):
    profiles[name] = {'figures': measure(store.load(folder).sessions)}
  text = json.dumps(profiles, separators=(',', ':')).replace('],', '],\n')
  atomic.write_text(PATH, text + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
