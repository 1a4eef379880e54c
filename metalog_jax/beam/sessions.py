"""From files to sessions on Beam: the functions of `logs/`, as they are.

    files ── chunks ── parts ──┬── counts of distinct masked lines ── templates
                               │                                          │
                               └── events by what they belong to  ◀───────┘
                                          │  by a hash of the entity
                                          ▼
                                       sessions

A line has the number file * 2^40 + line until all files are counted, so that files can
be read in any order; then it has that of the local engine. What comes out depends
neither on how chunks are dealt to workers nor on the number of partitions.
"""

import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow as pa
from apache_beam import pvalue
from apache_beam.io import filesystem, filesystems

from metalog_jax import errors
from metalog_jax.logs import events, files, systems
from metalog_jax.logs import sessions as sessions_lib

NOWHERE = pathlib.Path('/nowhere')  # workers write where they are told
SHIFT = 40  # bits of a line's number in its file
FEW = 64  # files up to which chunks are dealt out anew, and not the files alone
PARTITION = 1 << 25  # bytes of logs whose events are grouped at once, about


class Mined(NamedTuple):
  """Templates, and the event of every distinct masked line."""

  result: events.Result
  event_of: dict[str, int]


class Found(NamedTuple):
  """PCollections of what became of the lines."""

  sessions: Any  # (partition, frame of `logs.sessions.group`)
  mined: Any  # one Mined
  tallies: Any  # ((file, line), accounts.Tally)
  inputs: Any  # (file, files.Input)
  lines: Any  # one (events, orphans, shared)


def expand(task: systems.Task) -> list[str]:
  """The files of a task, in order; those with a scheme are Beam's file systems'."""
  paths = []
  for path in task.options.logs:
    if path == '-':
      raise errors.UserError(
        '--runner reads files: standard input needs --runner=local'
      )
    if '://' not in path:
      paths += files.expand([path], [task.options.labels])
      continue
    (match,) = filesystems.FileSystems.match([path])
    paths += sorted(item.path for item in match.metadata_list)
    if not match.metadata_list:
      raise errors.UserError(f'{path} does not exist: check --logs')
  return paths


def partitions_for(paths: Iterable[str]) -> int:
  """As many as keep a partition small enough for one worker's memory."""
  matches = [filesystems.FileSystems.match([path])[0] for path in paths]
  size = sum(item.size_in_bytes for match in matches for item in match.metadata_list)
  return max(1, -(-size // PARTITION))


class Sessions(beam.PTransform):
  """From nothing to `Found`.

  Args:
    task: what is read; its folder is not used.
    paths: of `expand`.
    partitions: how many groups of entities.
    chunk_bytes: about the size of a chunk; 0: as the local engine.
  """

  def __init__(
    self, task: systems.Task, paths: list[str], partitions: int, chunk_bytes: int = 0
  ):
    super().__init__()
    self._task, self._paths = task._replace(folder=NOWHERE), paths
    self._partitions, self._chunk_bytes = partitions, chunk_bytes

  def expand(self, pipeline: Any) -> Any:
    """Builds the pipeline: `Found`."""
    task = self._task
    options = task.options
    read = (
      pipeline
      | 'paths' >> beam.Create(list(enumerate(self._paths)))
      | 'deal files' >> beam.Reshuffle()
      | 'read'
      >> beam.ParDo(Read(self._chunk_bytes)).with_outputs('inputs', main='chunks')
    )
    chunks = read.chunks
    if len(self._paths) <= FEW:
      chunks |= 'deal chunks' >> beam.Reshuffle()
    parts = chunks | 'parse and mask' >> beam.Map(
      events.read, options.line_format(), options.group, task.maskset
    )
    mined = (
      parts
      | 'count distinct lines' >> beam.CombineGlobally(Count())
      | 'mine' >> beam.Map(mine, task)
    )
    numbers = pvalue.AsDict(read.inputs)
    rows = parts | 'events' >> beam.ParDo(
      Rows(task.whole, self._partitions), pvalue.AsSingleton(mined)
    ).with_outputs('lines', main='rows')
    grouped = (
      rows.rows
      | 'by entity' >> beam.GroupByKey()
      | 'group' >> beam.Map(group, options.cut(), numbers)
    )
    tallies = parts | 'tallies' >> beam.Map(lambda p: (p.first, p.lines.tally))
    lines = rows.lines | 'count lines' >> beam.CombineGlobally(
      lambda each: tuple(map(sum, zip((0, 0, 0), *each)))
    )
    return Found(grouped, mined, tallies, read.inputs, lines)


class Read(beam.DoFn):
  """(file number, path) -> its chunks, and, as `inputs`, what the file is."""

  def __init__(self, chunk_bytes: int):
    self._chunk_bytes = chunk_bytes

  def process(self, element: tuple[int, str]) -> Iterator[Any]:
    """Reads a file."""
    file, path = element
    inputs: list[files.Input] = []
    first = (file << SHIFT) + 1
    yield from files.read_file(
      path, inputs.append, first, self._chunk_bytes, opener=open_stored
    )
    yield pvalue.TaggedOutput('inputs', (file, inputs[0]))


def open_stored(path: str) -> Any:
  """The stored bytes of a file wherever it is; `files` decompresses them."""
  if '://' not in path:
    return open(path, 'rb')
  stored = filesystem.CompressionTypes.UNCOMPRESSED
  return filesystems.FileSystems.open(path, compression_type=stored)


class Count(beam.CombineFn):
  """Parts -> how often each distinct masked line occurs."""

  def create_accumulator(self) -> dict[str, int]:
    """Nothing yet."""
    return {}

  def add_input(self, total: dict[str, int], part: events.Part) -> dict[str, int]:
    """Adds the lines of a part."""
    for text, count in zip(part.texts, part.counts.tolist()):
      total[text] = total.get(text, 0) + count
    return total

  def merge_accumulators(self, totals: Iterable[dict[str, int]]) -> dict[str, int]:
    """Adds up counts of workers."""
    first, *others = totals
    for other in others:
      for text, count in other.items():
        first[text] = first.get(text, 0) + count
    return first

  def extract_output(self, total: dict[str, int]) -> dict[str, int]:
    """Gives the counts."""
    return total


def mine(counts: dict[str, int], task: systems.Task) -> Mined:
  """Mines templates in canonical order, or looks lines up in those that there are."""
  texts = sorted(counts)
  collector = events.Collector(task.maskset, 'canonical', 'all', NOWHERE)
  numbers = np.array([counts[text] for text in texts], np.int64)
  no_lines: Any = None
  collector.codes(events.Part(1, no_lines, texts, numbers, np.arange(len(texts))))
  if task.frozen:
    result = collector.look_up(task.frozen, task.grow)
  else:
    result = collector.mine(0)
  return Mined(result, dict(zip(texts, result.table.tolist())))


class Rows(beam.DoFn):
  """A part -> (partition, its events as Arrow bytes), and counts of its `lines`."""

  def __init__(self, whole: bool, partitions: int):
    self._whole, self._partitions = whole, 1 if whole else partitions

  def process(self, part: events.Part, mined: Mined) -> Iterator[Any]:
    """Deals the events of a part out."""
    event_of = np.array([mined.event_of[text] for text in part.texts], np.int32)
    rows, *counts = sessions_lib.rows(part.lines, event_of[part.codes], self._whole)
    yield pvalue.TaggedOutput('lines', (len(rows), *counts))
    key = rows['entity'].hash() % self._partitions
    parted = rows.with_columns(key=key).partition_by(
      'key', as_dict=True, include_key=False
    )
    for (key,), some in parted.items():
      sink = io.BytesIO()
      some.write_ipc_stream(sink, compression='zstd')
      yield key, sink.getvalue()


def group(
  element: tuple[int, Iterable[bytes]],
  cut: sessions_lib.Cut,
  inputs: dict[int, files.Input],
) -> tuple[int, pl.DataFrame]:
  """The sessions of a partition, in order of first appearance."""
  key, tables = element
  rows = pl.concat([pl.read_ipc_stream(io.BytesIO(table)) for table in tables])
  counts = [inputs[file].lines for file in range(len(inputs))]
  before = np.cumsum([0, *counts])
  number = rows['number'].to_numpy()
  number = before[number >> SHIFT] + (number & ((1 << SHIFT) - 1))
  rows = rows.with_columns(number=number).sort('number', 'nth')
  same = np.arange(int(rows['code'].to_numpy().max()) + 1, dtype=np.int32)
  return key, sessions_lib.group(rows, same, cut)


def to_bytes(frame: pl.DataFrame) -> bytes:
  """As `logs.sessions.merge` reads them."""
  table, sink = sessions_lib.to_arrow(frame), pa.BufferOutputStream()
  with pa.ipc.new_file(sink, table.schema) as writer:
    writer.write_table(table)
  return sink.getvalue().to_pybytes()
