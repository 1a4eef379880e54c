"""From log files to findings: read, count, compare, rank.

`Counter` is the state that grows with each block; `findings_of` compares it with a
baseline or with itself. Nothing here waits for jax.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metalog_jax import atomic, errors, lazy
from metalog_jax.logs import clock, keyed, labels, messages, parallel, records, streams
from metalog_jax.logs.field_values import field_values
from metalog_jax.scanning import (
  account,
  alike,
  feedback,
  findings,
  redact,
  rhythms,
  sessions,
  sides,
  surprises,
  verdicts,
  windows,
)
from metalog_jax.scanning import baseline as baselines
from metalog_jax.scanning import counted as counting
from metalog_jax.scanning.findings import Finding
from metalog_jax.scanning.result import Findings

if TYPE_CHECKING:
  from metalog_jax.scanning.session_findings import Judged

adapting = lazy.module('metalog_jax.scanning.adapting')
labelled = lazy.module('metalog_jax.scanning.labelled')
session_findings = lazy.module('metalog_jax.scanning.session_findings')
session_scores = lazy.module('metalog_jax.scanning.session_scores')


@dataclasses.dataclass(frozen=True)
class Options:
  """What `metalog scan` can be told."""

  baseline: tuple[str, ...] = ()  # logs of a good run, or one saved baseline
  save_baseline: str = ''
  format: str = 'auto'
  encoding: str = 'auto'
  key: tuple[str, ...] = ()  # ROLE=NAME of structured logs: time, level, message
  group: str = 'auto'  # none, or the field or id that groups records to sessions
  window: str = 'auto'
  timeout: str = ''  # of sessions, where logs are followed: 10m, or lines
  labels: str = ''
  false_alarms: float = 0.01
  mask: tuple[str, ...] = ()  # NAME=REGEX
  keep: tuple[str, ...] = ()
  similarity: float | None = None
  redact: bool = False
  out: str = ''  # folder whose feedback is respected

  def __post_init__(self):
    if not 0 < self.false_alarms < 1:
      raise errors.UserError(
        f'--false_alarms={self.false_alarms}: give a share such as 1% or 0.01'
      )
    windows.parse_width(self.window)
    keyed.chosen(self.key)


class Counter:
  """The state of a scan while blocks of records come."""

  def __init__(self, templates: Any, width: windows.Width | None, group: str = 'auto'):
    """Counts records by these templates, in windows of this width (None: chosen)."""
    self.templates = templates
    self.sessions = sessions.Sessions(group)
    self.windows = windows.Windows(width)
    self.sides, self.ticks = sides.Sides(), rhythms.Ticks()
    self.lines = self.strays = 0  # strays: times that are not believed

  def add(self, block: Any) -> np.ndarray:
    """Counts a `records.Records`; the number of each record's window."""
    time = clock.without_strays(block.time)
    self.strays += int(np.isnat(time).sum() - np.isnat(block.time).sum())
    block = dataclasses.replace(block, time=time)
    values = field_values(block.fields)
    ids = self.templates.add(block.message, block.level, values)
    self.lines += int(np.sum(block.lines))
    self.sessions.add(ids, block)
    self.ticks.add(ids, block.time)
    beside = self.sides.of(ids, block)
    return self.windows.add(
      ids, block.time, block.file, block.line, block.level, block.text, beside
    )

  def as_baseline(
    self, files: list[str], path: str, redacted: bool = False
  ) -> baselines.Baseline:
    """These counts, and what is still added to them, as a baseline."""
    state = self.templates, self.windows, self.sessions
    good = baselines.Baseline(*state, files, path, redacted=redacted, sides=self.sides)
    good.ticks = self.ticks
    return good


def scan(logs: Sequence[str], options: Options) -> Findings:
  """Reads logs and says what stands out in them.

  Args:
    logs: files, folders, patterns; - is standard input.

  Raises:
    UserError: a file or an option is wrong; the message says which.
  """
  begin = time.monotonic()
  given = labels.read(options.labels) if options.labels else None
  good = read_baseline(options)
  counter = Counter(*templates_and_width(options, good), options.group)
  inputs = count(counter, logs, options)
  return conclude(counter, inputs, options, good, given, begin)


def read_baseline(options: Options) -> baselines.Baseline | None:
  """The baseline that the options name: a saved one, or the counts of good logs.

  Raises UserError where a saved one stands beside others, or is damaged.
  """
  paths = options.baseline
  if not paths:
    return None
  saved = [path for path in paths if baselines.is_folder(path)]
  if not saved:
    counter = Counter(*templates_and_width(options), options.group)
    files = [item.path for item in count(counter, paths, options)]
    return counter.as_baseline(files, ','.join(paths))
  if len(paths) > 1:
    raise errors.UserError(
      f'--baseline: {saved[0]} is a saved baseline and stands alone; '
      'metalog baseline add puts more logs into it'
    )
  good = baselines.load(saved[0])
  if good.redacted != options.redact:
    what, do = (
      ('with', 'give') if good.redacted else ('without', 'save it again, or omit')
    )
    raise errors.UserError(
      f'--baseline: {saved[0]} was saved {what} --redact: {do} --redact'
    )
  return good


def add_to_baseline(
  folder: str, logs: Sequence[str], options: Options
) -> dict[str, Any]:
  """Adds good logs to a saved baseline, or saves a first one; what is said of it.

  A file of the same content as one that was added, or is before it in `logs`, is left
  out, so that who does not know whether a killed process has added it may ask again.

  Raises UserError where the folder holds something else, or is damaged.
  """
  paths = [path for path, skipped in records.expand(logs) if not skipped]
  good = baselines.load(folder) if baselines.is_folder(folder) else None
  hashes, again = list(good.hashes if good else ()), list[str]()
  for path, value in baselines.hashes(paths).items():
    if value in hashes:
      again.append(path)
    else:
      hashes.append(value)
  if again and len(again) == len(paths):
    atomic.remove_leftovers(pathlib.Path(folder).resolve())
    return baselines.show(folder) | {'added_before': again}
  logs = [path for path in paths if path not in again]
  if good is None:
    counter = Counter(*templates_and_width(options), options.group)
    good = counter.as_baseline([], folder, options.redact)
  else:
    options = dataclasses.replace(options, redact=good.redacted)
    counter = Counter(good.templates, None)
    counter.windows, counter.sessions = good.windows, good.sessions
    good.sides, good.ticks = counter.sides, counter.ticks
  inputs = count(counter, logs, options)
  files = [item.path for item in inputs if not item.skipped]
  good.files += redact.everything(files) if options.redact else files
  good.hashes = hashes
  return baselines.save(folder, good, adds=True) | (
    {'added_before': again} if again else {}
  )


def templates_and_width(
  options: Options, good: baselines.Baseline | None = None
) -> tuple[Any, windows.Width | None]:
  """The templates and the width of windows to begin with: a baseline's, or new ones."""
  width = windows.parse_width(options.window)
  if good is not None:
    return good.templates, width or good.windows.width
  similarity = options.similarity
  more: dict[str, Any] = {} if similarity is None else {'similarity': similarity}
  return messages.Templates(masks=options.mask, keep=options.keep, **more), width


def count(
  counter: Counter, logs: Sequence[str], options: Options
) -> list[streams.Input]:
  """Counts the records of logs, masked where that is asked for; what each file is.

  Raises UserError where windows of a duration are asked for and there are no times.
  """
  keys = keyed.chosen(options.key)
  reader = records.read(logs, options.format, options.encoding, keys=keys)
  lazy.soon('scipy.special', 'metalog_jax.scanning.session_findings')
  for block in parallel.ahead(map(redact.block, reader) if options.redact else reader):
    counter.add(block)
  seen = counter.windows
  if seen.width and seen.width.timed and seen.records and not seen.timed:
    raise errors.UserError(
      f'--window={seen.width}: no time could be read in any of {seen.records:,} '
      'records; give --window=N (records), or --format with a group named time'
    )
  return reader.inputs


def conclude(
  counter: Counter,
  files: Sequence[streams.Input],
  options: Options,
  reference: baselines.Baseline | None = None,
  given: labels.Labels | None = None,
  begin: float = 0.0,
) -> Findings:
  """The findings of what was counted.

  Args:
    files: what each of them turned out to be.
    given: what the file of labels says.
    begin: of `time.monotonic`, when the scan began.
  """
  inputs = [item.as_json() for item in files]
  read_paths = [item['path'] for item in inputs]
  if options.redact:
    inputs = redact.everything(inputs)
  names = [item['path'] for item in inputs]
  counted, good = _counts(counter, reference, names)
  state, alpha = counter.sessions, options.false_alarms
  known = [options.out, *options.baseline]
  items: list[Finding] = []
  judged, mode = None, ''
  if counted is not None:
    odd = surprises.surprises(counted, alpha, good)
    if good is not None:
      odd += surprises.known_severe(counted, good, odd)
    of_windows = findings.build(counted, odd, good)
    judged = _of_sessions(counter, counted, reference, alpha)
    more = session_findings.build(counted, state, judged, alpha) if judged else []
    items = session_findings.merge(of_windows, more)
  feedback.apply(items, known)
  # Labels are held against verdicts that have not seen them.
  rows, quality, unmatched = _rows(counted, state, judged, items, given)
  if judged and counted and (told := verdicts.read(given, known)):
    adapted = adapting.adapt(counted, state, judged, told, of_windows, items, alpha)
    if adapted is not None:
      judged, items, mode = adapted
      feedback.apply(items, known)
      rows, _, _ = _rows(counted, state, judged, items, given)
  items, like = alike.moved(items, known, given, rows[1])
  if like:
    rows, _, _ = _rows(counted, state, judged, items, given)
  about = (
    {'state': 'itself'}
    if reference is None
    else baselines.summary(good, reference.path, reference.files)
  )
  said = account.warnings(counter, inputs, counted, items, reference is not None)
  if counted is not None and reference is not None:
    said = baselines.warnings(about, counted, good) + said
  summary: dict[str, Any] = {
    'inputs': inputs,
    'lines': counter.lines,
    'records': counter.windows.records,
    'templates': 0 if counted is None else len(counted.ids),
    'window': str(counter.windows.width or ''),
    'windows': 0 if counted is None else counted.size,
    'group': counter.sessions.key.name if counter.sessions.key else None,
    'sessions': len(counter.sessions.names),
    'baseline': about,
    'mode': mode.partition(' (')[0] or 'without labels',
    'false_alarms': options.false_alarms,
    'findings': len(items),
    'active': sum(item.state == 'active' for item in items),
    'warnings': said,
  }
  if judged is not None:
    summary['odd_sessions'] = int(judged.scored.odd.sum())
    if text := session_scores.rate_warning(judged.scored, alpha):
      said.append(text)
    if state.halved:
      share = f'one session in {2**state.halved} was kept, chosen by its id'
      said.append(f'more than {sessions.MOST:,} sessions: {share}')
  if given:
    summary['labels'] = quality
    summary['warnings'] = unmatched + summary['warnings']
  summary['warnings'][:0] = [text for text in (mode, like) if text]
  if options.save_baseline and counted is not None:
    target = options.save_baseline
    saved = counter.as_baseline(names, target, options.redact)
    saved.hashes = [*baselines.hashes(read_paths).values()]
    baselines.save(target, saved)
    summary['saved_baseline'] = options.save_baseline
  seconds = time.monotonic() - begin
  summary['seconds'] = round(seconds, 3)
  summary['lines_per_second'] = round(counter.lines / max(seconds, 1e-9))
  if options.redact:  # of records nothing is left to mask, but of paths and reasons
    summary = redact.everything(summary)
    for item in items:
      item.reason = redact.text(item.reason)
  of_sessions, window_rows = rows
  return Findings(items, summary, window_rows, of_sessions)


def _rows(
  counted: counting.Counted | None,
  state: sessions.Sessions,
  judged: 'Judged | None',
  items: Sequence[Finding],
  given: labels.Labels | None,
) -> tuple[Any, dict[str, Any], list[str]]:
  """Rows with what the file of labels says of them, as `labelled.Labelled`.

  They are what makes the rows of sessions, and the rows of windows.
  """
  of_sessions: Callable[[], Iterable[dict[str, Any]]] = tuple
  of_windows = [] if counted is None else list(account.window_rows(counted, items))
  if counted is not None and judged is not None:
    scored = judged.scored
    of_sessions = functools.partial(
      session_findings.rows, counted, state, scored, items
    )
  if given:
    return labelled.apply(given, of_sessions, of_windows, items)
  return (of_sessions, of_windows), {}, []


def _counts(
  counter: Counter, reference: baselines.Baseline | None, files: Sequence[str]
) -> tuple[counting.Counted | None, counting.Counted | None]:
  """The counts of the logs and of the baseline, with the same numbers of values."""
  templates = counter.templates
  tables = [counting.table(counter.windows, templates)]
  beside = [sides.table(counter.windows, templates, counter.sides)]
  widths = [counter.windows.width]
  if reference is not None:
    tables.append(reference.cells())
    beside.append(reference.beside())
    widths.append(reference.windows.width)
  texts = list(templates.texts)
  values = counting.number_values(texts, *tables)
  words = counter.sides.words(templates.group(), texts)
  named, beside = sides.number(len(texts) + len(values), files, words, *beside)
  counts = [
    counting.count(cells, values, texts, files, width, named, more)
    if width and len(cells)
    else None
    for cells, more, width in zip(tables, beside, widths)
  ]
  if counts[0] is not None:
    counter.ticks.put(counts[0], templates.group())
  if reference is not None and counts[1] is not None:
    reference.ticks.put(counts[1], templates.group())
    counts[1].resting = reference.resting
  return counts[0], counts[1] if reference is not None else None


def _of_sessions(
  counter: Counter,
  counted: counting.Counted,
  reference: baselines.Baseline | None,
  alpha: float,
) -> 'Judged | None':
  """Scores of sessions and reasons of the odd ones; None where there are none."""
  state = counter.sessions
  good = reference.sessions if reference and reference.sessions.key else None
  if state.key is None or (reference is not None and good is None):
    return None
  group = counter.templates.group()
  return session_findings.judge(counted, state, good, group, alpha)
