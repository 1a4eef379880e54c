"""Findings while lines come.

Records are counted in windows of a number of records, or of time. The first windows
are learned, and judged together when there are enough of them, as `scan` judges a log;
each later one is held, when it closes, against the ones before or against a baseline,
and then learned too. State is a function of the lines alone: it is saved at windows'
ends, and a process that takes it up reads the same lines again and finds the same, so
that findings which were written already are known and not written twice.
"""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import atomic, errors
from metalog_jax.logs import clock as clocks
from metalog_jax.logs import keyed, live, records, streams, times
from metalog_jax.logs.field_values import field_values
from metalog_jax.logs.tail import Tail
from metalog_jax.scanning import (
  counted,
  feedback,
  findings,
  follow_findings,
  redact,
  scan,
  sessions,
  windows,
)
from metalog_jax.scanning.followed_sessions import FollowedSessions
from metalog_jax.scanning.following import SAID, Memory

LEARNED = 20  # windows with records before one is judged by itself
AUTO_SECONDS, AUTO_RECORDS = 60, 500  # of a window, with times and without
COMMIT = 20_000  # records after which state is saved
QUIET = 30  # windows after which a finding that returns is told again
_GRACE = 0.7  # seconds after the end of a window, where times are of the clock here
_FIRST = 500  # records that wait for times at most
_IDLE = 5.0  # seconds without a record that close a window of records


class Follower(live.Live):
  """Judges the windows of logs that grow; `run` until it is stopped.

  Args:
    paths: files, or `-`.
    tell: called with each finding as soon as it is there.
    note: called with each sentence about what limits the findings.
    beat: called every tenth of a second.

  Raises:
    UserError: a path or an option is wrong, or `--out` holds something else.
  """

  def __init__(
    self,
    paths: Sequence[str],
    options: scan.Options,
    tell: Callable[[findings.Finding], Any],
    note: Callable[[str], Any],
    beat: Callable[['Follower'], Any] = bool,
  ):
    self.options, self._tell = options, tell
    every = records.expand(paths)
    for name, skipped in every:
      if skipped:
        note(f'{name} is not read: {skipped}')
    found = [name for name, skipped in every if not skipped]
    keys = keyed.chosen(options.key)
    read = streams.Options(options.format, options.encoding, keys)
    super().__init__(live.open_tails(found, paths, read, note), note, beat)
    files = self._shown([tail.path for tail in self.tails])
    self._good = scan.read_baseline(options)
    templates, width = scan.templates_and_width(options, self._good)
    self.memory = Memory(templates, width, files)
    if self._good is not None:
      templates.freeze()
      self.memory.cells = self.memory.without_words(self._good.cells())
      self.memory.forget_texts()
    self.sessions = self._new_sessions()
    self._silent = 0  # windows without a record that were judged
    self._first: list[tuple[pl.DataFrame, Tail]] = []  # before the clock began
    self._open = _new(width)
    if options.out:
      path = pathlib.Path(options.out) / 'findings.jsonl'
      key = lambda row: (row['finding_id'], row['windows'][-1])
      self.journal = live.Journal(options.out, path, self._settings(), key)
      self._resume(self.journal)

  def _new_sessions(self) -> FollowedSessions:
    past = self._good.sessions if self._good is not None else None
    if past is None or past.key is None:
      group = self.options.group if past is None else 'none'
      return FollowedSessions(group, self.options.timeout)
    templates = self.memory.templates
    frames = past.to_frames(templates.group(), len(templates.texts))
    good = sessions.Sessions.from_frames(frames, past.key, len(templates.texts))
    return FollowedSessions(self.options.group, self.options.timeout, good)

  def _settings(self) -> dict[str, Any]:
    names = 'group timeout format window false_alarms baseline mask keep similarity'
    chosen = {name: getattr(self.options, name) for name in names.split()}
    chosen |= {'files': self._shown([tail.path for tail in self.tails])}
    chosen |= {'redact': True} if self.options.redact else {}
    chosen |= {'key': self.options.key} if self.options.key else {}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}

  def _resume(self, journal: live.Journal) -> None:
    saved = journal.load()
    if saved:
      self.memory = Memory.from_json(saved['memory'], self.memory.files, journal.path)
      self._open = _new(self.memory.width)
      self.sessions.restore(saved, len(self.memory.templates.texts), journal.path)
    self.go_on(saved['positions'] if saved else None)
    if not saved:
      self._save()
    elif saved['ending']:
      self._end_sessions()

  @property
  def is_learning(self) -> bool:
    """Whether there is nothing yet that a window is held against."""
    return self._good is None and not self.memory.learned

  def run(self) -> None:
    """Follows until a signal comes, or standard input ends."""
    if self.is_learning:
      self.note(
        f'learning: the first {LEARNED} windows are judged together when they are full'
      )
    super().run()

  def add(self, frame: pl.DataFrame, tail: Tail) -> None:
    """Counts records; the first wait until there are times to begin the clock with."""
    self.memory.last_read, self._silent = time.monotonic(), 0
    number = pl.lit(self.memory.file_number(*self._shown([tail.file])), pl.Int32)
    frame = frame.with_columns(number.alias('.file'))
    if self.memory.clock.now != times.NAT:
      return self._count(frame, tail)
    self._first.append((frame, tail))
    known = [frame['time'].is_not_null().sum() for frame, _ in self._first]
    if sum(known) >= clocks.CONFIRM or sum(len(x) for x, _ in self._first) >= _FIRST:
      self._begin()

  def rename(self, old: str, new: str) -> None:
    """Gives places in a file that was rotated its new name."""
    for part in (self.memory, self.sessions):
      part.rename(*self._shown([old, new]))

  def _shown(self, paths: list[str]) -> list[str]:
    return redact.everything(paths) if self.options.redact else paths

  def _begin(self) -> None:
    """Counts the first records."""
    first, self._first = self._first, []
    if first:
      known = pl.concat([frame['time'].drop_nulls() for frame, _ in first])
      if len(known):
        self.memory.clock.start(known.dt.timestamp('us').to_numpy())
    for frame, tail in first:
      self._count(frame, tail)

  def _count(self, frame: pl.DataFrame, tail: Tail) -> None:
    """Counts records, and closes each window that they end."""
    memory = self.memory
    if memory.width is None:
      known = float(frame['time'].is_not_null().mean() or 0)  # type: ignore[arg-type]
      timed = known >= 0.9
      size = AUTO_SECONDS if timed else AUTO_RECORDS
      memory.width = windows.Width(size, timed)
      self._open = _new(memory.width)
    for number, part in memory.parts(frame):
      if memory.number is not None and number > memory.number:
        self._close()
      if memory.number is None:
        memory.number = number
        memory.origin = number if memory.origin is None else memory.origin
      block = records.as_records(part.drop(SAID))
      block = redact.block(block) if self.options.redact else block
      values = field_values(block.fields)
      codes = memory.templates.add(block.message, block.level, values)
      self._open.add(codes, block.time, block.file, block.line, block.level, block.text)
      self.sessions.add(codes, block, memory.files[int(block.file[0])], memory.lines)
      believed = memory.go_on(part)
      self._say_strays(block, believed)
      memory.records += len(part)
      memory.uncommitted += len(part)
      memory.lines += int(np.sum(block.lines))
      tail.count(part)
      width = memory.width
      if width and not width.timed and memory.records % width.size == 0:
        self._close()

  def _say_strays(self, block: records.Records, believed: np.ndarray) -> None:
    """Counts times that are not believed, and says the first."""
    strays = np.flatnonzero(~believed)
    if len(strays) and not self.memory.strays:
      place = f'{self.memory.files[int(block.file[0])]}:{block.line[strays[0]]}'
      self.note(
        f'{place}: a time more than a day ahead of the log is not believed, unless '
        f'{clocks.CONFIRM} such times come in a row'
      )
    self.memory.strays += len(strays)

  def rest(self) -> None:
    """Closes the open window where nothing has come for long, by the clock here."""
    memory = self.memory
    idle = time.monotonic() - memory.last_read
    if self._first and idle >= _IDLE:
      self._begin()
    if memory.width is None:
      return
    if memory.number is None:
      if len(self.sessions.open) and idle > self.sessions.open.patience:
        self._save(ending=True)  # who goes on ends them too, whatever comes then
        self._end_sessions()
        self._save()
      if memory.width.timed and not self.is_learning:
        self._judge_silence(int(idle / memory.width.size))
      return
    if memory.width.timed:
      end = (memory.number + 1) * memory.width.size
      lag = time.time() - memory.clock.now / 1e6
      live = 0 <= lag - idle < memory.width.size  # times are of the clock here
      if idle >= memory.width.size or (live and min(idle, time.time() - end) >= _GRACE):
        self._close()
    elif idle >= _IDLE:
      self._close(part=True)

  def _close(self, part: bool = False) -> None:
    """Judges the open window and learns it; saves state from time to time.

    A window that was closed early (`part`) goes on under the same number.
    """
    memory = self.memory
    assert memory.number is not None and memory.width is not None
    cells = counted.table(self._open, memory.templates)
    cells = cells.with_columns(window=pl.lit(memory.number, pl.Int64))
    cells = memory.without_words(cells)
    self._open, memory.number = _new(memory.width), None
    memory.templates.freeze()
    if self.is_learning:
      memory.learn(cells)
      if memory.filled >= LEARNED and not part:
        memory.learned = True
        self._judge(memory.cells, None)
        memory.forget_texts()
    else:
      self._judge(cells, memory.cells)
      if self._good is None and not part:
        memory.learn(cells)
    seconds = memory.width.size if memory.width.timed else np.inf
    if not self.is_learning and self.sessions.is_due(seconds):
      self._judge_sessions(cells)
    memory.windows += 1
    if memory.uncommitted >= COMMIT:
      self._save()

  def _judge_silence(self, gap: int) -> None:
    """Tells, once, that nothing has come to any file for so many windows."""
    if gap <= self._silent or not len(self.memory.cells):
      return
    self._silent = gap
    told = follow_findings.silence(self.memory, gap, self.options.false_alarms)
    self._emit([told] if told else [])

  def _judge(self, cells: pl.DataFrame, usual: pl.DataFrame | None) -> None:
    """Tells the findings of a window beside usual ones, or of windows by themselves."""
    alpha = self.options.false_alarms
    beside = 'the baseline' if self._good else 'what was read before'
    memory = self.memory
    self._emit(follow_findings.of_windows(memory, cells, usual, alpha, beside))

  def _judge_sessions(self, cells: pl.DataFrame | None = None) -> None:
    """Tells the findings of sessions that ended; `cells`: of the last window."""
    memory = self.memory
    if not self.sessions.waits or not len(memory.cells) or memory.width is None:
      return
    table = memory.cells
    if self._good is not None and cells is not None:
      table = pl.concat([cells, table.select(cells.columns)])
    texts = list(memory.templates.texts)
    counts = counted.count(table, {}, texts, memory.files, memory.width)
    group = memory.templates.group()
    items = self.sessions.judge(counts, group, self.options.false_alarms)
    self._emit([(item, memory.windows) for item in items])

  def _end_sessions(self) -> None:
    """Ends and judges the sessions that are open."""
    self.sessions.end_all()
    if not self.is_learning:
      self._judge_sessions()

  def _emit(self, told: Sequence[tuple[findings.Finding, int]]) -> None:
    """Writes and tells findings with the number of the window that each was found in.

    One that goes on, or that stands there already, is not told again.
    """
    memory, known = self.memory, [self.options.out, *self.options.baseline]
    feedback.apply([item for item, _ in told], known)
    for item, window in told:
      if memory.is_going_on(item.finding_id, window, QUIET):
        continue
      memory.found[item.kind] = memory.found.get(item.kind, 0) + 1
      if self.journal is None or self.journal.append(item.as_dict()):
        self._tell(item)

  def end(self) -> None:
    """Judges what is left, and says what could not be."""
    memory = self.memory
    self._begin()
    if memory.number is not None:
      self._close(part=True)
    if self.is_learning and memory.filled:
      self.note(
        f'{memory.filled} of the {LEARNED} windows of {memory.width} that are learned '
        'were read: what is in them is judged together, and little can be said'
      )
      active = dict(memory.active)
      self._judge(memory.cells, None)
      memory.active = active  # who goes on may tell them again
    if self.ended or self.journal is None:
      self._end_sessions()
    self._save()
    if self.journal:
      atomic.write_json(pathlib.Path(self.options.out) / 'scan.json', self.summary)

  def _save(self, ending: bool = False) -> None:
    """Begins codes anew, and saves state; `ending`: all sessions are about to end."""
    memory = self.memory
    memory.templates.freeze()
    self.sessions.renew(memory.templates.group(), memory.renew())
    if self.journal:
      state = {'memory': memory.to_json(), 'sessions': self.sessions.to_json()}
      self.journal.save({'positions': self.positions, 'ending': ending} | state)

  @property
  def summary(self) -> dict[str, Any]:
    """What scan.json holds: inputs since this process began, counts since ever."""
    memory = self.memory
    summary = {
      'follow': True,
      'inputs': [tail.entry.as_json() for tail in self.tails],
      'lines': memory.lines,
      'records': memory.records,
      'times_not_believed': memory.strays,
      'templates': len(memory.templates.texts),
      'window': str(memory.width or ''),
      'windows': memory.windows,
      'group': self.sessions.key.name if self.sessions.key else None,
      'sessions': self.sessions.number,
      'sessions_not_judged': self.sessions.dropped,
      'baseline': {'state': 'learning' if self.is_learning else 'settled',
                   'path': ','.join(self.options.baseline)},
      'false_alarms': self.options.false_alarms,
      'findings': sum(memory.found.values()),
    }  # fmt: skip
    return redact.everything(summary) if self.options.redact else summary

  @property
  def metrics(self) -> dict[str, float]:
    """Counters for `--metrics`."""
    memory = self.memory
    return {
      'lines_total': memory.lines,
      'records_total': memory.records,
      'windows_total': memory.windows,
      'sessions_total': self.sessions.number,
      'open_sessions': len(self.sessions.open),
      'templates': len(memory.templates.texts),
      'learning': float(self.is_learning),
      'last_record_seconds': max(memory.clock.now, 0) / 1e6,
    }


def _new(width: windows.Width | None) -> windows.Windows:
  return windows.Windows(width, joins=False)


def follow(
  paths: Sequence[str],
  options: scan.Options,
  tell: Callable[[findings.Finding], Any],
  note: Callable[[str], Any],
  beat: Callable[[Follower], Any] = bool,
) -> Follower:
  """Follows logs until a signal comes; the follower, which says how it ended.

  Raises UserError as `Follower`.
  """
  for name in ('save_baseline', 'labels'):
    if getattr(options, name):
      raise errors.UserError(f'--{name} does not go with --follow')
  follower = Follower(paths, options, tell, note, beat)
  follower.run()
  return follower
