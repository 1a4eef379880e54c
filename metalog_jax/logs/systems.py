"""Raw logs, or session files, to a System folder: what `experiments.prepare` does."""

import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import metalog_jax
from metalog_jax import errors
from metalog_jax.logs import (
  files,
  jsonl,
  manifests,
  options,
  parallel,
  raw,
  simulated,
  store,
  templates,
)

Options = options.Options
MINING, PARSERS = options.MINING, options.PARSERS


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
      contents = jsonl.prepare(options, writer, progress)
    else:
      contents = raw.prepare(options, frozen, grow, writer, pool, progress)
    manifest = {**contents.manifest, 'options': options.as_json()}
    inputs = manifest['inputs']
    manifest['simulated'] |= any(simulated.beside(item['path']) for item in inputs)
    hashes = [item['sha256'] for item in inputs]
    manifest['recipe'] = _recipe(options, frozen, hashes)
    seconds = time.monotonic() - start
    manifest['seconds'] = {'prepare': round(seconds, 3)}
    manifest['lines_per_second'] = round(manifest['lines'] / seconds)
    return writer.finish(options.system, contents._replace(manifest=manifest))


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
    if manifest.get('options') != options.as_json() or 'files' not in manifest:
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
    paths = files.expand(options.logs, [options.labels])
    if paths != [item['path'] for item in manifest['inputs'][: len(paths)]]:
      return None  # files came or went
  return manifest if _recipe(options, None, hashes) == manifest.get('recipe') else None


def _recipe(
  options: Options, frozen: templates.Templates | None, hashes: list[str]
) -> str:
  """Equal when the same program would make the same folder of inputs of the hashes."""
  content = {'version': metalog_jax.__version__, 'options': options.as_json()}
  content['inputs'] = hashes
  if frozen:
    content['templates'] = frozen.hash
  elif options.system != 'jsonl':
    content['masks'] = dataclasses.asdict(options.maskset())
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
