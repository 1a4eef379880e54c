"""Lines in, verdicts out, with the templates and weights of a trained model."""

import array
import collections
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import atomic, errors, types
from metalog_jax.embeddings import sources
from metalog_jax.evaluation import blind_spots, scoring
from metalog_jax.logs import files, manifests, quotes, store, systems, templates
from metalog_jax.runs import model as models

ROWS = 4096  # sessions scored at a time: bounds the memory
TOP = 5  # events named in a verdict
_FEW = 20  # sessions, below which nothing is usual


class Summary(NamedTuple):
  """What was judged."""

  sessions: int
  anomalous: int
  manifest: dict[str, Any]  # of the System that the lines made
  warnings: Sequence[str] = ()

  def __str__(self) -> str:
    how = self.manifest['assignment']
    new = ', '.join(f'{how[name]:,} {name}' for name in templates.HOW)
    return (
      f'{self.anomalous:,} of {self.sessions:,} sessions anomalous; '
      f'{self.manifest["lines"]:,} lines, {self.manifest["bad_lines"]:,} bad; '
      f'templates: {new}'
    )


class Judge:
  """Scores sessions, and says which events made each verdict.

  Args:
    known: how many events, the first ones, the training had.
  """

  def __init__(self, model: models.Model, threshold: float, known: int):
    self._model, self._threshold, self._known = model, threshold, known
    self._scorer = scoring.Scorer(model.detector)
    self.seen = blind_spots.NOTHING
    self._tally: Any = 0  # see `training.base.Host`

  def verdicts(
    self, sessions: types.Sessions, lines: np.ndarray, ends: np.ndarray
  ) -> Iterator[dict[str, Any]]:
    """A record for each session; its `first` and `last` have no file yet.

    Args:
      lines: [N] number of each event's line.
      ends: [S] times of the last lines, in seconds; nan for none.

    Raises:
      UserError: scores are not numbers.
    """
    model, scorer = self._model, self._scorer
    data = types.Dataset('', sessions, model.vectors, model.texts)
    seqs = scorer.sequences(data)
    scores = scorer.scores(model.state, data, seqs)
    if not np.isfinite(scores).all():
      raise errors.UserError(
        'the model gives scores that are not numbers: its training has diverged'
      )
    fresh = (sessions.events == types.UNKNOWN) | (sessions.events >= self._known)
    unknown = np.diff(np.append(0, np.cumsum(fresh))[sessions.offsets])
    seen = blind_spots.Seen.of(
      data,
      scores,
      self._threshold,
      len(seqs.lengths),
      model.detector.reads_vectors,
      unknown > 0,
    )
    self.seen = self.seen.joined(seen)
    if host := model.detector.host:
      self._tally = self._tally + host.tally(model.state, scores, self._threshold)
    shares = scorer.weights(model.state, data)
    reasons = scorer.verdicts(model.state, data)
    for i, (score, share, reason) in enumerate(zip(scores, shares, reasons)):
      part, events = slice(*sessions.offsets[i : i + 2]), sessions.of(i)
      first, last = int(sessions.first_lines[i]), int(sessions.last_lines[i])
      yield {
        'session_id': str(sessions.ids[i]),
        'first': {'file': '', 'line': first, 'time': _or_none(sessions.times[i])},
        'last': {'file': '', 'line': last, 'time': _or_none(ends[i])},
        'first_line': first,
        'last_line': last,
        'score': float(score),
        'anomalous': float(score) > self._threshold,
        'unknown_events': int(unknown[i]),
        'events': _top(model.texts, events, lines[part], share),
      } | reason

  @property
  def warnings(self) -> list[str]:
    """Signs that the verdicts so far mean nothing, or less than they seem to."""
    detector, state = self._model.detector, self._model.state
    bound, host = detector.highest, detector.host
    highest = bound(state, self._model.vectors) if bound else None
    texts = blind_spots.warnings(self.seen, highest)
    if host and self.seen.sessions:
      texts += host.warnings(state, self._tally, self._threshold)
    return texts


class Verdicts:
  """The verdict on every session, in order of first appearance.

  Iterating scores the sessions, a few at a time, then reads the lines that verdicts
  quote once more, and gives one record (a dict) for each. All lines were read before,
  into a temporary folder that goes with this object.
  """

  def __init__(
    self, model: models.Model, folder: tempfile.TemporaryDirectory, threshold: float
  ):
    self._folder, self._threshold = folder, threshold
    self._system = pathlib.Path(folder.name) / 'system'
    self.manifest = manifests.read(self._system)
    self._known = len(model.texts)
    texts = templates.Templates.load(self._system / templates.FILE).texts
    self._model = models.extend(model, texts)
    self.summary: Summary | None = None  # after the last verdict

  def __iter__(self) -> Iterator[dict[str, Any]]:
    quoted: list[np.ndarray] = []
    with tempfile.TemporaryFile('w+', encoding='utf-8') as spool:
      for verdict in self._judged():
        lines = [event['lines'][0] for event in verdict['events']]
        quoted.append(np.array(lines, np.int64))
        print(json.dumps(verdict), file=spool)
      numbers = np.unique(np.concatenate(quoted))
      options = systems.Options(**self.manifest['options'])
      with quotes.Quotes(options, self.manifest, numbers) as texts:
        spool.seek(0)
        for line in spool:
          verdict = json.loads(line)
          for event in verdict['events']:
            event['text'] = texts[event['lines'][0]]
          yield verdict

  def _judged(self) -> Iterator[dict[str, Any]]:
    """The verdicts without texts."""
    judge = Judge(self._model, self._threshold, self._known)
    parts = store.stream(self._system, ROWS, lines=True)
    places = array.array('d')  # of each session, see `cut_off`: 40 bytes
    for (sessions, lines), ends in zip(parts, store.last_times(self._system, ROWS)):
      for verdict in judge.verdicts(sessions, lines, ends):
        for end in (verdict['first'], verdict['last']):
          end['file'], end['line'] = manifests.locate(self.manifest, end['line'])
        times = (verdict[end]['time'] for end in ('first', 'last'))
        times = (math.nan if time is None else time for time in times)
        rows = verdict['first_line'], verdict['last_line']
        places.extend((*rows, *times, verdict['anomalous']))
        yield verdict
    seen, warnings = judge.seen, judge.warnings
    table = np.array(places).reshape(-1, 5)
    parted = cut_off if str(self.manifest['window']) == '0' else cut_windows
    if text := parted(table):
      warnings = [*warnings, text]
    self.summary = Summary(seen.sessions, seen.alerts, self.manifest, warnings)

  def to_polars(self) -> pl.DataFrame:
    """All verdicts as a frame, one row a session."""
    return pl.DataFrame(list(self), infer_schema_length=None)


def cut_off(places: np.ndarray) -> str:
  """Whether anomalous sessions may be so because the ends of the log cut them.

  Those may be cut that begin, or end, within a usual session's length of the log's
  beginning or end. A warning is due where, one aside, they are anomalous more than
  twice as often as the others; '' for none.

  Args:
    places: [S, 5] first and last line, first and last time (nan for none), anomalous.
  """
  if len(places) < _FEW:
    return ''
  timed = np.isfinite(places[:, 2:4]).all()
  first, last = places[:, 2:4].T if timed else places[:, :2].T
  length = np.quantile(last - first, 0.99)
  cut = (first - first.min() <= length) | (last.max() - last <= length)
  odd = places[:, 4] > 0
  if cut.mean() > 0.5:
    return ''
  usual = odd[~cut].mean() * cut.sum()
  if odd[cut].sum() <= 2 * usual + (usual > 0):
    return ''
  return (
    f'{odd[cut].sum():,} of the {odd.sum():,} anomalous sessions stand at the ends of '
    'the log, and may have begun before it or end after it: they are judged by the '
    'part that is here; give the logs before and after it too'
  )


def cut_windows(places: np.ndarray) -> str:
  """Whether the first or last window may be anomalous because the log cuts it.

  A warning is due where it has fewer than half of the usual lines; '' for none, and
  where windows of several groups interleave, so that lines say nothing of their size.

  Args:
    places: see `cut_off`.
  """
  if len(places) < _FEW:
    return ''
  first, last = places[np.argsort(places[:, 0]), :2].T
  if (first[1:] <= last[:-1]).any():
    return ''
  first, last = places[:, :2].T
  lines = last - first + 1
  usual = np.median(lines)
  ends = {'first': np.argmin(first), 'last': np.argmax(last)}
  cut = [
    f'the {name} ({lines[i]:,.0f} of usually {usual:,.0f} lines)'
    for name, i in ends.items()
    if places[i, 4] and lines[i] < usual / 2
  ]
  if not cut:
    return ''
  return (
    f'of the windows {" and ".join(cut)} may be anomalous because the log is '
    'cut there: give the lines before or after it too'
  )


def detect(
  model: models.Model,
  logs: Sequence[str | os.PathLike] | str | os.PathLike,
  threshold: float | None = None,
  changes: dict[str, Any] | None = None,
  workers: int = 1,
  progress: Callable[[int], Any] = bool,
) -> Verdicts:
  """Reads `logs` and judges every session, in order of first appearance.

  A line that the training never had gets the template it matches or the nearest one,
  else the unknown event, whose vector is the mean of all events. Where vectors
  come from an encoder, such lines are mined, and their templates are events too.

  Args:
    logs: a file, or files in order; '-' is standard input.
    threshold: scores above it are anomalous; None: the one of the run.
    changes: fields of systems.Options to change, e.g. {'format': REGEX}.

  Raises:
    UserError: the model has no templates or threshold, or the lines do not fit the
      format.
  """
  frozen = templates_of(model)
  threshold = threshold_of(model, threshold)
  logs = (logs,) if isinstance(logs, str | os.PathLike) else logs
  options = dataclasses.replace(
    model.options,
    logs=tuple(map(str, logs)),
    labels='',
    fit='all',
    keep_lines=True,
    **(changes or {}),
  )
  folder = tempfile.TemporaryDirectory(prefix='metalog_detect_')
  grow = sources.can_extend(model.embedding)
  out = pathlib.Path(folder.name) / 'system'
  systems.prepare(options, out, frozen, workers, progress, grow)
  return Verdicts(model, folder, threshold)


def templates_of(model: models.Model) -> templates.Templates:
  """The templates that new lines are given.

  Raises:
    UserError: the model was trained on session files.
  """
  if model.templates is None:
    raise errors.UserError(
      'the model was trained on session files and knows no raw lines: '
      'prepare the target from --logs, train again, then detect'
    )
  return model.templates


def threshold_of(model: models.Model, threshold: float | None) -> float:
  """The threshold that is given, else the run's.

  Raises:
    UserError: there is neither, or it is no number.
  """
  threshold = model.threshold if threshold is None else threshold
  if threshold is None:
    raise errors.UserError(
      'the run has no threshold for its target: with --alert_rate each test set has '
      f'its own, and {types.REST} was not in --test; give --threshold'
    )
  if not math.isfinite(threshold):
    raise errors.UserError(f'--threshold={threshold}: give a number')
  return threshold


@contextlib.contextmanager
def writer(
  out: str | os.PathLike, logs: Sequence[str], workdir: str | os.PathLike
) -> Iterator[Callable[[dict[str, Any]], None]]:
  """Gives a function that writes one verdict a line; a file appears when it is whole.

  Args:
    out: a file, or '-' for standard output.
    logs, workdir: what is read, and may not be written.

  Raises:
    UserError: `out` is one of their files, or cannot be written; before any work.
  """
  if str(out) == '-':
    yield lambda verdict: print(json.dumps(verdict))
    sys.stdout.flush()
    return
  check_output(out, logs, workdir)
  with atomic.writing(out) as partial, open(partial, 'w', encoding='utf-8') as file:
    yield lambda verdict: print(json.dumps(verdict), file=file)


def check_output(
  out: str | os.PathLike, logs: Sequence[str], workdir: str | os.PathLike
) -> None:
  """Refuses (UserError) a file of verdicts that is read, or cannot be written."""
  read = files.expand([log for log in logs if log != '-'])
  atomic.check_output(out, [*read, *pathlib.Path(workdir).rglob('*')])


def _or_none(time: float) -> float | None:
  return None if math.isnan(time) else float(time)


def _top(texts, events, lines, share) -> list[dict[str, Any]]:
  """The events that weigh most, each once, with the lines where it stands."""
  total: collections.Counter = collections.Counter()
  places = collections.defaultdict(list)
  for event, line, weight in zip(events.tolist(), lines.tolist(), share.tolist()):
    total[event] += weight
    places[event].append(line)
  return [
    {
      'template': texts[event],
      'weight': round(weight, 4),
      'lines': places[event][:TOP],
      'times': len(places[event]),
    }
    for event, weight in total.most_common(TOP)
  ]
