"""One file as frames of records: bytes in, whole records out, whatever the pieces.

Every line belongs to exactly one record. A line that fits the file's layout begins one,
and so does one of another format that has a time, is an object of JSON or says how loud
it is. Every other line belongs to the record above it.
"""

import dataclasses
import re
from typing import Any

import numpy as np
import polars as pl

from metalog_jax.logs import (
  choosing,
  encodings,
  files,
  json_arrays,
  key_blocks,
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
BINARY = 'binary'
LONGEST_LINE = 1 << 16  # characters of a line that are kept
LONGEST_RECORD = 1000  # lines; the next begins another record
_ANSI = r'\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])'
_OURS = ('.file', '.line', '.lines', '.text', merge.KEY, merge.RANK)
COLUMNS = (*_OURS, 'time', 'level', 'message')
_OTHER = times.ascii_only(  # a line of another format, with a time near its beginning
  r'(?s)^[\[(<|"]?(?:\S{1,40} ){0,3}[\[(<]?(?P<time>'
  + times.pattern(*(name for name in times.SHAPES if name not in ('clock', 'epoch')))
  + r')[\])>]?[\s|,:;-]{0,20}'
  rf'(?:[\[(<|]?(?P<level>{levels.ANY})[\])>|]?(?:[\s:|,-]+|$))?(?P<message>.*)$'
)
_LOUD = (  # a line without a time that says how loud it is
  r'(?s)^\[?(?P<level>ERROR|FATAL|CRITICAL|PANIC|WARN|WARNING|INFO|DEBUG|SEVERE'
  r'|ALERT|EMERG)(?:\]|:)[\s:]*(?P<message>.*)$'
)
_DATE = (
  r'(?:(?:19|20)\d\d\D{1,12}\d|\d\D{1,12}(?:19|20)\d\d|\d[-/.]\d{1,2}[-/.]\d\d'
  r'|\d[. -]{1,2}\p{L}{3,9}\b|\b\p{L}{3,9}[. -]{1,2}\d)'
)
_DATED = rf'{_DATE}.{{0,30}}?\d:\d\d:\d\d|\d:\d\d:\d\d\S{{0,9}}.{{1,3}}?{_DATE}'
_CROWDED = 'JSON without an object a line: line numbers count its objects'


Splitter = json_arrays.Splitter | key_blocks.Blocks


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
  notes: list[str] = dataclasses.field(default_factory=list)  # what was guessed

  @property
  def fitted(self) -> float:
    return self.num_fitted / max(self.records, 1)

  @property
  def times(self) -> float:
    return self.num_times / max(self.records, 1)

  def as_json(self) -> dict:
    """As scan.json has it."""
    shares = dict(fitted=round(self.fitted, 4), times=round(self.times, 4))
    return {**dataclasses.asdict(self), **shares}


@dataclasses.dataclass(frozen=True)
class Options:
  """How files are read; see `records.read`."""

  format: str = 'auto'
  encoding: str = 'auto'
  keys: dict[str, str] | None = None


class Stream:
  """One file, in pieces: bytes in, frames of whole records out.

  Args:
    entry: what is counted.
    number: of the file, for the column `.file`.
    anchor: microseconds since the epoch, when the file was last written.
    likely: layouts of other files; that of this one is added.
  """

  def __init__(
    self,
    entry: Input,
    number: int,
    options: Options,
    anchor: int,
    likely: list[layouts.Layout] | None = None,
  ):
    self.entry, self._number, self._options = entry, number, options
    self._likely = [] if likely is None else likely
    if options.encoding != 'auto':
      entry.encoding = options.encoding
    self._anchor = anchor
    self._bytes = b''  # not decoded, or without a line end
    self._lone = False
    self._splitter: Splitter | None = None  # of an array of JSON, or of blocks
    self._decoder: encodings.Transcoder | None = None
    self._layout: layouts.Layout | None = None
    self._inner: layouts.Layout | None = None  # of what a container said
    self._reader = times.Reader(anchor)
    self._lacking: list[str] = []  # what to say of keys that were named
    self._open = pl.Series('line', [], dtype=pl.String)  # lines of the last record
    self._line = 1  # of the first of these
    self._key = times.NAT  # the latest time

  def begin_as(self, trial: 'Stream', first: int, line: int = 1) -> None:
    """Takes what a trial found out.

    Args:
      first: the time of the first record.
      line: the number of the first line.
    """
    self._line = line
    self.entry.format, self.entry.encoding = trial.entry.format, trial.entry.encoding
    self._layout, self._inner, self._key = trial._layout, trial._inner, first
    self._lacking = trial._lacking

  def feed(self, data: bytes, last: bool = False) -> pl.DataFrame | None:
    """Frame of the records that `data` ends; `last` ends them all."""
    if self._decoder is None:
      self._bytes += data
      if self._bytes.startswith(bytes(64)):  # the hole that a rotated log leaves
        self._bytes = self._bytes.lstrip(b'\0')
        self.entry.num_damaged = 1
      if len(self._bytes) < SAMPLE and not last and self._layout is None:
        return None
      sample = self._bytes[:SAMPLE]
      if not self.entry.encoding:
        self.entry.encoding = encodings.detect(sample)
      if self.entry.encoding == BINARY:
        self.entry.skipped = BINARY
        return None
      self._decoder = encodings.Transcoder(self.entry.encoding)
      data, self._bytes = self._decoder.feed(self._bytes, last), b''
      self._lone = b'\r' in sample and b'\n' not in sample  # an old Macintosh's ends
      begin = data[:SAMPLE].decode('utf-8', 'replace')
      self._splitter = json_arrays.splitter(begin) or key_blocks.splitter(begin)
    else:
      data = self._decoder.feed(data, last)
    if self._splitter:
      data = self._split(self._splitter, data, last)
    data = self._bytes + data
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

  def _split(self, splitter: Splitter, data: bytes, last: bool) -> bytes:
    """An array of JSON as an object a line."""
    before, after = splitter.before, splitter.after
    data = splitter.feed(data, last)
    self._line += splitter.before - before
    self.entry.lines += splitter.before - before + splitter.after - after
    return data

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
    keys = self._options.keys
    layout = choosing.choose(sample, keys, self._likely, self._options.format)
    if keys and not layout.wraps:
      self._lacking = choosing.without_keys(layout, keys, sample)
    return layout

  def _records(self, text: pl.Series, last: bool) -> pl.DataFrame:
    """The records of these lines; the last one may go on, and is left for later."""
    if self._layout is None:
      self._layout = self._choose(text)
      self.entry.format = (self._splitter and self._splitter.name) or self._layout.name
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
    if self._splitter:
      whole = whole.str.strip_chars_end('\n')
    return self._frame(table, message, whole, line, count)

  def _unwrap(self, table: pl.DataFrame, text: pl.Series):
    """Layout and columns of what a container said, and which lines are later halves."""
    said = table['message'].fill_null(text)
    halves = np.zeros(len(text), bool)
    if 'part' in table.columns and (part := table['part'] == 'P').any():
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
      self.entry.format = f'{self.entry.format}: {self._inner.name}'
    inner = self._inner.columns(said)
    ours = {'time', *table.columns} - {'message', 'part'}
    outer = table.select(name for name in table.columns if name in ours)
    if 'time' not in outer.columns and 'time' in inner.columns:
      outer = outer.with_columns(inner['time'])
    kept = [name for name in inner.columns if name not in outer.columns]
    return self._inner, said, inner.select(kept).hstack(outer), halves

  def _frame(self, table, message, whole, line, count) -> pl.DataFrame:
    entry, size = self.entry, len(line)
    if 'time' in table.columns:
      is_first = not self._reader.num_undated
      time = self._reader.read(table['time'])
      if is_first and self._reader.num_undated:
        self._reader.notes.append(_undated(whole, self._anchor))
    else:
      time = np.full(size, times.NAT)
    crowded = self._splitter is not None and self._splitter.is_crowded
    entry.notes = [_CROWDED] * crowded + self._lacking + self._reader.notes
    key = np.maximum.accumulate(np.concatenate([[self._key], time]))
    self._key = int(key[-1])
    known = time != times.NAT
    entry.records += size
    entry.num_times += int(known.sum())
    entry.num_late += int(((time < key[1:]) & known).sum())
    others = [name for name in table.columns if name not in COLUMNS]
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


def _undated(text: pl.Series, anchor: int) -> str:
  """What to say of times of day, of which some may have a date beside them."""
  day = np.datetime64(anchor, 'us').astype('datetime64[D]')
  guess = f'the last is taken for {day}, when the file was written'
  sample = text.head(200)
  if 2 * int(sample.str.contains(_DATED).sum()) > len(sample):
    guess = f'what stands beside them like a date was not read, and {guess}'
  return f'times of day without a date: {guess}; see --format with a group named time'


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
  found: list[Any] = [keyed.Keyed(keyed.load_json)(text.to_list()), read]
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
    if layout.name == 'dotnet':
      record = record.replace('\n      ', '\n')  # all of it is indented
    what, level = message[row], None
    rest = (line.strip() for line in spoken[start + 1 : end])
    below = next((line for line in rest if line and line[:3] != '=> '), '')  # no scope
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
