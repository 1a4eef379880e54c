"""Judges raw logs with a trained model: one JSON line per session.

  metalog detect --model=runs/demo/train --logs=new.log --out=verdicts.jsonl
  zcat new.log.gz | metalog detect --model=runs/demo/train --logs=- --out=-
  metalog detect --model=runs/demo/train --logs=app.log --follow --state=live

Lines are read as the target system's were when the model was trained. With --follow it
goes on as files grow, rotate and are truncated; a verdict comes when a session ends.
"""

import contextlib
import json
import signal
import sys
from typing import Any

from metalog_jax import clean, lazy
from metalog_jax.cli import progress
from metalog_jax.cli.options import Flag, refuse_without

api = lazy.module('metalog_jax.api')
detect = lazy.module('metalog_jax.runs.detect')
follow = lazy.module('metalog_jax.runs.follow')
folder = lazy.module('metalog_jax.runs.folder')
sinks = lazy.module('metalog_jax.scanning.sinks')

FLAGS = (
  Flag('model', None, 'a finished run folder of `metalog train`', required=True),
  Flag('logs', [], 'log files in order, compressed or not; - is standard input',
       required=True),
  Flag('out', '-', 'file for the verdicts; - is standard output'),
  Flag('threshold', None, "scores above it are anomalous; none: the run's", kind=float),
  Flag('format', None, 'named-group regex, in place of the one in training'),
  Flag('max_bad_lines', None, 'share or number of unreadable lines allowed'),
  Flag('workers', 1, 'processes that parse', low=1),
  Flag('follow', False, 'go on as files grow and rotate; verdicts as sessions end'),
  Flag('state', '', 'folder to go on from after an end or a kill (with --follow)'),
  Flag('timeout', '', 'log time (10m), or lines, without a line that end a session '
       '(with --follow); none: 1h, or the length of a window'),
  Flag('sessions', 50_000, 'open at once; beyond, the quietest ends (with --follow)',
       low=1),
  Flag('metrics', '', 'file for Prometheus metrics (with --follow)'),
  Flag('metrics_port', None, 'port that serves them; 0: a free one', kind=int, low=0,
       high=65535),
  Flag('metrics_host', '127.0.0.1', 'address of that port; 0.0.0.0: for all machines'),
)  # fmt: skip
_LIVE = ('state', 'timeout', 'sessions', 'metrics', 'metrics_port', 'metrics_host')


def check(values: Any) -> None:
  """Refuses flags that mean nothing here."""
  refuse_without(values, 'follow', _LIVE)


def main(values: Any, rest: list[str]) -> int:
  """Judges the logs with the model, says how many were anomalous."""
  changes = {name: values[name].value for name in ('format', 'max_bad_lines')}
  changes = {name: value for name, value in changes.items() if value is not None}
  if values.follow:
    return _follow(values, changes)
  with detect.writer(values.out, values.logs, values.model) as write:
    run = api.load(values.model)
    progress.say_what_is_waited_for(values.logs)
    verdicts = run.detect(values.logs, values.threshold, values.workers, **changes)
    for verdict in verdicts:
      write(verdict)
  summary = verdicts.summary
  for line in (*(f'warning: {text}' for text in summary.warnings), summary):
    _say(line)
  return 0


def _say(text: Any) -> None:
  print(clean.printable(str(text)), file=sys.stderr, flush=True)


def _follow(values: Any, changes: dict[str, Any]) -> int:
  """Follows until Ctrl-C (exit code 130), SIGTERM or the end of input (0)."""
  note = lambda text: _say(f'note: {text}')
  run = api.load(values.model)
  metrics = sinks.Metrics(values.metrics, values.metrics_port, values.metrics_host)
  if metrics.url:
    note(f'metrics: {metrics.url}')
  options = follow.Options(
    values.threshold,
    values.timeout,
    values.sessions,
    values.state,
    values.out,
    folder.fingerprint(values.model),
    changes,
  )
  with contextlib.ExitStack() as stack:
    write: Any = bool  # the file that a state belongs to is written with it
    if values.out == '-':
      write = lambda verdict: print(json.dumps(verdict), flush=True)
    else:
      detect.check_output(values.out, values.logs, values.model)
      if not values.state:
        file = stack.enter_context(open(values.out, 'w', encoding='utf-8'))
        write = lambda verdict: print(json.dumps(verdict), file=file, flush=True)
    watcher = follow.Watcher(
      run.model, values.logs, options, write, note, lambda x: metrics.show(x.metrics)
    )
    watcher.run()
  metrics.show(watcher.metrics, last=True)
  _say(watcher)
  return 130 if watcher.stopped == signal.SIGINT else 0
