"""Raw logs, or session files, to a System folder: what `metalog prepare` does."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import polars as pl

import metalog_jax
from metalog_jax import atomic, errors
from metalog_jax.logs import (
  accounts,
  budgets,
  events,
  files,
  formats,
  jsonl,
  labels,
  manifests,
  masksets,
  parallel,
  records,
  simulated,
  store,
  templates,
)
from metalog_jax.logs import sessions as sessions_lib


@dataclasses.dataclass(frozen=True)
class Options:
  """What determines the content of a System folder; kept in its manifest."""

  system: str
  logs: tuple[str, ...] = ()  # files, folders, patterns; '-' is standard input
  labels: str = ''
  sessions: tuple[str, ...] = ()  # of --system=jsonl
  templates: str = ''  # of --system=jsonl: event_id,template
  format: str = ''  # of --system=custom and auto
  time_format: str = ''  # likewise
  group: str = ''  # what lines are grouped by; '': the format's own choice
  window: str = ''  # '': the format's own choice
  max_events: int = 0
  mining: Literal['canonical', 'arrival'] = 'canonical'
  parser: Literal['default', 'paper'] = 'default'
  fit: str = 'all'
  max_bad_lines: str = '5%'
  keep_lines: bool = False

  def __post_init__(self):
    """Raises UserError for what can be seen to be wrong without reading a log."""
    errors.check_choices(self, '--')
    if self.system not in formats.SYSTEMS:
      raise errors.unknown_choice('--system', self.system, formats.SYSTEMS)
    files, custom = self.system == 'jsonl', self.system == 'custom'
    for needed, name, what in (
      (files, 'sessions', 'PATH'),
      (not files, 'logs', 'PATH'),
      (custom, 'format', 'REGEX'),
    ):
      if needed and not getattr(self, name):
        raise errors.UserError(f'--system={self.system} needs --{name}={what}')
    for name, fits in (
      *((name, files) for name in ('sessions', 'templates')),
      *((name, not files) for name in ('logs', 'labels', 'group', 'window')),
      ('format', custom or self.system == 'auto'),
      ('time_format', custom),
    ):
      if getattr(self, name) and not fits:
        raise errors.UserError(f'--{name} means nothing to --system={self.system}')
    if self.max_events < 0:
      raise errors.UserError(f'--max_events={self.max_events}: give 0 (all) or more')
    budgets.parse(self.max_bad_lines, 'max_bad_lines')
    if self.fit != 'all' and not budgets.parse(self.fit, 'fit'):
      raise errors.UserError(f'--fit={self.fit} leaves no line to fit templates on')

  def line_format(self) -> formats.Format:
    """How a raw line is read."""
    if self.system == 'custom':
      return formats.custom(self.format, self.time_format)
    if self.system == 'auto':
      return formats.AUTO
    return formats.FORMATS[self.system]

  def cut(self) -> sessions_lib.Cut:
    """How lines are cut into sessions; UserError for neither names nor windows."""
    form = self.line_format()
    window = self.window or form.window
    kept = dict(max_events=self.max_events, keep_lines=self.keep_lines)
    cut = sessions_lib.Cut.parse(window, **kept)
    if not form.keys(self.group) and not cut.windows:
      raise errors.UserError(
        f'--system={self.system} --group={self.group or "none"} has no sessions by '
        'name: give --window in lines (120) or time (10m)'
      )
    return cut

  def maskset(self) -> masksets.MaskSet:
    """What is masked in a line, and how Drain then groups it."""
    return self.line_format().masks[self.parser]

  def as_json(self) -> dict[str, Any]:
    """As a manifest keeps them."""
    return json.loads(json.dumps(dataclasses.asdict(self)))


class Grouped(NamedTuple):
  """Raw lines, read and grouped: what the folder is written from."""

  account: accounts.Account
  lines: dict[str, int]  # such as belong to no session: for the manifest
  result: events.Result
  parts: list[pathlib.Path]  # sessions, in each file in order of first appearance
  inputs: list[files.Input]


class Task(NamedTuple):
  """What an engine reads and groups."""

  options: Options
  frozen: templates.Templates | None
  grow: bool
  folder: pathlib.Path  # for files of the engine, which go at the end

  @property
  def whole(self) -> bool:
    """Whether the whole log is one entity."""
    return not self.options.line_format().keys(self.options.group)

  @property
  def maskset(self) -> masksets.MaskSet:
    """What is masked: of the templates that there are, or are to be."""
    return self.frozen.maskset if self.frozen else self.options.maskset()


Engine = Callable[[Task], Grouped]


def prepare(
  options: Options,
  out: str | os.PathLike,
  frozen: templates.Templates | None = None,
  workers: int = 1,
  progress: Callable[[int], Any] = bool,
  grow: bool = False,
  engine: Engine | None = None,
) -> dict[str, Any]:
  """Makes the System folder `out`; returns its manifest.

  Args:
    options: what to read, and how.
    out: the folder; an old one is replaced when the new one is whole.
    frozen: templates to assign raw lines to, instead of mining.
    workers: processes; any number gives the same folder.
    progress: called with numbers of stored bytes that were read.
    grow: mine new templates, after `frozen`, from lines that those do not know.
    engine: reads and groups raw lines; None: that of this machine.

  Raises:
    UserError: bad options or inputs; the message says what to change.
    OSError: what the disk says.
  """
  start = time.monotonic()
  with store.writer(out) as writer, parallel.Pool(workers) as pool:
    if options.system == 'jsonl':
      contents = jsonl.prepare(
        options.sessions,
        options.templates,
        options.max_bad_lines,
        options.max_events,
        writer,
        progress,
      )
    else:
      local = functools.partial(_read_and_group, pool=pool, progress=progress)
      task = Task(options, frozen, grow, writer.folder / 'spill')
      contents = _prepare_raw(task, engine or local, writer)
    manifest = {**contents.manifest, 'options': options.as_json()}
    inputs = manifest['inputs']
    manifest['simulated'] |= any(simulated.beside(item['path']) for item in inputs)
    manifest['recipe'] = _recipe(options, frozen, [item['sha256'] for item in inputs])
    seconds = time.monotonic() - start
    manifest['seconds'] = {'prepare': round(seconds, 3)}
    manifest['lines_per_second'] = round(manifest['lines'] / seconds)
    return writer.finish(options.system, contents._replace(manifest=manifest))


def _prepare_raw(task: Task, engine: Engine, writer: store.Writer) -> store.Contents:
  """Writes the sessions of `options.logs`, and the templates as detect wants them."""
  options, cut = task.options, task.options.cut()
  audit = labels.Audit(options.labels)
  task.folder.mkdir()
  account, lines, result, parts, inputs = engine(task)
  truncated = _write(parts, writer, audit, cut.max_events, inputs)
  shutil.rmtree(task.folder)
  result.templates.save(writer.folder / templates.FILE)
  frozen = task.frozen is not None
  manifest = {
    **account.report(),
    **lines,
    'mining': 'frozen' if frozen else options.mining,
    'template_hash': result.templates.hash,
    'assignment': dict(zip(templates.HOW, result.how.tolist(), strict=True)),
    'fit': {'share': 'all' if frozen else options.fit, 'last_line': result.last_line},
    'window': cut.text,
    'truncated_sessions': truncated,
    'labels': audit.report(),
    'inputs': [item._asdict() for item in (*inputs, *audit.inputs)],
  }
  return store.Contents(result.templates.texts, result.counts, manifest)


def _read_and_group(
  task: Task, pool: parallel.Pool, progress: Callable[[int], Any]
) -> Grouped:
  """The engine of one machine.

  The logs are read once, in chunks that any process can take: parsed, masked, and left
  on disk by what they belong to. Then templates are mined, and one part of the entities
  at a time is given its events, grouped and written. Memory is bounded by a chunk, a
  part and the distinct masked lines.
  """
  options, frozen = task.options, task.frozen
  form = options.line_format()
  account = accounts.Account(options.max_bad_lines, form)
  spilled = sessions_lib.Spill(task.folder / 'events', task.whole)
  mining, fit = ('frozen', 'all') if frozen else (options.mining, options.fit)
  collector = events.Collector(task.maskset, mining, fit, spilled.folder / 'order')
  inputs: list[files.Input] = []
  merged = None
  parts: Iterable[events.Part]
  if options.system == 'auto':
    reader = records.read(options.logs, options.format or 'auto', progress=progress)
    merged = parts = events.Merged(reader, task.maskset)
  else:
    read = functools.partial(
      events.read, format=form, group=options.group, maskset=task.maskset
    )
    paths = files.expand(options.logs, [options.labels])
    chunks = files.read_chunks(paths, inputs.append, progress=progress)
    parts = pool.map(read, chunks)
  for part in parts:
    account.add(part.lines.tally)
    spilled.add(part.lines, collector.codes(part))
  if merged:
    inputs += merged.inputs()
  check_lines(task, account, spilled.num_events)
  num_lines = account.num_lines
  result = collector.look_up(frozen, task.grow) if frozen else collector.mine(num_lines)
  at_line = result.last_line if fit != 'all' else 0
  cut = dataclasses.replace(options.cut(), at_line=at_line)
  grouped = _group(spilled, result, cut, pool)
  report = spilled.report()
  if merged and merged.interleaved:
    report['interleaved'] = True
  return Grouped(account, report, result, grouped, inputs)


def check_lines(task: Task, account: accounts.Account, num_events: int) -> None:
  """Raises UserError where lines that were read are too bad, or make no session."""
  account.check()
  cut = task.options.cut()
  if cut.seconds and not account.num_times:
    raise errors.UserError(
      f'--window={cut.text} needs times, and no line has one that can be read: '
      'give lines, such as --window=120'
    )
  if not num_events:
    raise errors.UserError(
      f'{account.num_lines:,} lines were read, but none names what it belongs to: '
      'check --system and --group'
    )


def _group(
  spilled: sessions_lib.Spill,
  result: events.Result,
  cut: sessions_lib.Cut,
  pool: parallel.Pool,
) -> list[pathlib.Path]:
  """The second pass: over the events, one part at a time."""
  paths = spilled.close()
  if spilled.whole:
    return list(sessions_lib.group_whole(paths, result.table, cut))
  group = functools.partial(sessions_lib.group_part, table=result.table, cut=cut)
  return list(pool.map(group, paths, few=len(paths) + 1))


def _write(
  parts: list[pathlib.Path],
  writer: store.Writer,
  audit: labels.Audit,
  max_events: int,
  inputs: list[files.Input],
) -> int:
  """Sessions in order of first appearance, with labels; how many were cut short."""
  truncated = 0
  for block in sessions_lib.merge(parts):
    if max_events:
      truncated += int((block['length'] > max_events).sum())
    label = audit.of_sessions(block, sessions_lib.WHOLE, inputs)
    known = pl.when(pl.col('label') >= 0).then(pl.col('label'))
    block = block.with_columns(label=label).with_columns(label=known)
    writer.write(sessions_lib.to_arrow(block))
  return truncated


def up_to_date(
  options: Options, out: str | os.PathLike, say: Callable[[str], Any] = len
) -> dict[str, Any] | None:
  """The manifest of `out` where preparing again would make the same, else None.

  Args:
    say: is given a sentence where `out` is damaged.
  """
  if '-' in options.logs or not (pathlib.Path(out) / store.MANIFEST).exists():
    return None
  try:
    manifest = manifests.read(out)
    if manifest.get('options') != options.as_json():
      return None
    manifests.check(out, manifest)
  except errors.UserError as error:
    say(f'{error}: doing so')
    return None
  hashes = []
  for item in manifest['inputs']:
    path = pathlib.Path(item['path'])
    if not path.is_file() or path.stat().st_size != item['bytes']:
      return None
    hashes.append(manifests.file_hash(path))
  if options.system != 'jsonl':
    if options.system == 'auto':
      logs = {path for path, _ in records.expand(options.logs)}
      paths = [item['path'] for item in manifest['inputs'] if item['path'] in logs]
      if len(paths) < len(logs):
        return None
    else:
      paths = files.expand(options.logs, [options.labels])
    if paths != [item['path'] for item in manifest['inputs'][: len(paths)]]:
      return None  # files came or went
  if _recipe(options, None, hashes) != manifest.get('recipe'):
    return None
  atomic.remove_leftovers(pathlib.Path(out).resolve())
  return manifest


def _recipe(
  options: Options, frozen: templates.Templates | None, hashes: list[str]
) -> str:
  """Equal when the same program would make the same folder of inputs of the hashes."""
  content = {'version': metalog_jax.__version__, 'options': options.as_json()}
  content['inputs'] = hashes
  if frozen:
    content['templates'] = frozen.hash
  elif options.system != 'jsonl':
    content['masks'] = options.maskset().as_json()
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
