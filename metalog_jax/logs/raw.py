"""Raw logs to sessions.

The logs are read once, in chunks that any process can take: parsed, masked, and
left on disk by what they belong to. Then templates are mined, and one part of the
entities at a time is given its events, grouped and written. Memory is bounded by
a chunk, a part and the distinct masked lines.
"""

import dataclasses
import functools
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import polars as pl

from metalog_jax.logs import (
  bad_lines,
  budgets,
  events,
  files,
  formats,
  labels,
  masking,
  parallel,
  sessions,
  store,
  templates,
)

TEMPLATES = 'templates.json'  # frozen, with their masks: what detect assigns by


class Plan(NamedTuple):
  """What to read, and how; `systems.make_plan` makes it."""

  format: formats.Format
  group: str
  cut: sessions.Cut
  paths: tuple[str, ...]
  labels: str
  maskset: masking.MaskSet
  frozen: templates.Templates | None
  mining: str
  fit: str
  max_bad_lines: str


def prepare(
  plan: Plan, writer: store.Writer, pool: parallel.Pool, progress: Callable[[int], Any]
) -> store.Made:
  """Writes the sessions of `plan`, and the templates as detect wants them."""
  watch = Stopwatch()
  audit = labels.Audit(labels.read(plan.labels) if plan.labels else None)
  spill = sessions.Spill(writer.folder / 'spill', not plan.format.keys(plan.group))
  bad = bad_lines.BadLines(plan.max_bad_lines, plan.format.name)
  collector = _collector(plan, spill.folder)
  inputs = _read(plan, pool, progress, spill, bad, collector)
  watch.lap('read')
  last = bad.num_lines
  if plan.fit != 'all':
    last = budgets.at_least(plan.fit, last)
  found = collector.finish(last)
  watch.lap('mine')
  cut = dataclasses.replace(plan.cut, at_line=last if plan.fit != 'all' else 0)
  parts = _group(spill, found.table, cut, pool)
  watch.lap('group')
  for block in sessions.merge(parts):
    writer.write(_labelled(block, audit))
  shutil.rmtree(spill.folder)
  found.templates.save(writer.folder / TEMPLATES)
  watch.lap('write')
  manifest = {
    **bad.report(),
    **spill.report(),
    'mining': 'frozen' if plan.frozen else plan.mining,
    'template_hash': found.templates.hash,
    'assignment': dict(zip(templates.HOW, found.how.tolist(), strict=True)),
    'fit': {'share': plan.fit, 'last_line': last},
    'window': plan.cut.text,
    'labels': audit.report(),
    'inputs': [item._asdict() for item in (*inputs, *audit.inputs)],
  }
  return store.Made(found.templates.texts, found.counts, manifest, watch.laps)


def _collector(plan, folder):
  if plan.frozen:
    return events.Frozen(plan.frozen)
  return events.Mining(plan.maskset, plan.mining, plan.fit != 'all', folder)


def _read(plan, pool, progress, spill, bad, collector) -> list[files.Input]:
  """The first pass, over all lines."""
  inputs: list[files.Input] = []
  chunks = files.read_chunks(plan.paths, inputs.append, progress=progress)
  read = functools.partial(
    events.read, format=plan.format, group=plan.group, maskset=plan.maskset
  )
  for part in pool.map(read, chunks):
    bad.add(part.path, part.lines, plan.format.continues)
    spill.add(part.lines, collector.codes(part))
  bad.check()
  return inputs


def _group(spill, table, cut, pool):
  """The second pass, over the events of one part at a time."""
  paths = spill.close()
  if spill.whole:
    return list(sessions.group_whole(paths, table, cut))
  group = functools.partial(sessions.group_part, table=table, cut=cut)
  return list(pool.map(group, paths))


def _labelled(block: pl.DataFrame, audit: labels.Audit):
  """Sessions as they are stored, with labels from the file where there is one."""
  if audit.labels:
    block = block.with_columns(label=audit.of(block['entity']))
  label = pl.when(pl.col('label') >= 0).then('label').cast(pl.Int8)
  extra = ['lines'] if 'lines' in block.columns else []
  block = block.with_columns(label=label)
  return sessions.to_arrow(block.select(*store.COLUMNS, *extra))


class Stopwatch:
  """Seconds of each stage."""

  def __init__(self):
    self.laps: dict[str, float] = {}
    self._last = time.monotonic()

  def lap(self, name: str) -> None:
    now = time.monotonic()
    self.laps[name] = round(now - self._last, 3)
    self._last = now
