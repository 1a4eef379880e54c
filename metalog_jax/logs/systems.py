"""Raw logs, or session files, to a System folder: what `experiments.prepare` does."""

import dataclasses
import hashlib
import json
import os
import pathlib
import time
import typing
from collections.abc import Callable
from typing import Any, Literal

import metalog_jax
from metalog_jax import errors
from metalog_jax.logs import (
  budgets,
  files,
  formats,
  jsonl,
  manifests,
  masking,
  parallel,
  raw,
  sessions,
  simulated,
  store,
  templates,
)

Mining = Literal['canonical', 'arrival']
Parser = Literal['default', 'paper']
MINING, PARSERS = typing.get_args(Mining), typing.get_args(Parser)


@dataclasses.dataclass(frozen=True)
class Options:
  """What determines the content of a System folder; kept in its manifest."""

  system: str
  logs: tuple[str, ...] = ()  # files, folders, patterns; '-' is standard input
  labels: str = ''
  sessions: tuple[str, ...] = ()  # of --system=jsonl
  templates: str = ''  # of --system=jsonl: event_id,template
  format: str = ''  # of --system=custom
  time_format: str = ''  # likewise
  group: str = ''  # what lines are grouped by; '': the format's own choice
  window: str = ''  # '': the format's own choice
  max_events: int = 0
  mining: Mining = 'canonical'
  parser: Parser = 'default'
  fit: str = 'all'
  max_bad_lines: str = '5%'
  keep_lines: bool = False

  def __post_init__(self):
    """Raises ValueError for what can be seen to be wrong without reading a log."""
    errors.check_choices(self, '--')
    if self.system not in formats.SYSTEMS:
      raise errors.unknown_choice('--system', self.system, formats.SYSTEMS)
    made, own = self.system == 'jsonl', self.system == 'custom'
    _need(self, made, 'sessions', 'PATH')
    _need(self, not made, 'logs', 'PATH')
    _need(self, own, 'format', 'REGEX')
    for name, fits in (
      *((name, made) for name in ('sessions', 'templates')),
      *((name, not made) for name in ('logs', 'labels', 'group', 'window')),
      *((name, own) for name in ('format', 'time_format')),
    ):
      if getattr(self, name) and not fits:
        raise errors.UserError(f'--{name} means nothing to --system={self.system}')
    if self.max_events < 0:
      raise errors.UserError(f'--max_events={self.max_events}: give 0 (all) or more')
    budgets.parse(self.max_bad_lines)
    if self.fit != 'all' and not budgets.parse(self.fit):
      raise errors.UserError(f'--fit={self.fit} leaves no line to fit templates on')


def _need(options: Options, needed: bool, name: str, what: str) -> None:
  if needed and not getattr(options, name):
    raise errors.UserError(f'--system={options.system} needs --{name}={what}')


def prepare(
  options: Options,
  out: str | os.PathLike,
  frozen: templates.Templates | None = None,
  workers: int = 1,
  progress: Callable[[int], Any] = bool,
  grow: bool = False,
) -> dict[str, Any]:
  """Makes the System folder `out`; returns its manifest.

  Args:
    options: what to read, and how.
    out: the folder; an old one is replaced when the new one is whole.
    frozen: templates to assign raw lines to, instead of mining.
    workers: processes; any number gives the same folder.
    progress: called with numbers of stored bytes that were read.
    grow: mine new templates, after `frozen`, from lines that those do not know.

  Raises:
    UserError: bad options or inputs; the message says what to change.
    OSError: what the disk says.
  """
  start = time.monotonic()
  with store.writer(out) as writer, parallel.Pool(workers) as pool:
    if options.system == 'jsonl':
      made = jsonl.prepare(options, writer, progress)
    else:
      plan = make_plan(options, frozen)._replace(grow=grow)
      made = raw.prepare(plan, writer, pool, progress)
    manifest = {**made.manifest, 'options': _as_json(options)}
    inputs = manifest['inputs']
    manifest['simulated'] = manifest.get('simulated', False) or any(
      simulated.beside(item['path']) for item in inputs
    )
    used = [item['sha256'] for item in inputs]
    manifest['recipe'] = _recipe(options, frozen, used)
    seconds = time.monotonic() - start
    manifest['seconds'] = {**made.seconds, 'prepare': round(seconds, 3)}
    manifest['lines_per_second'] = round(manifest['lines'] / seconds)
    return writer.finish(options.system, made.texts, made.counts, manifest)


def make_plan(options: Options, frozen: templates.Templates | None) -> raw.Plan:
  """Resolves what the options leave to the format."""
  if options.system == 'custom':
    format = formats.custom(options.format, options.time_format)
  else:
    format = formats.FORMATS[options.system]
  cut = sessions.Cut.parse(
    options.window or format.window,
    max_events=options.max_events,
    keep_lines=options.keep_lines,
  )
  if not format.keys(options.group) and not cut.windows:
    raise errors.UserError(
      f'--system={options.system} --group={options.group or "none"} has no sessions '
      'by name: give --window in lines (120) or time (10m)'
    )
  return raw.Plan(
    format=format,
    group=options.group,
    cut=cut,
    paths=tuple(files.expand(options.logs, [options.labels])),
    labels=options.labels,
    maskset=_maskset(options, frozen),
    frozen=frozen,
    mining=options.mining,
    fit='all' if frozen else options.fit,
    max_bad_lines=options.max_bad_lines,
  )


def _maskset(options, frozen):
  return frozen.maskset if frozen else masking.presets[options.system][options.parser]


def up_to_date(
  options: Options, out: str | os.PathLike, say: Callable[[str], Any] = len
) -> dict[str, Any] | None:
  """The manifest of `out` where preparing again would make the same, else None.

  Args:
    say: is given a sentence where `out` was made of the same and is damaged now.
  """
  if '-' in options.logs or not (pathlib.Path(out) / store.MANIFEST).exists():
    return None
  try:
    manifest = manifests.read(out)
    if manifest.get('options') != _as_json(options) or 'files' not in manifest:
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
    paths = make_plan(options, None).paths
    if list(paths) != [item['path'] for item in manifest['inputs'][: len(paths)]]:
      return None  # files came or went
  return manifest if _recipe(options, None, hashes) == manifest.get('recipe') else None


def _as_json(options: Options) -> dict[str, Any]:
  return json.loads(json.dumps(dataclasses.asdict(options)))


def _recipe(options, frozen, hashes) -> str:
  """Equal when the same program would make the same folder."""
  content = {'version': metalog_jax.__version__, 'options': _as_json(options)}
  content['inputs'] = hashes
  if frozen:
    content['templates'] = frozen.hash
  elif options.system != 'jsonl':
    content['masks'] = dataclasses.asdict(_maskset(options, frozen))
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
