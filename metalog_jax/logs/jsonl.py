"""Session files: JSON lines, one session each, their events named in a CSV.

A line is `{"session_id": str, "events": [event_id, ...], "label": 0 | 1}`; label
may be absent or null, and `time`, `first_line`, `last_line` may be present. The
CSV has the columns `event_id,template`; without it an event's name is its text.
"""

import collections
import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import errors, types
from metalog_jax.logs import bad_lines, files, store

NOT_JSON = 'is not a JSON object'
NO_EVENTS = 'has no list of events'
NO_ID = 'has no session_id'
BAD_LABEL = 'label is not 0, 1 or null'
NO_TEMPLATE = 'names an event that the templates lack'
BAD_PLACE = 'has a time or line number that is none'


class Rows(NamedTuple):
  """The sessions of a chunk; what `bad_lines.BadLines.add` wants to know of it."""

  sessions: types.Sessions
  number: np.ndarray
  num_lines: int
  skipped: dict[str, int]
  bad: bad_lines.Found
  escaped: int = 0


def prepare(
  options: Any, writer: store.Writer, progress: Callable[[int], Any]
) -> store.Made:
  """Writes the sessions of `options.sessions` (`systems.Options`), in order."""
  events = Events(options.templates)
  bad = bad_lines.BadLines(options.max_bad_lines, 'jsonl')
  counts = np.zeros(0, np.int64)
  known = Known()
  inputs: list[files.Input] = []
  paths = files.expand(options.sessions)
  for chunk in files.read_chunks(paths, inputs.append, progress=progress):
    rows = parse(chunk, events, known, options.max_events)
    bad.add(chunk.path, rows)
    if rows.sessions.num:
      writer.write(store.to_arrow(rows.sessions))
    counts = np.bincount(rows.sessions.events, minlength=len(events.texts)) + np.pad(
      counts, (0, len(events.texts) - len(counts))
    )
  bad.check()
  manifest = {
    **bad.report(),
    'mining': 'given',
    'inputs': [item._asdict() for item in (*inputs, *events.inputs)],
  }
  return store.Made(tuple(events.texts), counts, manifest, {})


class Events:
  """Event ids by name; without a CSV, names are numbered as they come."""

  def __init__(self, path: str = ''):
    self.texts = [types.UNKNOWN_TEMPLATE]
    self.fixed = bool(path)
    self.inputs: list[files.Input] = []
    self._ids: dict[str, int] = {}
    for name, text in self._read(path) if path else ():
      self._ids[name] = len(self.texts)
      self.texts.append(text)

  def ids(self, names: list[Any]) -> list[int] | None:
    """None where a name has no template."""
    names = [_text(name) for name in names]
    if not self.fixed:
      for name in names:
        if name not in self._ids:
          self._ids[name] = len(self.texts)
          self.texts.append(name)
    found = [self._ids.get(name, -1) for name in names]
    return None if -1 in found else found

  def _read(self, path: str) -> Iterator[tuple[str, str]]:
    text, source = files.read_text(path, '--templates')
    self.inputs.append(source)
    rows = csv.DictReader(io.StringIO(text, newline=''))
    if not {'event_id', 'template'} <= set(rows.fieldnames or ()):
      raise errors.UserError(
        f'{path} needs the columns event_id,template: check --templates'
      )
    seen: dict[str, str] = {}
    for row in rows:
      name, template = row['event_id'], row['template']
      where = f'{path}:{rows.line_num}'
      if not name or template is None:
        raise errors.UserError(f'{where}: a column is missing: check --templates')
      if seen.setdefault(name, template) != template:
        raise errors.UserError(f'{where}: {name} has two different templates')
    yield from seen.items()


class Known:
  """Sessions by id: the same one twice is dropped, two of one id are an error."""

  def __init__(self):
    self._seen: dict[str, int] = {}

  def has(self, where: str, name: str, *content) -> bool:
    """Raises ValueError where `name` was another session before."""
    new = name not in self._seen
    if self._seen.setdefault(name, hash(content)) != hash(content):
      raise errors.UserError(
        f'{where}: session_id {name} stands for two different sessions'
      )
    return not new


def parse(
  chunk: files.Chunk, events: Events, known: Known, max_events: int = 0
) -> Rows:
  """Parses the lines of a chunk, in order."""
  lines = chunk.data.decode('utf-8', 'backslashreplace').split('\n')[:-1]
  bad: dict[str, list[int]] = {}
  skipped: collections.Counter[str] = collections.Counter()
  good = []
  for index, line in enumerate(lines):
    row = _row(line, events) if line.strip() else None
    if row is None:
      skipped['blank'] += 1
    elif isinstance(row, str):
      bad.setdefault(row, []).append(index)
    elif known.has(f'{chunk.path}:{chunk.line + index}', row[0], tuple(row[1]), row[2]):
      skipped['duplicate'] += 1
    else:
      good.append((chunk.number + index, *row))
  found = bad_lines.Found(chunk.line)
  for reason, indices in bad.items():
    texts = [lines[i] for i in indices[: bad_lines.SHOWN]]
    found.add(reason, np.array(indices), pl.Series(texts))
  numbers = np.array([row[0] for row in good], np.int64)
  sessions = _sessions(good, max_events)
  return Rows(sessions, numbers, len(lines), dict(skipped), found)


def _text(value: Any) -> str:
  """A name as a string that UTF-8 can hold."""
  return str(value).encode('utf-8', 'backslashreplace').decode()


def _row(line: str, events: Events) -> tuple | str:
  """A session's (id, events, label, time, first, last), or why it is none."""
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
  ids = events.ids(names)
  if ids is None:
    return NO_TEMPLATE
  try:
    time = float(row.get('time', 'nan'))
    first, last = int(row.get('first_line', 0)), int(row.get('last_line', 0))
  except (TypeError, ValueError, OverflowError):
    return BAD_PLACE
  if math.isinf(time) or not 0 <= min(first, last) <= max(first, last) < 1 << 63:
    return BAD_PLACE
  return _text(name), ids, -1 if label is None else int(label), time, first, last


def _sessions(rows: list[tuple], max_events: int) -> types.Sessions:
  kept = [row[2][:max_events] if max_events else row[2] for row in rows]
  lengths = [len(events) for events in kept]
  columns = list(zip(*rows)) or [()] * 7
  return types.Sessions(
    ids=np.array(columns[1], object),
    times=np.array(columns[4], np.float64),
    events=np.array([event for events in kept for event in events], np.int32),
    offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
    labels=np.array(columns[3], np.int8),
    first_lines=np.array(columns[5], np.int64),
    last_lines=np.array(columns[6], np.int64),
  )
