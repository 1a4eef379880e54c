"""Lines without an end: windows of event time, verdicts that late lines revise.

The rules:

- A line's time is the one it bears; where the format reads none, when it arrived.
- A session is what one entity logs within a window of so many seconds; windows begin at
  multiples of that length since 1970.
- A verdict comes when the watermark passes the end of the window. A line that is late
  by at most `lateness` seconds makes another verdict on the same session, over all its
  lines, which replaces the earlier one; later lines are dropped.
- Events stand in order of time, those of equal times in order of their messages:
  the order in which lines arrive decides nothing.
- Templates are the model's; lines that none describes are unknown events. Lines that do
  not fit the format are counted (`metalog/bad_lines`) and dropped.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms import trigger, window
from apache_beam.utils import timestamp, windowed_value

from metalog_jax.beam import detect, prepare, sessions
from metalog_jax.logs import events, files, systems, templates
from metalog_jax.runs import detect as runs_detect
from metalog_jax.runs import model as models

BUNDLE = 4096  # lines parsed at once
SCHEMA = pa.schema(
  {'session_id': pa.string(), 'time': pa.float64(), 'events': pa.list_(pa.int32())}
)


class Judged(beam.PTransform):
  """Lines (str) with timestamps of arrival -> Arrow tables of one verdict each.

  Args:
    workdir: a finished run.
    seconds: length of a window.
    lateness: seconds after a window's end in which late lines still count.
    threshold: of anomalous scores; None: the run's.
  """

  def __init__(
    self,
    workdir: str | os.PathLike,
    seconds: float,
    lateness: float = 0.0,
    threshold: float | None = None,
  ):
    super().__init__()
    model = models.load(workdir)
    frozen = runs_detect.templates_of(model)
    prepare.check(systems.Task(model.options, frozen, False, sessions.NOWHERE))
    self._read = Read(model.options, frozen)
    self._seconds, self._lateness = seconds, lateness
    self._detect = detect.Detect(workdir, threshold)

  def expand(self, lines: Any) -> Any:
    """Builds the pipeline."""
    windows = beam.WindowInto(
      window.FixedWindows(self._seconds),
      trigger=trigger.AfterWatermark(late=trigger.AfterCount(1)),
      accumulation_mode=trigger.AccumulationMode.ACCUMULATING,
      allowed_lateness=self._lateness,
    )
    return (
      lines
      | 'read lines' >> beam.ParDo(self._read)
      | 'windows' >> windows
      | 'by entity' >> beam.GroupByKey()
      | 'sessions' >> beam.ParDo(Session())
      | 'judge' >> self._detect
    )


class Read(beam.DoFn):
  """Lines -> (entity, (time, masked message, event)), stamped with their own times."""

  def __init__(self, options: systems.Options, frozen: templates.Templates):
    self._options = dataclasses.replace(options, logs=('-',), labels='')
    self._frozen = frozen
    self._bad = Metrics.counter('metalog', 'bad_lines')

  def start_bundle(self) -> None:
    """Begins to collect lines."""
    self._lines: list[tuple[str, float]] = []

  def process(self, line: str, at: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
    """Collects a line, and gives what many lines are once they are many."""
    self._lines.append((line.replace('\n', ' '), at.micros / 1e6))
    if len(self._lines) >= BUNDLE:
      for time, element in self._parse():
        yield window.TimestampedValue(element, time)

  def finish_bundle(self) -> Iterator[Any]:
    """Gives the lines that are left."""
    for time, element in self._parse():
      at = timestamp.Timestamp.of(time)
      yield windowed_value.WindowedValue(element, at, [window.GlobalWindow()])

  def _parse(self) -> Iterator[tuple[float, Any]]:
    lines, self._lines = self._lines, []
    if not lines:
      return
    data = ''.join(f'{line}\n' for line, _ in lines).encode('utf-8', 'backslashreplace')
    form = self._options.line_format()
    chunk = files.Chunk(data, '', 1, 1, b'')
    part = events.read(chunk, form, self._options.group, self._frozen.maskset)
    self._bad.inc(sum(bad.number for bad in part.lines.tally.bad.values()))
    arrived = np.array([at for _, at in lines])[part.lines.number - 1]
    times = np.where(np.isnan(part.lines.time), arrived, part.lines.time)
    known, _ = self._frozen.assign(part.texts)
    for line, entity in zip(part.lines.owner.tolist(), part.lines.entity.to_list()):
      code = part.codes[line]
      time = float(times[line])
      yield time, (entity, (time, part.texts[code], int(known[code])))


class Session(beam.DoFn):
  """What an entity logged in a window, as a table of one session."""

  def process(
    self,
    element: tuple[str, Iterable[tuple[float, str, int]]],
    within: Any = beam.DoFn.WindowParam,
  ) -> Iterator[pa.Table]:
    """Gives the session, named by its entity and where its window begins."""
    entity, lines = element
    lines = sorted(lines)
    row = {
      'session_id': f'{entity}#{within.start.micros / 1e6:.0f}',
      'time': lines[0][0],
      'events': [event for _, _, event in lines],
    }
    yield pa.Table.from_pylist([row], SCHEMA)
