"""`metalog prepare --runner`: the engine that has Beam read and group the lines.

Workers write the sessions of each partition, and what became of the lines, as files;
the program that started them merges these into the System folder, as after its own
engine.
"""

import functools
import json
import pathlib
import re
import shlex
import tempfile
import uuid
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
from apache_beam import pvalue
from apache_beam.io import filesystems
from apache_beam.options import pipeline_options

from metalog_jax import atomic, errors
from metalog_jax.beam import sessions
from metalog_jax.logs import accounts, events, files, systems, templates

REST = 'rest.json'


def engine(
  runner: str, runner_options: str = '', partitions: int = 0, chunk_bytes: int = 0
) -> systems.Engine:
  """An engine for `systems.prepare`.

  Args:
    runner: a name that Beam knows: DirectRunner, FlinkRunner, DataflowRunner, ...
    runner_options: its flags, as on a command line. Where workers do not share the
      disk of this machine, --temp_location has to be where both can write.
    partitions: groups of entities; 0: by the size of the logs. Any gives the same.
    chunk_bytes: about the size of a chunk; 0: as on one machine. Likewise.
  """
  return functools.partial(
    _run,
    runner=runner,
    flags=runner_options,
    partitions=partitions,
    chunk_bytes=chunk_bytes,
  )


def _run(
  task: systems.Task, runner: str, flags: str, partitions: int, chunk_bytes: int
) -> systems.Grouped:
  check(task)
  paths = sessions.expand(task)
  try:
    options = pipeline_options.PipelineOptions(shlex.split(flags), runner=runner)
    pipeline = beam.Pipeline(options=options)
  except ValueError as error:
    raise errors.UserError(f'--runner={runner}: {error}') from None
  temp = options.view_as(pipeline_options.GoogleCloudOptions).temp_location
  shared = f'{temp}/metalog_{uuid.uuid4().hex}' if temp else str(task.folder)
  partitions = partitions or sessions.partitions_for(paths)
  found = pipeline | sessions.Sessions(task, paths, partitions, chunk_bytes)
  found.sessions | 'write sessions' >> beam.Map(_write_sessions, shared)
  (
    pipeline
    | 'once' >> beam.Create([shared])
    | 'write the rest'
    >> beam.Map(
      _write_rest,
      pvalue.AsSingleton(found.mined),
      pvalue.AsList(found.tallies),
      pvalue.AsList(found.inputs),
      pvalue.AsSingleton(found.lines),
    )
  )
  finish(pipeline)
  if temp:
    _fetch(shared, task.folder)
  return _read(task, paths)


def check(task: systems.Task) -> None:
  """Raises UserError for what depends on the order of the lines."""
  options = task.options
  if options.system == 'auto':
    raise errors.UserError(
      '--system=auto learns the format from the first lines: name it, or give '
      '--runner=local'
    )
  for name, value, default in (
    ('mining', options.mining, 'canonical'),
    ('fit', options.fit, 'all'),
  ):
    if value != default and not task.frozen:
      raise errors.UserError(
        f'--{name}={value} goes by the order of the lines, which workers read side by '
        f'side: give --{name}={default}, or --runner=local'
      )


def finish(pipeline: Any) -> None:
  """Runs a pipeline to its end; a UserError of a worker is one here."""
  try:
    pipeline.run().wait_until_finish()
  except Exception as error:  # runners wrap what workers raise in errors of any kind
    said = re.search(r'\bUserError: (.+?)(?: \[while running|\n|$)', str(error))
    text = said[1] if said else str(error).split(' [while running')[0]
    if said or isinstance(error, errors.UserError):
      raise errors.UserError(text) from error
    raise


def _write_sessions(element: tuple[int, pl.DataFrame], folder: str) -> None:
  key, frame = element
  _write(f'{folder}/{key:05}.sessions', sessions.to_bytes(frame))


def _write_rest(
  folder: str,
  mined: sessions.Mined,
  tallies: list[tuple[int, accounts.Tally]],
  inputs: list[tuple[int, files.Input]],
  lines: tuple[int, int, int],
) -> None:
  with tempfile.TemporaryDirectory() as here:
    path = pathlib.Path(here) / templates.FILE
    mined.result.templates.save(path)
    _write(f'{folder}/{templates.FILE}', path.read_bytes())
  rest = {
    'tallies': [tally for _, tally in sorted(tallies, key=lambda item: item[0])],
    'inputs': [item for _, item in sorted(inputs)],
    'lines': lines,
    'counts': mined.result.counts,
    'how': mined.result.how,
  }
  _write(f'{folder}/{REST}', atomic.to_json(rest).encode('utf-8', 'surrogatepass'))


def _write(path: str, data: bytes) -> None:
  with filesystems.FileSystems.create(path) as file:
    file.write(data)


def _fetch(shared: str, folder: pathlib.Path) -> None:
  """Brings the workers' files here."""
  (match,) = filesystems.FileSystems.match([f'{shared}/*'])
  for item in match.metadata_list:
    with filesystems.FileSystems.open(item.path) as file:
      (folder / item.path.rsplit('/', 1)[-1]).write_bytes(file.read())
  filesystems.FileSystems.delete([shared])


def _read(task: systems.Task, paths: list[str]) -> systems.Grouped:
  """What the workers wrote; UserError where lines are as no engine takes them."""
  rest = json.loads((task.folder / REST).read_text('utf-8'))
  options = task.options
  account = accounts.Account(options.max_bad_lines, options.line_format())
  for tally in rest['tallies']:
    account.add(_tally(*tally))
  if not account.num_lines:
    raise files.empty(paths)
  num_events, orphans, shared = rest['lines']
  systems.check_lines(task, account, num_events)
  frozen = templates.Templates.load(task.folder / templates.FILE)
  counts, how = (np.array(rest[name], np.int64) for name in ('counts', 'how'))
  last_line = 0 if task.frozen else account.num_lines
  return systems.Grouped(
    account,
    dict(lines_without_session=orphans, shared_lines=shared),
    events.Result(frozen, np.zeros(0, np.int32), counts, how, last_line),
    sorted(task.folder.glob('*.sessions')),
    [files.Input(*item) for item in rest['inputs']],
  )


def _tally(path, lines, good, skipped, bad, *others) -> accounts.Tally:
  reasons = {
    reason: accounts.Bad(count, [(line, text) for line, text in first])
    for reason, (count, first) in bad.items()
  }
  return accounts.Tally(path, lines, good, skipped, reasons, *others)
