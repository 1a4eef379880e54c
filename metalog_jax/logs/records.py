"""Any log as records: what was said, when, how loud, and at which lines of which file.

`read` finds out encoding, layout and times of every file, joins the lines of a record,
and gives the records of all files in time order, as blocks of columns.
"""

import dataclasses
import glob
import os
import pathlib
import re
import time as clock
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import (
  encodings,
  files,
  keyed,
  layouts,
  levels,
  merge,
  multiline,
  readers,
  times,
)

SAMPLE = 1 << 16  # bytes from which encoding and layout are chosen
SAMPLE_LINES = 1000
CHUNK = 4 << 20  # bytes parsed at once
LONGEST_LINE = 1 << 16  # characters of a line that are kept
LONGEST_RECORD = 1000  # lines; the next begins another record
_ANSI = r'\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])'
_OURS = ('.file', '.line', '.lines', '.text', merge.KEY, merge.RANK)
_COLUMNS = (*_OURS, 'time', 'level', 'message')
_OTHER = times.ascii_only(  # a line of another format, with a time near its beginning
  r'(?s)^[\[(<|"]?(?:\S{1,40} ){0,2}[\[(<]?(?P<time>'
  + times.pattern(*(name for name in times.SHAPES if name not in ('clock', 'epoch')))
  + r')[\])>]?[\s|,:;-]{0,20}'
  rf'(?:[\[(<|]?(?P<level>{levels.ANY})[\])>|]?(?:[\s:|,-]+|$))?(?P<message>.*)$'
)
_LOUD = (  # a line without a time that says how loud it is
  r'(?s)^\[?(?P<level>ERROR|FATAL|CRITICAL|PANIC|WARN|WARNING|INFO|DEBUG|SEVERE'
  r'|ALERT|EMERG)(?:\]|:)[\s:]*(?P<message>.*)$'
)


@dataclasses.dataclass
class Records:
  """n records in time order; see `merge` for those whose clocks run back."""

  file: np.ndarray  # [n] int32, index into the reader's inputs
  line: np.ndarray  # [n] int64, the first physical line, from 1
  lines: np.ndarray  # [n] int32, physical lines
  time: np.ndarray  # [n] datetime64[us] in UTC; NaT where unread
  level: list[str]  # in capitals; '' where there is none
  message: list[str]  # without time, level and thread; with the type of a trace
  text: list[str]  # as written, decoded, colours off, lines joined by a line end
  fields: dict[str, list[str | None]]  # other columns by name, as text

  def __len__(self) -> int:
    return len(self.line)


@dataclasses.dataclass
class Input:
  """What a file turned out to be."""

  path: str
  format: str = ''
  encoding: str = ''
  bytes: int = 0  # as stored
  lines: int = 0
  records: int = 0
  num_fitted: int = 0  # records that fit the format
  num_times: int = 0  # records whose time was read
  num_late: int = 0  # records with a time before that of one above
  num_damaged: int = 0  # lines with bytes that are no text, or zeros, or that were cut
  skipped: str = ''  # why it was not read, or not to its end

  @property
  def fitted(self) -> float:
    return self.num_fitted / max(self.records, 1)

  @property
  def times(self) -> float:
    return self.num_times / max(self.records, 1)

  def as_json(self) -> dict:
    shares = dict(fitted=round(self.fitted, 4), times=round(self.times, 4))
    return {**dataclasses.asdict(self), **shares}


@dataclasses.dataclass(frozen=True)
class Options:
  """How files are read; see `read`."""

  format: str = 'auto'
  encoding: str = 'auto'
  keys: dict[str, str] | None = None


class Stream:
  """One file, in pieces: bytes in, frames of whole records out.

  Args:
    entry: what is counted.
    number: of the file, for the column `file`.
    anchor: microseconds since the epoch, when the file was last written.
  """

  def __init__(self, entry: Input, number: int, options: Options, anchor: int):
    self.entry, self._number, self._options = entry, number, options
    self._anchor = anchor
    self._bytes = b''  # not decoded, or without a line end
    self._lone = False
    self._decoder: encodings.Transcoder | None = None
    self._layout: layouts.Layout | None = None
    self._inner: layouts.Layout | None = None  # of what a container said
    self._reader = times.Reader(anchor)
    self._open = pl.Series('line', [], dtype=pl.String)  # lines of the last record
    self._line = 1  # of the first of these
    self._key = times.NAT  # the latest time

  def feed(self, data: bytes, last: bool = False) -> pl.DataFrame | None:
    """Frame of the records that `data` ends; `last` ends them all."""
    if self._decoder is None:
      self._bytes += data
      if len(self._bytes) < SAMPLE and not last:
        return None
      sample = self._bytes[:SAMPLE]
      if self.entry.encoding in ('', 'auto'):
        self.entry.encoding = encodings.detect(sample)
      if self.entry.encoding == 'binary':
        self.entry.skipped = 'binary'
        return None
      self._decoder = encodings.Transcoder(self.entry.encoding)
      data, self._bytes = self._bytes, b''
      self._lone = b'\r' in sample and b'\n' not in sample  # an old Macintosh's ends
    data = self._bytes + self._decoder.feed(data, last)
    if self._lone:
      data = data.replace(b'\r', b'\n')
    if last and data and not data.endswith(b'\n'):
      data += b'\n'
    end = data.rfind(b'\n') + 1
    if not end and len(data) > files.MAX_LINE:
      data = data[: files.MAX_LINE]
    self._bytes = data[end:]
    text = self._lines(data[:end])
    if not len(text) and not (last and len(self._open)):
      return None
    return self._records(pl.concat([self._open, text]), last)

  def _lines(self, data: bytes) -> pl.Series:
    text, escaped = readers.split(data)
    self.entry.lines += len(text)
    damaged = escaped
    if b'\x1b' in data:
      text = text.str.replace_all(_ANSI, '')
    if b'\0' in data:
      damaged += int(text.str.contains('\0', literal=True).sum())
      text = text.str.replace_all('\0', '', literal=True)
    if len(data) > LONGEST_LINE and (text.str.len_bytes() > LONGEST_LINE).any():
      damaged += int((text.str.len_chars() > LONGEST_LINE).sum())
      text = text.str.slice(0, LONGEST_LINE)
    self.entry.num_damaged += damaged
    return text.rename('line')

  def _choose(self, text: pl.Series) -> layouts.Layout:
    sample = text.filter(text.str.strip_chars() != '').head(SAMPLE_LINES).to_list()
    if self._options.format == 'auto':
      return layouts.choose(sample, self._options.keys)
    return layouts.named(self._options.format, self._options.keys, sample)

  def _records(self, text: pl.Series, last: bool) -> pl.DataFrame:
    """The records of these lines; the last one may go on, and is left for later."""
    if self._layout is None:
      self._layout = self._choose(text)
      self.entry.format = self._layout.name
    layout, said = self._layout, text
    table = layout.columns(text)
    fits = table['message'].is_not_null()
    halves = np.zeros(len(text), bool)
    if layout.wraps:
      layout, said, table, halves = self._unwrap(table, text)
    begins, table = _begin(layout, said, table, halves)
    first = np.flatnonzero(begins)
    count = np.diff(first, append=len(text))
    line = self._line + first
    if last:
      self._open = text[:0]
      self._line += len(text)
    else:  # what the last line is may depend on the next
      ended = len(first) - 1 - int(count[-1] == 1 and len(first) > 1)
      self._open = text[int(first[ended]) :]
      self._line = int(line[ended])
      first, count, line = first[:ended], count[:ended], line[:ended]
    if len(first) < len(text):
      table, fits, whole = table[first], fits.gather(first), text.gather(first)
    else:
      whole = text
    self.entry.num_fitted += int(fits.sum())
    message = table['message'].fill_null(whole)
    if len(multi := np.flatnonzero(count > 1)):
      table, whole, message = _join(
        layout, text, said, first, count, multi, table, whole, message
      )
    return self._frame(table, message, whole, line, count)

  def _unwrap(self, table: pl.DataFrame, text: pl.Series):
    """Layout and columns of what a container said, and which lines are later halves."""
    said = table['message'].fill_null(text)
    part = table['part'] == 'P'
    halves = np.zeros(len(text), bool)
    if part.any():
      goes_on = part.fill_null(False) & table['stream'].eq_missing(
        table['stream'].shift(-1)
      )
      halves = goes_on.shift(1, fill_value=False).fill_null(False).to_numpy()
      whole = said.to_list()
      for row in np.flatnonzero(halves)[::-1]:
        whole[row - 1] += whole[row]
        whole[row] = ''
      said = pl.Series('line', whole, dtype=pl.String)
    if self._inner is None:
      self._inner = self._choose(said.filter(~pl.Series(halves)))
      self.entry.format = f'{self._layout.name}: {self._inner.name}'
    inner = self._inner.columns(said)
    outer = table.select('stream', 'time')
    kept = [name for name in inner.columns if name not in outer.columns]
    return self._inner, said, inner.select(kept).hstack(outer), halves

  def _frame(self, table, message, whole, line, count) -> pl.DataFrame:
    entry, size = self.entry, len(line)
    if 'time' in table.columns:
      time = self._reader.read(table['time'])
    else:
      time = np.full(size, times.NAT)
    key = np.maximum.accumulate(np.concatenate([[self._key], time]))
    self._key = int(key[-1])
    known = time != times.NAT
    entry.records += size
    entry.num_times += int(known.sum())
    entry.num_late += int(((time < key[1:]) & known).sum())
    others = [name for name in table.columns if name not in _COLUMNS]
    return pl.DataFrame(
      [
        *table.select(others),
        pl.Series('time', time.view('datetime64[us]')),
        levels.read(table).alias('level'),
        message.alias('message'),
        whole.alias('.text'),
        pl.Series('.file', np.full(size, self._number, np.int32)),
        pl.Series('.line', line),
        pl.Series('.lines', count.astype(np.int32)),
        pl.Series(merge.KEY, key[1:]),
      ]
    )


def _begin(
  layout: layouts.Layout, text: pl.Series, table: pl.DataFrame, halves: np.ndarray
) -> tuple[np.ndarray, pl.DataFrame]:
  """Which lines [n] begin a record, and the columns with those of other formats."""
  fits = table['message'].is_not_null()
  if layout is layouts.PLAIN:
    begins = ~multiline.continues(text)
  elif keyed.INSIDE in table.columns:
    begins = table[keyed.INSIDE].is_null()
    table = table.drop(keyed.INSIDE)
  elif fits.all():
    begins = fits
  else:
    begins = fits.clone()
    other = (~fits & ~multiline.continues(text)).arg_true()
    read = _read_others(text.gather(other), layout)
    seen = read['message'].is_not_null()
    at = other.filter(seen)
    if len(at):
      begins = begins.scatter(at, True)
      empty = pl.Series([None], dtype=pl.String).new_from_index(0, len(text))
      for name in read.columns:
        column = table[name] if name in table.columns else empty
        column = column.scatter(at, read[name].filter(seen))
        table = table.with_columns(column.alias(name))
  begins = begins.to_numpy() & ~halves
  begins[0] = True
  if not begins.all():
    first = np.flatnonzero(begins)
    place = np.arange(len(begins)) - np.repeat(
      first, np.diff(first, append=len(begins))
    )
    begins |= place % LONGEST_RECORD == 0
  return begins, table


def _read_others(text: pl.Series, layout: layouts.Layout) -> pl.DataFrame:
  """Time, level and message of lines of other formats; null where they are none."""
  read = text.str.extract_groups(_OTHER).struct.unnest()
  found = [keyed.Keyed(keyed.load_json)(text.to_list()), read]
  if not layout.second:
    found.append(text.str.extract_groups(_LOUD).struct.unnest())
  if layout.alone:
    found.append({'message': text})
  result = read.clear(len(text))
  for columns in found:
    message = pl.Series(columns['message'], dtype=pl.String)
    new = result['message'].is_null() & message.is_not_null()
    for name in result.columns:
      if name in columns:
        value = pl.Series(name, columns[name], dtype=pl.String)
        result = result.with_columns(value.zip_with(new, result[name]).alias(name))
  return result


def _join(layout, text, said, first, count, multi, table, whole, message):
  """Columns, texts and messages, with those of the records of several lines."""
  lines, spoken = text.to_list(), said.to_list()
  texts, messages, louder = [], [], []
  second = re.compile(layout.second or '(?!)')
  for row in multi.tolist():
    start, end = int(first[row]), int(first[row] + count[row])
    texts.append('\n'.join(lines[start:end]))
    record = '\n'.join(spoken[start:end])
    what, level = message[row], None
    below = next((line.strip() for line in spoken[start + 1 : end] if line.strip()), '')
    if not what.strip():
      what = below
    if match := second.match(below):
      level, what = match['level'], match['message']
    louder.append(level)
    thrown = multiline.exception(record)
    messages.append(f'{what} {thrown}' if thrown and thrown not in what else what)
  if layout.second:
    level = pl.Series([None], dtype=pl.String).new_from_index(0, len(first))
    table = table.with_columns(level.scatter(multi, louder).alias('level'))
  return table, whole.scatter(multi, texts), message.scatter(multi, messages)


class Reader:
  """Blocks of records of some files; `inputs` is whole when all was read."""

  def __init__(self, paths: list[tuple[str, str]], options: Options, block: int):
    self.inputs = [Input(path, skipped=skipped) for path, skipped in paths]
    self._options, self._block = options, block

  def __iter__(self) -> Iterator[Records]:
    """Yields blocks; UserError where no file has a record."""
    sources = []
    for number, entry in enumerate(self.inputs):
      if entry.skipped:
        continue
      first, frames = self._first(number, entry)
      if first is not None:
        sources.append((first, _rank(entry.path), number, frames))
    sources.sort(key=lambda source: source[:3])
    total = 0
    opened = [(first, frames) for first, _, _, frames in sources]
    for frame in merge.merge(opened):
      total += len(frame)
      for start in range(0, len(frame), self._block):
        yield _as_records(frame[start : start + self._block])
    if not total:
      whys = '; '.join(f'{i.path} is {i.skipped or "empty"}' for i in self.inputs[:5])
      raise errors.UserError(f'no log to read: {whys}')

  def _first(self, number: int, entry: Input):
    """The key of a file's first record, and what opens it; None without a record."""
    if len(self.inputs) == 1 or entry.path == '-':
      return times.NAT, lambda: self._frames(number, entry)
    trial = dataclasses.replace(entry)
    stream = Stream(trial, number, self._options, _anchor(entry.path))
    frame = None
    try:
      blocks = files.read_blocks(entry.path)
      data = next(blocks, b'')
      blocks.close()
      frame = stream.feed(data[:SAMPLE], last=True)
    except (OSError, errors.UserError) as error:
      entry.skipped = f'unreadable: {error}'
    if frame is None or not len(frame):
      entry.skipped = entry.skipped or trial.skipped or 'empty'
      return None, None
    known = frame[merge.KEY].filter(frame[merge.KEY] != times.NAT)
    first = int(known[0]) if len(known) else times.NAT
    return first, lambda: self._frames(number, entry, first)

  def _frames(self, number: int, entry: Input, first: int = times.NAT):
    def seen(block: bytes) -> None:
      entry.bytes += len(block)

    entry.encoding = self._options.encoding
    stream = Stream(entry, number, self._options, _anchor(entry.path))
    stream._key = first
    try:
      parts, size = [], 0
      for block in files.read_blocks(entry.path, seen):
        parts.append(block)
        size += len(block)
        if size >= CHUNK or entry.path == '-':
          frame = stream.feed(b''.join(parts))
          parts, size = [], 0
          if frame is not None:
            yield frame
          if entry.skipped:
            return
      frame = stream.feed(b''.join(parts), last=True)
    except (OSError, errors.UserError) as error:
      entry.skipped = f'not read to its end: {error}'
      frame = stream.feed(b'', last=True)
    if frame is not None:
      yield frame
    if not entry.lines and not entry.skipped:
      entry.skipped = 'empty'


def _as_records(frame: pl.DataFrame) -> Records:
  others = [name for name in frame.columns if name not in _COLUMNS]
  return Records(
    file=frame['.file'].to_numpy(),
    line=frame['.line'].to_numpy(),
    lines=frame['.lines'].to_numpy(),
    time=frame['time'].to_numpy(),
    level=frame['level'].to_list(),
    message=frame['message'].to_list(),
    text=frame['.text'].to_list(),
    fields={name: frame[name].to_list() for name in others},
  )


def _anchor(path: str) -> int:
  """When a file was last written, in microseconds since the epoch."""
  try:
    return int(os.stat(path).st_mtime * 1e6)
  except OSError:
    return int(clock.time() * 1e6)


def _rank(path: str) -> tuple:
  """Places rotated files without times: app.log.2.gz, app.log.1, app.log."""
  name = re.sub(r'\.(gz|zst|xz|bz2)$', '', path)
  match = re.search(r'\.(\d{1,4})$', name)
  stem = name[: match.start()] if match else name
  return (stem, -int(match[1]) if match else 0)


def expand(paths: Iterable[str | os.PathLike]) -> list[tuple[str, str]]:
  """Files of files, folders and patterns, each once, and why one is not read.

  Raises UserError for a path that does not exist.
  """
  expanded: dict[str, str] = {}
  for path in map(os.fspath, paths):
    here = pathlib.Path(path)
    if path == '-' or here.exists() and not here.is_dir():
      expanded[path] = ''
      continue
    inside = (
      sorted(p for p in here.rglob('*') if not p.is_dir())
      if here.is_dir()
      else [pathlib.Path(p) for p in sorted(glob.glob(path, recursive=True))]
    )
    if not inside:
      what = 'is an empty folder' if here.is_dir() else 'does not exist'
      raise errors.UserError(f'{path} {what}: give a log, a folder or a pattern')
    for file in inside:
      if file.is_dir() or any(
        p.startswith('.') for p in file.relative_to(here).parts if here.is_dir()
      ):
        continue
      expanded.setdefault(str(file), '' if file.is_file() else 'no regular file')
  return list(expanded.items())


def read(
  paths: str | os.PathLike | Iterable[str | os.PathLike],
  format: str = 'auto',
  encoding: str = 'auto',
  block: int = 20_000,
  keys: dict[str, str] | None = None,
) -> Reader:
  """A reader of logs; iterate over it for blocks of `Records`.

  Args:
    paths: files, folders (all files in them), patterns, '-' for standard input.
    format: 'auto' for each file's own, a name of `layouts.LAYOUTS`, or a regex with a
      group `message` and, where they are there, `time` and `level`.
    encoding: 'auto' for each file's own, or one of Python's names.
    block: records of a block.
    keys: names of keys of structured logs, by `time`, `level` and `message`.

  Raises:
    UserError: a path that does not exist, no such format or encoding.
  """
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  if encoding != 'auto':
    encodings.check(encoding)
  if format != 'auto':
    layouts.named(format, keys, [])
  return Reader(expand(paths), Options(format, encoding, keys), block)
