"""Sessions while their lines come: when each of them ends, in bounded memory.

The rules, which look at lines alone and not at the clock of this machine:

- A session by name ends when the log's clock, the latest time that is believed (see
  `clock`), is more than the timeout after what it was at the session's last line. A
  line that comes later begins another session of that name. Where no line has a time,
  `LINES` lines count as one.
- A window of lines ends when it is full; a window of time when its entity goes into
  the next one, or as above, its length being the least timeout.
- Of too many sessions the one whose last line is oldest ends; so does one that has
  `LONGEST` events.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors, types
from metalog_jax.logs import clock as clocks
from metalog_jax.logs import packed, times
from metalog_jax.logs import sessions as sessions_lib

LINES = 100_000  # a timeout where there are no times
LONGEST = 100_000  # events of a session
ENTITIES = 100_000  # whose windows are counted
_SCHEMA: Any = {
  'entity': pl.String, 'name': pl.String, 'window': pl.Int64,
  'first': pl.Struct({'file': pl.String, 'line': pl.Int64}), 'first_line': pl.Int64,
  'time': pl.Float64, 'last': pl.Struct({'file': pl.String, 'line': pl.Int64}),
  'last_line': pl.Int64, 'last_time': pl.Float64, 'clock': pl.Float64,
  'size': pl.Int64, 'events': pl.List(pl.Int32), 'lines': pl.List(pl.Int64),
  'texts': pl.List(pl.String),
}  # fmt: skip


@dataclasses.dataclass(slots=True)
class Session:
  """What has come of a session; times are in seconds, nan for none."""

  entity: str
  name: str
  window: int
  first: dict[str, Any]  # file and line in it
  first_line: int  # over all files
  time: float = math.nan  # the first
  last: dict[str, Any] = dataclasses.field(default_factory=dict)
  last_line: int = 0
  last_time: float = math.nan
  clock: float = -math.inf  # of the log, at the last line
  size: int = 0  # events, with those that are not kept
  events: list[int] = dataclasses.field(default_factory=list)
  lines: list[int] = dataclasses.field(default_factory=list)
  texts: dict[int, str] = dataclasses.field(default_factory=dict)  # first, by event

  def text_at(self, line: int) -> str:
    """The first line like the one of this number."""
    return self.texts[self.events[self.lines.index(line)]]

  def place_of(self, number: int) -> dict[str, Any]:
    """File and line of a line by its number over all files, of its first and last."""
    line = number - self.last_line + self.last['line']
    if line >= 1:
      return {'file': self.last['file'], 'line': line}
    return {
      'file': self.first['file'],
      'line': number - self.first_line + self.first['line'],
    }


class OpenSessions:
  """The sessions that have not ended.

  Args:
    cut: into windows, if any.
    timeout: a time or a number of lines; '' for an hour, or the length of a window.
    most: sessions that are open at once.

  Raises:
    UserError: the timeout is neither.
  """

  def __init__(self, cut: sessions_lib.Cut, timeout: str = '', most: int = 50_000):
    self._cut, self._most = cut, most
    usual = f'{cut.seconds}s' if cut.seconds else '1h'
    try:
      wait = sessions_lib.Cut.parse(timeout or usual)
    except errors.UserError:
      raise errors.UserError(
        f'--timeout={timeout}: give a time (90s, 10m, 6h), or lines (5000)'
      ) from None
    self._seconds, self._lines = max(wait.seconds, cut.seconds), wait.lines
    self._open: collections.OrderedDict[str, Session] = collections.OrderedDict()
    self._windows: collections.OrderedDict[str, list[float]] = (
      collections.OrderedDict()
    )  # of an entity: how many, the first time, the latest one
    self._clock = clocks.Clock()

  @property
  def clock(self) -> float:
    """The log's, in seconds; -inf before the first time."""
    now = self._clock.now
    return -math.inf if now == times.NAT else now / 1e6

  def __len__(self) -> int:
    return len(self._open)

  @property
  def patience(self) -> float:
    """Seconds without a line in any file after which all sessions have ended."""
    return math.inf if self._lines or self._cut.lines else self._seconds

  def add(
    self, rows: pl.DataFrame, file: str, shift: int, text: Callable[[int], str]
  ) -> list[Session]:
    """Takes events of one file; the sessions that they end.

    Args:
      rows: as `sessions.rows` gives them, with events for codes.
      shift: from a line's number over all files to the one in its file.
      text: of a line by its number over all files.
    """
    ended, most = list[Session](), self._cut.max_events or LONGEST
    columns = (rows[name].to_list() for name in ('entity', 'number', 'code', 'time'))
    for entity, number, event, time in zip(*columns):
      if time is not None and not self._clock.believes(round(time * 1e6)):
        time = None
      ended += self._end_late(number)
      session = self._session(entity, time, number, ended)
      place = {'file': file, 'line': number + shift}
      if session.size == 0:
        session.first, session.first_line = place, number
      session.last, session.last_line, session.clock = place, number, self.clock
      session.last_time = math.nan if time is None else time
      if time is not None and math.isnan(session.time):
        session.time = time
      session.size += 1
      if len(session.events) < most:
        if event not in session.texts:
          session.texts[event] = text(number)
        session.events.append(event)
        session.lines.append(number)
      if session.size == (self._cut.lines or LONGEST):
        ended.append(self._open.pop(entity))
    return ended

  def _end_late(self, number: int) -> Iterable[Session]:
    """Ends sessions that nothing came to for long, and the oldest of too many."""
    while self._open:
      oldest = next(iter(self._open.values()))
      if self._cut.lines:
        late = False
      elif self._lines or self.clock == -math.inf:
        late = number - oldest.last_line > (self._lines or LINES)
      else:
        late = self.clock - oldest.clock > self._seconds
      if not late and len(self._open) <= self._most:
        return
      yield self._open.popitem(last=False)[1]

  def _session(
    self, entity: str, time: float | None, number: int, ended: list[Session]
  ) -> Session:
    """The session that a line belongs to; the one before it may end."""
    window = self._window(entity, time) if self._cut.seconds else 0
    session = self._open.get(entity)
    if session is not None and session.window == window:
      self._open.move_to_end(entity)
      return session
    if session is not None:
      ended.append(self._open.pop(entity))
    name = entity
    if self._cut.windows:
      count = self._of(entity)
      name, count[0] = f'{entity}#{int(count[0])}', count[0] + 1
    session = self._open[entity] = Session(entity, name, window, {}, number)
    return session

  def _window(self, entity: str, time: float | None) -> int:
    """The number of the window of time; a clock that runs back stays in its own."""
    about = self._of(entity)
    if time is not None:
      about[1] = time if math.isnan(about[1]) else about[1]
      about[2] = time if math.isnan(about[2]) else max(about[2], time)
    past = (about[2] - about[1]) / self._cut.seconds
    return 0 if math.isnan(past) else math.floor(past)

  def _of(self, entity: str) -> list[float]:
    about = self._windows.setdefault(entity, [0, math.nan, math.nan])
    self._windows.move_to_end(entity)
    if len(self._windows) > ENTITIES:
      self._windows.popitem(last=False)
    return about

  def peek(self) -> list[Session]:
    """All that are open."""
    return list(self._open.values())

  def end_all(self) -> list[Session]:
    """Ends them."""
    ended = self.peek()
    self._open.clear()
    return ended

  def rename(self, old: str, new: str) -> None:
    """Gives a file a new name in all that is open."""
    rename(self._open.values(), old, new)

  def to_json(self) -> dict[str, Any]:
    """All of it."""
    return {
      'clock': [self._clock.now, self._clock.ahead],
      'open': to_text(self.peek()),
      'windows': list(self._windows.items()),
    }

  def restore(self, content: dict[str, Any]) -> None:
    """Takes up what `to_json` gave."""
    self._clock = clocks.Clock(*content['clock'])
    self._open.update((s.entity, s) for s in from_text(content['open']))
    for entity, about in content['windows']:
      self._windows[entity] = [math.nan if x is None else x for x in about]


def rename(sessions: Iterable[Session], old: str, new: str) -> None:
  """Gives a file a new name in the ends of sessions."""
  for session in sessions:
    for place in (session.first, session.last):
      if place['file'] == old:
        place['file'] = new


def to_text(sessions: Sequence[Session]) -> str:
  """Sessions as Parquet in base 64."""
  rows = {name: [getattr(s, name) for s in sessions] for name in _SCHEMA}
  rows['texts'] = [list(texts.values()) for texts in rows['texts']]  # as in events
  return packed.to_text(pl.DataFrame(rows, _SCHEMA))


def from_text(text: str) -> list[Session]:
  """What `to_text` gave a text of."""
  sessions = []
  for row in packed.from_text(text).iter_rows(named=True):
    row['texts'] = dict(zip(dict.fromkeys(row['events']), row['texts']))
    sessions.append(Session(**row))
  return sessions


def as_sessions(
  ended: Sequence[Session],
) -> tuple[types.Sessions, np.ndarray, np.ndarray]:
  """Their arrays, [N] the line of each event, and [S] the times of the last lines."""
  flat = lambda name: list(
    itertools.chain.from_iterable(getattr(s, name) for s in ended)
  )
  array = lambda name, kind: np.array([getattr(s, name) for s in ended], kind)
  offsets = np.cumsum([0, *(len(s.events) for s in ended)], dtype=np.int64)
  found = types.Sessions.bare(np.array(flat('events'), np.int32), offsets)._replace(
    ids=array('name', object),
    times=array('time', float),
    first_lines=array('first_line', np.int64),
    last_lines=array('last_line', np.int64),
  )
  return found, np.array(flat('lines'), np.int64), array('last_time', float)
