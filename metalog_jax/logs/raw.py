"""Raw logs to sessions.

The logs are read once, in chunks that any process can take: parsed, masked, and
left on disk by what they belong to. Then templates are mined, and one part of the
entities at a time is given its events, grouped and written. Memory is bounded by
a chunk, a part and the distinct masked lines.
"""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import polars as pl

from metalog_jax import errors
from metalog_jax.logs import (
  accounts,
  events,
  files,
  labels,
  options,
  parallel,
  sessions,
  spill,
  store,
  templates,
)

TEMPLATES = templates.FILE  # frozen, with their masks: what detect assigns by


def prepare(
  settings: options.Options,
  frozen: templates.Templates | None,
  grow: bool,
  writer: store.Writer,
  pool: parallel.Pool,
  progress: Callable[[int], Any],
) -> store.Contents:
  """Writes the sessions of `settings.logs`, and the templates as detect wants them.

  Args:
    settings: what to read, and how.
    frozen: templates to assign lines to; None: they are mined.
    grow: mine new templates from lines that `frozen` does not know.
    writer: takes the sessions.
    pool: that the work is dealt to.
    progress: called with numbers of stored bytes that were read.
  """
  form, cut = settings.line_format(), settings.cut()
  audit = labels.Audit(settings.labels)
  account = accounts.Account(settings.max_bad_lines, form)
  spilled = spill.Spill(writer.folder / 'spill', not form.keys(settings.group))
  mining, fit = ('frozen', 'all') if frozen else (settings.mining, settings.fit)
  maskset = frozen.maskset if frozen else settings.maskset()
  collector = events.Collector(maskset, mining, fit, spilled.folder / 'order')
  inputs: list[files.Input] = []
  read = functools.partial(
    events.read, format=form, group=settings.group, maskset=maskset
  )
  paths = files.expand(settings.logs, [settings.labels])
  chunks = files.read_chunks(paths, inputs.append, progress=progress)
  for part in pool.map(read, chunks):
    account.add(part.lines.tally)
    spilled.add(part.lines, collector.codes(part))
  account.check()
  if not spilled.num_events:
    raise errors.UserError(
      f'{account.num_lines:,} lines were read, but none names what it belongs to: '
      'check --system and --group'
    )
  if frozen:
    result = collector.look_up(frozen, grow)
  else:
    result = collector.mine(account.num_lines)
  at_line = result.last_line if fit != 'all' else 0
  parts = _group(spilled, result, dataclasses.replace(cut, at_line=at_line), pool)
  truncated = _write(parts, writer, audit, cut.max_events)
  shutil.rmtree(spilled.folder)
  result.templates.save(writer.folder / TEMPLATES)
  manifest = {
    **account.report(),
    **spilled.report(),
    'mining': mining,
    'template_hash': result.templates.hash,
    'assignment': dict(zip(templates.HOW, result.how.tolist(), strict=True)),
    'fit': {'share': fit, 'last_line': result.last_line},
    'window': cut.text,
    'truncated_sessions': truncated,
    'labels': audit.report(),
    'inputs': [item._asdict() for item in (*inputs, *audit.inputs)],
  }
  return store.Contents(result.templates.texts, result.counts, manifest)


def _group(
  spilled: spill.Spill, result: events.Result, cut: sessions.Cut, pool: parallel.Pool
) -> list[pathlib.Path]:
  """The second pass: over the events, one part at a time."""
  paths = spilled.close()
  if spilled.whole:
    return list(sessions.group_whole(paths, result.table, cut))
  group = functools.partial(sessions.group_part, table=result.table, cut=cut)
  return list(pool.map(group, paths, few=len(paths) + 1))


def _write(
  parts: list[pathlib.Path], writer: store.Writer, audit: labels.Audit, max_events: int
) -> int:
  """Sessions in order of first appearance, with labels; how many were cut short."""
  truncated = 0
  for block in sessions.merge(parts):
    if max_events:
      truncated += int((block['length'] > max_events).sum())
    label = audit.of(block['entity'], block['label'])
    known = pl.when(pl.col('label') >= 0).then(pl.col('label'))
    block = block.with_columns(label=label).with_columns(label=known)
    writer.write(sessions.to_arrow(block))
  return truncated
