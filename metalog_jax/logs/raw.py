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

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import (
  bad_lines,
  events,
  files,
  formats,
  labels,
  masking,
  parallel,
  sessions,
  spill,
  store,
  templates,
)

TEMPLATES = templates.FILE  # frozen, with their masks: what detect assigns by


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
  grow: bool = False  # mine new templates from lines that `frozen` does not know


def prepare(
  plan: Plan, writer: store.Writer, pool: parallel.Pool, progress: Callable[[int], Any]
) -> store.Made:
  """Writes the sessions of `plan`, and the templates as detect wants them."""
  seconds = {}
  job = _Job(plan, writer, pool)
  for name, stage in (
    ('read', functools.partial(job.read, progress)),
    ('mine', job.mine),
    ('group', job.group),
    ('write', job.write),
  ):
    start = time.monotonic()
    stage()
    seconds[name] = round(time.monotonic() - start, 3)
  return store.Made(
    job.found.templates.texts, job.found.counts, job.manifest(), seconds
  )


class _Job:
  """The stages, one after the other."""

  def __init__(self, plan: Plan, writer: store.Writer, pool: parallel.Pool):
    self.plan, self.writer, self.pool = plan, writer, pool
    self.audit = labels.Audit(labels.read(plan.labels) if plan.labels else None)
    self.bad = bad_lines.BadLines(plan.max_bad_lines, plan.format.name)
    whole = not plan.format.keys(plan.group)
    self.spill = spill.Spill(writer.folder / 'spill', whole)
    self.inputs: list[files.Input] = []
    self.truncated = 0
    self.simulated = False
    self.num_times, self.bad_times = 0, 0
    self.bad_time = ''  # the first of them

  def read(self, progress: Callable[[int], Any]) -> None:
    """The first pass: over all lines, in order."""
    plan, bad = self.plan, self.bad
    self.collector = (
      events.Frozen(plan.frozen, plan.grow)
      if plan.frozen
      else events.Mining(plan.maskset, plan.mining, plan.fit, self.spill.folder)
    )
    function = functools.partial(
      events.read, format=plan.format, group=plan.group, maskset=plan.maskset
    )
    chunks = files.read_chunks(plan.paths, self.inputs.append, progress=progress)
    for part in self.pool.map(function, chunks):
      bad.add(part.path, part.lines, plan.format.continues)
      self.simulated |= part.simulated
      self.num_times += np.count_nonzero(~np.isnan(part.lines.time))
      self.bad_times += len(part.lines.bad_times)
      self.bad_time = self.bad_time or next(iter(part.lines.bad_times), '')
      self.spill.add(part.lines, self.collector.codes(part))
    bad.check()
    if self.bad_times and not self.num_times and plan.format.name == 'custom':
      raise errors.UserError(
        f'--time_format={plan.format.time_format!r} reads none of the '
        f'{self.bad_times:,} times, such as {self.bad_time!r}'
      )
    if not self.spill.num_events:
      raise errors.UserError(
        f'{bad.num_lines:,} lines were read, but none names what it belongs to: check '
        '--system and --group'
      )

  def mine(self) -> None:
    """Templates, and the event of every masked line."""
    self.found = self.collector.finish(self.bad.num_lines)

  def group(self) -> None:
    """The second pass: over the events, one part at a time."""
    at_line = self.found.last_line if self.plan.fit != 'all' else 0
    cut = dataclasses.replace(self.plan.cut, at_line=at_line)
    paths = self.spill.close()
    if self.spill.whole:
      self.parts = list(sessions.group_whole(paths, self.found.table, cut))
    else:
      group = functools.partial(sessions.group_part, table=self.found.table, cut=cut)
      self.parts = list(self.pool.map(group, paths, few=len(paths) + 1))

  def write(self) -> None:
    """Sessions in order of first appearance, with their labels."""
    for block in sessions.merge(self.parts):
      if self.plan.cut.max_events:
        self.truncated += int((block['length'] > self.plan.cut.max_events).sum())
      label = block['label']
      if self.audit.labels:
        label = self.audit.of(block['entity'], label)
      known = pl.when(pl.col('label') >= 0).then(pl.col('label'))
      block = block.with_columns(label=label).with_columns(label=known)
      self.writer.write(sessions.to_arrow(block.select(store.columns(block.columns))))
    shutil.rmtree(self.spill.folder)
    self.found.templates.save(self.writer.folder / TEMPLATES)

  def manifest(self) -> dict[str, Any]:
    found = self.found
    return {
      **self.bad.report(),
      **self.spill.report(),
      'mining': 'frozen' if self.plan.frozen else self.plan.mining,
      'template_hash': found.templates.hash,
      'assignment': dict(zip(templates.HOW, found.how.tolist(), strict=True)),
      'fit': {'share': self.plan.fit, 'last_line': found.last_line},
      'window': self.plan.cut.text,
      'truncated_sessions': self.truncated,
      'simulated': self.simulated,
      'bad_times': self.bad_times,
      'labels': self.audit.report(),
      'inputs': [item._asdict() for item in (*self.inputs, *self.audit.inputs)],
    }
