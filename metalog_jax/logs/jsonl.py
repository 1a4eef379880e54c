"""Session files: JSON lines, one session each, their events named in a CSV.

A line is `{"session_id": str, "events": [event_id, ...], "label": 0 | 1}`; label
may be absent or null, and `time`, `first_line`, `last_line` may be present. The
CSV has the columns `event_id,template`; without it an event's name is its text.
"""

import collections
import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.logs import accounts, files, store

NOT_JSON = 'is not a JSON object'
NO_EVENTS = 'has no list of events'
NO_ID = 'has no session_id'
BAD_LABEL = 'label is not 0, 1 or null'
NO_TEMPLATE = 'names an event that the templates lack'
BAD_PLACE = 'has a time or line number that is none'


class Row(NamedTuple):
  """One session."""

  name: str
  events: list[int]
  label: int
  time: float
  first_line: int
  last_line: int


def prepare(
  sessions: Sequence[str],
  templates: str,
  max_bad_lines: str,
  max_events: int,
  writer: store.Writer,
  progress: Callable[[int], Any],
) -> store.Contents:
  """Writes the sessions of the files `sessions`, in order: see `systems.Options`."""
  events, account = Events(templates), accounts.Account(max_bad_lines)
  counts = np.zeros(0, np.int64)
  known: dict[str, int] = {}
  inputs: list[files.Input] = []
  paths = files.expand(sessions)
  for chunk in files.read_chunks(paths, inputs.append, progress=progress):
    rows, tally = parse(chunk, events, known)
    account.add(tally)
    if rows:
      new_sessions = _sessions(rows, max_events)
      writer.write(store.to_arrow(new_sessions))
      new = np.bincount(new_sessions.events, minlength=len(events.texts))
      new[: len(counts)] += counts
      counts = new
  account.check()
  manifest = {
    **account.report(),
    'mining': 'given',
    'inputs': [item._asdict() for item in (*inputs, *events.inputs)],
  }
  counts = np.pad(counts, (0, len(events.texts) - len(counts)))
  return store.Contents(tuple(events.texts), counts, manifest)


class Events:
  """Event ids by name; without a CSV, names are numbered as they come."""

  def __init__(self, path: str = ''):
    self.texts = [types.UNKNOWN_TEMPLATE]
    self.fixed = bool(path)
    self.inputs: list[files.Input] = []
    self._ids: dict[str, int] = {}
    for name, text in self._read(path).items() if path else ():
      self._add(name, text)

  def ids(self, names: list[Any]) -> list[int] | None:
    """None where a name has no template."""
    ids = [self._ids.get(name, -1) if type(name) is str else -1 for name in names]
    if -1 in ids:
      names = [_text(name) for name in names]
      for name in names if not self.fixed else ():
        self._add(name, name)
      ids = [self._ids.get(name, -1) for name in names]
    return None if -1 in ids else ids

  def _add(self, name: str, text: str) -> None:
    if name not in self._ids:
      self._ids[name] = len(self.texts)
      self.texts.append(text)

  def _read(self, path: str) -> dict[str, str]:
    text, source = files.read_text(path, '--templates')
    self.inputs.append(source)
    csv.field_size_limit(max(len(text), 2**17))  # a template may be long
    rows = csv.DictReader(io.StringIO(text, newline=''))
    if not {'event_id', 'template'} <= set(rows.fieldnames or ()):
      raise errors.UserError(
        f'{path} needs the columns event_id,template: check --templates'
      )
    texts: dict[str, str] = {}
    for row in rows:
      name, template = row['event_id'], row['template']
      where = f'{path}:{rows.line_num}'
      if not name or template is None:
        raise errors.UserError(f'{where}: a column is missing: check --templates')
      if texts.setdefault(name, template) != template:
        raise errors.UserError(f'{where}: {name} has two different templates')
    return texts


def parse(
  chunk: files.Chunk, events: Events, known: dict[str, int]
) -> tuple[list[Row], accounts.Tally]:
  """Parses the lines of a chunk, in order; UserError for two sessions of one id.

  Args:
    known: a hash of every session so far, by its id; those of the chunk are added.
  """
  lines = chunk.data.decode('utf-8', 'backslashreplace').split('\n')[:-1]
  bad: dict[str, list[int]] = collections.defaultdict(list)
  skipped: collections.Counter[str] = collections.Counter()
  rows = []
  for index, line in enumerate(lines):
    if not line.strip():
      skipped['blank'] += 1
    elif isinstance(row := _row(line, events), str):
      bad[row].append(index)
    elif row.name not in known:
      known[row.name] = hash((tuple(row.events), row.label))
      rows.append(row)
    elif known[row.name] == hash((tuple(row.events), row.label)):
      skipped['duplicate'] += 1
    else:
      raise errors.UserError(
        f'{chunk.path}:{chunk.line + index}: session_id {row.name} stands for two '
        'different sessions'
      )
  reasons = {
    reason: accounts.Bad.at(chunk.line, at, [lines[i] for i in at[: accounts.SHOWN]])
    for reason, at in bad.items()
  }
  return rows, accounts.Tally(chunk.path, len(lines), len(rows), dict(skipped), reasons)


def _text(value: Any) -> str:
  """A name as a string that UTF-8 can hold."""
  return str(value).encode('utf-8', 'backslashreplace').decode()


def _row(line: str, events: Events) -> Row | str:
  """A session, or why it is none."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return NOT_JSON
  if not isinstance(row, dict):
    return NOT_JSON
  name, names, label = row.get('session_id'), row.get('events'), row.get('label')
  if name is None or name == '':
    return NO_ID
  if not isinstance(names, list) or not names:
    return NO_EVENTS
  if label not in (0, 1, None):
    return BAD_LABEL
  try:
    time = float(row.get('time', 'nan'))
    first, last = int(row.get('first_line', 0)), int(row.get('last_line', 0))
  except (TypeError, ValueError, OverflowError):
    return BAD_PLACE
  if math.isinf(time) or not 0 <= min(first, last) <= max(first, last) < 1 << 63:
    return BAD_PLACE
  ids = events.ids(names)
  if ids is None:
    return NO_TEMPLATE
  return Row(_text(name), ids, -1 if label is None else int(label), time, first, last)


def _sessions(rows: list[Row], max_events: int) -> types.Sessions:
  events = [row.events[: max_events or None] for row in rows]
  return types.Sessions(
    ids=np.array([row.name for row in rows], object),
    times=np.array([row.time for row in rows], np.float64),
    events=np.fromiter(itertools.chain.from_iterable(events), np.int32),
    offsets=np.cumsum([0, *map(len, events)], dtype=np.int64),
    labels=np.array([row.label for row in rows], np.int8),
    first_lines=np.array([row.first_line for row in rows], np.int64),
    last_lines=np.array([row.last_line for row in rows], np.int64),
  )
