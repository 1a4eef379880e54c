"""Verdicts of a trained model while lines come: `detect` for logs that grow.

Lines are read, given templates and scored by the code of `detect`, one session at a
time: a verdict depends on its session, the model and its threshold alone, so that batch
and stream agree on the same lines. When a session ends, `logs.open_sessions` says.
Templates are the model's: new ones are not mined, as `detect` does where vectors come
from an encoder.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import (
  accounts,
  events,
  files,
  live,
  open_sessions,
  quotes,
  records,
  streams,
  systems,
  tail,
)
from metalog_jax.logs import sessions as sessions_lib
from metalog_jax.runs import detect
from metalog_jax.runs import model as models

COMMIT = 20_000  # lines after which state is saved
SHARE = 0.05  # of the time, that saving may take
VERDICTS = 'verdicts.jsonl'


@dataclasses.dataclass(frozen=True)
class Options:
  """How a log is followed; see `metalog detect --help`."""

  threshold: float | None = None
  timeout: str = ''  # '': an hour, or the length of a window
  sessions: int = 50_000  # open at once
  state: str = ''  # folder; '': nothing is kept
  out: str = '-'
  model: str = ''  # fingerprint of the run
  changes: dict[str, Any] = dataclasses.field(default_factory=dict)  # systems.Options


class Watcher(live.Live):
  """Judges the sessions of logs that grow; `run` until it is stopped.

  Args:
    logs: files, or `-`.
    write: called with each verdict as soon as its session has ended. At the end of a
      run, sessions that are open are judged too: `open` is true, and whoever goes on
      gives another verdict when they end.
    note, beat: see `live.Live`.

  Raises:
    UserError: as `detect.detect`, or a timeout or a state is wrong.
  """

  def __init__(
    self,
    model: models.Model,
    logs: Sequence[str],
    options: Options,
    write: Callable[[dict[str, Any]], Any],
    note: Callable[[str], Any],
    beat: Callable[['Watcher'], Any] = bool,
  ):
    self._frozen = detect.templates_of(model)
    threshold = detect.threshold_of(model, options.threshold)
    self.judge = detect.Judge(model, threshold, len(model.texts))
    read = dataclasses.replace(
      model.options, logs=tuple(logs), labels='', fit='all', **options.changes
    )
    self._read, self._write = read, write
    self._task = systems.Task(read, self._frozen, False, pathlib.Path())
    form, any_log = read.line_format(), read.system == 'auto'
    paths = (
      [path for path, skipped in records.expand(logs) if not skipped]
      if any_log
      else files.expand(logs)
    )
    how = streams.Options(read.format or 'auto') if any_log else None
    super().__init__(live.open_tails(paths, logs, how, note), note, beat)
    self.account = accounts.Account(read.max_bad_lines, form)
    self.open = open_sessions.OpenSessions(
      read.cut(), options.timeout, options.sessions
    )
    self.lines = self.anomalous = self.judged = 0
    self._uncommitted, self._next_save = 0, 0.0
    self._last_read = time.monotonic()
    if options.state:
      self._resume(options, threshold)

  def _resume(self, options: Options, threshold: float) -> None:
    folder = pathlib.Path(options.state)
    path = folder / VERDICTS if options.out == '-' else options.out
    settings = {
      'model': options.model,
      'threshold': threshold,
      'timeout': options.timeout,
      'sessions': options.sessions,
      'files': [tail.path for tail in self.tails],
      'changes': options.changes,
    }
    place = lambda end: (end['line'], end['time'])  # a file's name changes in time
    key = lambda row: (
      row['session_id'],
      *place(row['first']),
      *(place(row['last']) if row.get('open') else ()),
    )
    self.journal = live.Journal(folder, path, settings, key)
    saved = self.journal.load()
    if saved:
      try:
        self.lines, self.judged, self.anomalous = saved['counts']
        self.open.restore(saved['sessions'])
      except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise errors.UserError(f'{self.journal.path} is damaged: {error!r}') from error
    self.go_on(saved['positions'] if saved else None)
    if not saved:
      self._save()
    elif saved['ending']:
      self._judge(self.open.end_all())

  def add(self, frame: pl.DataFrame, tail: tail.Tail) -> None:
    """Takes lines, and judges the sessions that they end."""
    first = self.lines + 1
    part, texts = self._part(frame, tail, first)
    self.account.add(part.lines.tally)
    known, _ = self._frozen.assign(part.texts)
    rows, *_ = sessions_lib.rows(part.lines, known[part.codes], self._task.whole)
    shift = int(frame['.line'][0]) - first
    self._judge(self.open.add(rows, tail.file, shift, texts))
    self.lines += part.lines.tally.lines
    tail.count(frame)
    self._uncommitted += len(frame)
    self._last_read = time.monotonic()
    if self._uncommitted >= COMMIT and self._last_read >= self._next_save:
      self._save()

  def rename(self, old: str, new: str) -> None:
    """Gives a file a new name in open sessions."""
    self.open.rename(old, new)

  def _part(self, frame: pl.DataFrame, source: tail.Tail, first: int):
    """What the lines are, and what gives the text of one by its number."""
    maskset = self._frozen.maskset
    if tail.RAW not in frame.columns:
      part = events.part_of(records.as_records(frame), first, maskset)
      texts = frame['.text']
      at = lambda number: texts[int(np.searchsorted(part.lines.number, number))]
    else:
      raw = frame[tail.RAW].to_list()
      line = int(frame['.line'][0])
      data = b'\n'.join(raw) + b'\n'
      chunk = files.Chunk(data, source.path, first, line, source.header)
      form = self._read.line_format()
      part = events.read(chunk, form, self._read.group, maskset)
      cut = 4 * quotes.LONGEST
      at = lambda number: raw[number - first][:cut].decode('utf-8', 'backslashreplace')
    return part, lambda number: at(number).rstrip('\r')[: quotes.LONGEST]

  def _judge(self, ended: list[open_sessions.Session], still: bool = False) -> None:
    """Writes the verdicts on sessions; `still`: on those that may go on."""
    for start in range(0, len(ended), detect.ROWS):
      part = ended[start : start + detect.ROWS]
      verdicts = self.judge.verdicts(*open_sessions.as_sessions(part))
      for session, verdict in zip(part, verdicts, strict=True):
        verdict['first'] |= session.first
        verdict['last'] |= session.last
        for event in verdict['events']:
          event['text'] = session.text_at(event['lines'][0])
        if still:
          verdict['open'] = True
        else:
          self.judged += 1
          self.anomalous += verdict['anomalous']
        if self.journal is None or self.journal.append(verdict):
          self._write(verdict)

  def rest(self) -> None:
    """Ends sessions where nothing has come to any file for the timeout."""
    idle = time.monotonic() - self._last_read
    if len(self.open) and idle > self.open.patience:
      self._save(ending=True)  # who goes on ends them too, whatever comes then
      self._judge(self.open.end_all())
      self._save()

  def end(self) -> None:
    """Judges what is open, and says what could not be read."""
    if self.ended:
      self._judge(self.open.end_all())
    else:
      self._judge(self.open.peek(), still=True)
    self._save()
    try:
      systems.check_lines(self._task, self.account, self.lines)
    except errors.UserError as error:
      self.note(str(error))
    for text in self.judge.warnings:
      self.note(text)

  def _save(self, ending: bool = False) -> None:
    if self.journal is None:
      return
    begin = time.monotonic()
    counts = [self.lines, self.judged, self.anomalous]
    content = {'positions': self.positions, 'counts': counts, 'ending': ending}
    self.journal.save(content | {'sessions': self.open.to_json()})
    self._uncommitted, end = 0, time.monotonic()
    self._next_save = end + (end - begin) / SHARE

  @property
  def metrics(self) -> dict[str, float]:
    """Counters for Prometheus."""
    return {
      'lines_total': self.lines,
      'bad_lines_total': self.account.num_bad,
      'sessions_total': self.judged,
      'anomalous_sessions_total': self.anomalous,
      'open_sessions': len(self.open),
    }

  def __str__(self) -> str:
    return (
      f'{self.anomalous:,} of {self.judged:,} sessions anomalous, {len(self.open):,} '
      f'open; {self.lines:,} lines, {self.account.num_bad:,} bad'
    )
