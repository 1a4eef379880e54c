"""Scores raw logs with the exported model of this folder.

  python run.py app.log older.log.gz > verdicts.jsonl
  cat app.log | python run.py -

Needs numpy, for networks also jax and flatbuffers, and not the library that trained the
model. Prints one JSON line a session, in order of first appearance; warnings and a
summary go to stderr.

Nothing is executed from data: the model is JSON, an npz without pickle, and for
networks a StableHLO program; events.py and scores.py compute with them, and every file
is compared with checksums.json before it is read. (Who can change this file and
checksums.json can change anything: get both from whom you trust.)
"""

import argparse
import array
import bz2
import contextlib
import datetime
import fractions
import gzip
import hashlib
import importlib.util
import json
import lzma
import math
import pathlib
import re
import signal
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
FILES = ('model.json', 'templates.json', 'weights.npz', 'events.py', 'scores.py')
MAX_LINE = 1 << 20  # bytes of a line
LIMIT = 10.0  # seconds of computing that one line may take
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class Refused(Exception):
  """What a user can mend; the message says how."""


class Session:
  """Events in order, and where they stand: (file, line in it, line over all files)."""

  def __init__(self, name: str, place: tuple[str, int, int]):
    self.name, self.first, self.last = name, place, place
    self.events = array.array('i')


class Model:
  """The files of an exported model, verified and read."""

  def __init__(self, folder: pathlib.Path):
    try:
      sums = dict.copy(json.loads((folder / 'checksums.json').read_bytes()))
      data = {name: (folder / name).read_bytes() for name in {*sums, *FILES}}
    except OSError as error:
      raise Refused(f'{error}: export the model again') from None
    except (ValueError, TypeError, RecursionError):
      raise Refused(f'{folder}/checksums.json is damaged: export again') from None
    for name, content in data.items():
      if hashlib.sha256(content).hexdigest() != sums.get(name):
        raise Refused(
          f'{folder / name} was changed since it was exported, or checksums.json is of '
          'another model: export again'
        )
    self.settings = json.loads(data['model.json'])
    content = json.loads(data['templates.json'])
    self.templates = _module(folder / 'events.py').Templates(content)
    self._scores = _module(folder / 'scores.py').Scores(data, self.settings).scores

  def scores(self, sessions: Sequence[Sequence[int]]) -> np.ndarray:
    """Scores [S] of sessions; equal ones are computed once."""
    numbers: dict[tuple[int, ...], int] = {}
    which = [numbers.setdefault(tuple(s), len(numbers)) for s in sessions]
    scores = self._scores(list(numbers))
    if not np.isfinite(scores).all():
      raise Refused('the model gives scores that are not numbers')
    return scores[which]


def _module(path: pathlib.Path) -> Any:
  """The module in a file; no compiled copy is left beside it."""
  spec = importlib.util.spec_from_file_location(path.stem, path)
  if spec is None or spec.loader is None:
    raise Refused(f'{path} is no module of Python')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


class Reader:
  """Raw lines to sessions, as the model's target was read in training."""

  def __init__(self, model: Model, max_bad_lines: str | None):
    self._form = model.settings['format_of_lines']
    line = self._form['line']
    self._names = list(re.compile(line).groupindex)
    if self._form['columns']:
      line = line.removesuffix('(?P<content>.*)$')
    self._line, self._head = re.compile(line), re.compile(self._form['head'])
    self._keys = [(key, re.compile(key['pattern'])) for key in self._form['keys']]
    self._templates, self._settings = model.templates, model.settings
    self._limit = max_bad_lines or model.settings['max_bad_lines']
    self.sessions: dict[tuple[str, int], Session] = {}
    self._entities: dict[str, list] = {}  # events, windows, window, clock, its start
    self.lines = self.bad = self.skipped = 0
    self._at = self._seen = ('', 0)  # the line that is read, and at the last look
    self._first_bad = ''

  def read(self, paths: Sequence[str]) -> None:
    """Reads files in order."""
    for path in paths:
      if path.removesuffix(pathlib.Path(path).suffix).endswith('_structured.csv'):
        raise Refused(f'{path} is a structured table: give the raw log')
      begun = False
      for number, line in enumerate(_lines(path), 1):
        self.lines += 1
        self._at = path, number
        begun = self._add(line, path, number, begun) or begun
    rest = self.lines - self.skipped
    if self.bad > _amount(self._limit, rest):
      raise Refused(
        f'{self.bad:,} of {rest:,} lines are bad, more than --max_bad_lines='
        f'{self._limit}; the first: {self._first_bad}'
      )
    if not self.sessions:
      raise Refused('no line names what it belongs to: is this a log of the system?')

  def look(self, *_: Any) -> None:
    """Ends the program where a line takes long: backtracking knows no bound."""
    if self._at == self._seen and self._at[1]:
      place = '{}:{}'.format(*self._at)
      raise Refused(f"{place} takes over {LIMIT:g} s: the model's --format explodes")
    self._seen = self._at

  def _add(self, line: str, path: str, number: int, begun: bool) -> bool:
    """Counts a line; whether it fits."""
    if not line.strip():
      self.skipped += 1
      return False
    columns = None
    if len(line.encode('utf-8', 'replace')) <= MAX_LINE and '\0' not in line:
      columns = self._columns(line)
    if columns is None and self._form['continues'] and begun:
      self.skipped += 1
      return False
    words = self._form['labels']  # a line with another label is bad
    label = ((columns or {}).get(self._form['label']) or '').strip().lower()
    if columns is None or words and label and label not in words:
      self.bad += 1
      self._first_bad = self._first_bad or f'{path}:{number}: {line[:200]!r}'
      return False
    if names := self._owners(columns, path):
      event = self._templates.event(columns['content'] or '')
      seconds = self._time(columns) if self._settings['window_seconds'] else None
      for name in names:
        self._append(name, event, seconds, (path, number, self.lines))
    return True

  def _columns(self, line: str) -> dict[str, Any] | None:
    match = self._line.search(line)
    if not match:
      return None
    if self._form['columns']:
      parts = line.split(' ', len(self._names) - 1)
      columns: dict[str, Any] = dict(zip(self._names, [*parts, '']))
      columns.setdefault('content', '')
    else:
      columns = match.groupdict()
    if columns['content'] is not None and self._form['head']:
      columns['content'] = self._head.sub('', columns['content'], count=1)
    return columns if columns['content'] is not None else None

  def _owners(self, columns: Mapping[str, Any], path: str) -> list[str]:
    if not self._keys:
      return ['all']
    for key, pattern in self._keys:
      value = path if key['column'] == 'path' else columns.get(key['column'])
      if key['many']:
        return list(dict.fromkeys(m[0] for m in pattern.finditer(value or '')))
      if value is not None and key['pattern']:
        match = pattern.search(value)
        value = match[pattern.groups] if match else None
      if value is not None:
        return [key['prefix'] + value] if key['prefix'] + value else []
    return []

  def _append(self, name: str, event: int, seconds: float | None, place: Any) -> None:
    """Puts an event into the entity's open window."""
    entity = self._entities.setdefault(name, [0, -1, None, None, None])
    count, index, window, clock, start = entity
    lines, length = self._settings['window_lines'], self._settings['window_seconds']
    if seconds is not None:
      clock = seconds if clock is None else max(clock, seconds)
      start = clock if start is None else start
    now = 0
    if lines:
      now = count // lines
    elif length and clock is not None:
      now = math.floor((clock - start) / length)
    index += now != window
    entity[:] = count + 1, index, now, clock, start
    key = name, index
    if key not in self.sessions:
      shown = f'{name}#{index}' if lines or length else name
      self.sessions[key] = Session(shown, place)
    session = self.sessions[key]
    session.last = place
    if len(session.events) < (self._settings['max_events'] or 1 << 62):
      session.events.append(event)

  def _time(self, columns: Mapping[str, Any]) -> float | None:
    """Seconds since the epoch; None where they cannot be read."""
    parts = [columns.get(name) for name in self._form['time']]
    if not parts or None in parts:
      return None
    text = ' '.join(map(str, parts))
    form = self._form['time_format']
    with contextlib.suppress(ValueError, OverflowError):
      if form:
        time = datetime.datetime.strptime(text, form)
      elif re.fullmatch(r'[-+.\deE]+', text):
        value = float(text)  # 10 digits are seconds, 13 milliseconds, ...
        size = math.log10(abs(value)) if value else 0
        return value / 1000.0 ** min(max(math.floor((size - 8) / 3), 0), 3)
      else:
        time = datetime.datetime.fromisoformat(text.replace(',', '.'))
      return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()
    return None


def _amount(limit: str, total: int) -> fractions.Fraction:
  """A count ('24'), or a share ('5%') of `total`."""
  try:
    number = fractions.Fraction(limit.removesuffix('%'))
    return number / 100 * total if limit.endswith('%') else number
  except (ValueError, ZeroDivisionError):
    raise Refused(f'--max_bad_lines={limit}: give 24 or 5%') from None


def _open(path: str) -> BinaryIO:
  suffix = pathlib.Path(path).suffix
  if path == '-':
    return sys.stdin.buffer
  if suffix == '.zst':
    raise Refused(f'{path}: unpack it first: zstdcat {path} | python run.py -')
  openers: dict[str, Any] = {'.gz': gzip.open, '.bz2': bz2.open, '.xz': lzma.open}
  return openers.get(suffix, open)(path, 'rb')


def _lines(path: str) -> Iterator[str]:
  """Lines without their ends; of a line over MAX_LINE bytes, a part that is too long.

  Bytes that are not UTF-8 become backslash escapes.
  """
  try:
    with _open(path) as file:
      start = True
      while line := file.readline(MAX_LINE + 2):
        rest = line
        while rest and not rest.endswith(b'\n'):
          rest = file.readline(MAX_LINE)
        if start and line[:2] in (b'\xff\xfe', b'\xfe\xff'):
          raise Refused(f'{path} is UTF-16: convert it first')
        line = line.removeprefix(b'\xef\xbb\xbf') if start else line
        start = False
        yield line.decode('utf-8', 'backslashreplace').rstrip('\r\n')
  except DAMAGE as error:
    raise Refused(f'{path}: {error}') from None


def is_above(score: float, threshold: float) -> bool:
  """Whether a session is anomalous: by more than the last bits of a score.

  Many thresholds are the score of a session, which is computed another way here.
  """
  same = math.isclose(score, threshold, rel_tol=1e-9, abs_tol=1e-12)
  return score > threshold and not same


def main(arguments: Sequence[str] | None = None) -> int:
  """Scores the logs that the command line names; returns the exit code."""
  raw = argparse.RawDescriptionHelpFormatter
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
  parser.add_argument('logs', nargs='+', help='raw logs in order; - is standard input')
  parser.add_argument('--threshold', type=float, help='anomalous above it')
  parser.add_argument('--max_bad_lines', help='share or number of unreadable lines')
  flags = parser.parse_args(arguments)
  sys.dont_write_bytecode = True  # the folder stays as it is
  try:
    model = Model(HERE)
    threshold = flags.threshold
    if threshold is None:
      threshold = model.settings['threshold']
    if threshold is None or not math.isfinite(threshold):
      raise Refused('the model has no threshold: give --threshold=NUMBER')
    reader = Reader(model, flags.max_bad_lines)
    signal.signal(signal.SIGPROF, reader.look)
    signal.setitimer(signal.ITIMER_PROF, LIMIT, LIMIT)
    try:
      reader.read(flags.logs)
    finally:
      signal.setitimer(signal.ITIMER_PROF, 0)
    sessions = list(reader.sessions.values())
    scores = model.scores([session.events for session in sessions]).tolist()
  except Refused as error:
    message = str(error).encode('unicode_escape').decode()  # it may hold a log's text
    print(f'run.py: {message}', file=sys.stderr)
    return 1
  unknown = [session.events.count(model.templates.UNKNOWN) for session in sessions]
  for session, score, num in zip(sessions, scores, unknown, strict=True):
    verdict: dict[str, Any] = {'session_id': session.name}
    for side, place in ('first', session.first), ('last', session.last):
      verdict |= {side: {'file': place[0], 'line': place[1]}, f'{side}_line': place[2]}
    verdict |= {'score': score, 'anomalous': is_above(score, threshold)}
    print(json.dumps(verdict | {'unknown_events': num}))
  alarms = sum(is_above(score, threshold) for score in scores)
  print(
    f'{alarms:,} of {len(scores):,} sessions anomalous; {reader.lines:,} lines, '
    f'{reader.bad:,} bad; {sum(unknown):,} events fit no template',
    file=sys.stderr,
  )
  return 0


if __name__ == '__main__':
  with contextlib.suppress(BrokenPipeError):
    sys.exit(main())
