"""Lines in, verdicts out, with the templates and weights of a trained model."""

import collections
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import sources
from metalog_jax.evaluation import scoring
from metalog_jax.logs import raw, store, systems, templates
from metalog_jax.runs import model as models

ROWS = 4096  # sessions scored at a time: bounds the memory
TOP = 5  # events named in a verdict


class Summary(NamedTuple):
  """What was judged."""

  sessions: int
  anomalous: int
  manifest: dict[str, Any]  # of the System that the lines made

  def __str__(self) -> str:
    how = self.manifest['assignment']
    new = ', '.join(f'{how[name]:,} {name}' for name in templates.HOW)
    return (
      f'{self.anomalous:,} of {self.sessions:,} sessions anomalous; '
      f'{self.manifest["lines"]:,} lines, {self.manifest["bad_lines"]:,} bad; '
      f'templates: {new}'
    )


def detect(
  model: models.Model,
  logs: tuple[str, ...],
  write: Callable[[str], Any],
  threshold: float | None = None,
  changes: dict[str, Any] | None = None,
  workers: int = 1,
  progress: Callable[[int], Any] = bool,
) -> Summary:
  """Judges every session of `logs`, in order of first appearance.

  A line that the training never had gets the template it matches or the nearest one,
  else the unknown event, whose vector is the mean of all events. Where vectors
  come from an encoder, such lines are mined, and their templates are events too.

  Args:
    logs: files in order; '-' is standard input.
    write: takes one JSON line (without its end) per session.
    threshold: scores above it are anomalous; None: the one of the run.
    changes: fields of systems.Options to change, e.g. {'format': REGEX}.

  Raises:
    UserError: the model has no templates, or the lines do not fit the format.
  """
  if model.templates is None:
    raise errors.UserError(
      'the model was trained on session files and knows no raw lines: '
      'prepare the target from --logs, train again, then detect'
    )
  options = dataclasses.replace(
    model.options, logs=logs, labels='', fit='all', keep_lines=True, **(changes or {})
  )
  threshold = model.threshold if threshold is None else threshold
  counts = collections.Counter()
  with tempfile.TemporaryDirectory(prefix='metalog_detect_') as folder:
    out = pathlib.Path(folder) / 'system'
    grow = sources.can_extend(model.embedding)
    manifest = systems.prepare(options, out, model.templates, workers, progress, grow)
    found = templates.Templates.load(out / raw.TEMPLATES).texts
    known, model = len(model.texts), models.extend(model, found)
    for verdict in verdicts(model, out, threshold, known):
      write(json.dumps(verdict))
      counts[verdict['anomalous']] += 1
  return Summary(counts.total(), counts[True], manifest)


def verdicts(
  model: models.Model, folder: pathlib.Path, threshold: float, known: int | None = None
) -> Iterator[dict[str, Any]]:
  """Yields the verdict on every session of a System folder made with keep_lines.

  Args:
    known: how many of the model's events the training had; None: all.
  """
  known = len(model.texts) if known is None else known
  scorer = scoring.Scorer(model.detector)
  for sessions, lines in store.stream(folder, ROWS, lines=True):
    data = types.Dataset('', sessions, model.vectors)
    scores = scorer.scores(model.state, data)
    shares = scorer.weights(model.state, data)
    for i, (score, share) in enumerate(zip(scores, shares)):
      part = slice(sessions.offsets[i], sessions.offsets[i + 1])
      events = sessions.events[part]
      yield {
        'session_id': str(sessions.ids[i]),
        'first_line': int(sessions.first_lines[i]),
        'last_line': int(sessions.last_lines[i]),
        'score': float(score),
        'anomalous': bool(score > threshold),
        'unknown_events': int(np.sum((events == types.UNKNOWN) | (events >= known))),
        'events': _top(model.texts, events, lines[part], share),
      }


def _top(texts, events, lines, share) -> list[dict[str, Any]]:
  """The events that weigh most, each once, with the lines where it stands."""
  total = collections.Counter()
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
