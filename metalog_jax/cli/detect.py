"""Judges raw logs with a trained model: one JSON line per session.

  metalog detect --model=runs/demo/train --logs=new.log --out=verdicts.jsonl
  zcat new.log.gz | metalog detect --model=runs/demo/train --logs=- --out=-

Lines are read as the target system's were when the model was trained.
"""

import sys
from typing import Any

from metalog_jax import clean, lazy
from metalog_jax.cli import progress
from metalog_jax.cli.options import Flag

api = lazy.module('metalog_jax.api')
detect = lazy.module('metalog_jax.runs.detect')

FLAGS = (
  Flag('model', None, 'a finished run folder of `metalog train`', required=True),
  Flag('logs', [], 'log files in order, compressed or not; - is standard input',
       required=True),
  Flag('out', '-', 'file for the verdicts; - is standard output'),
  Flag('threshold', None, "scores above it are anomalous; none: the run's", kind=float),
  Flag('format', None, 'named-group regex, in place of the one in training'),
  Flag('max_bad_lines', None, 'share or number of unreadable lines allowed'),
  Flag('workers', 1, 'processes that parse', low=1),
)  # fmt: skip


def main(values: Any, rest: list[str]) -> None:
  """Judges the logs with the model, says how many were anomalous."""
  changes = {name: values[name].value for name in ('format', 'max_bad_lines')}
  changes = {name: value for name, value in changes.items() if value is not None}
  with detect.writer(values.out, values.logs, values.model) as write:
    run = api.load(values.model)
    progress.say_what_is_waited_for(values.logs)
    verdicts = run.detect(values.logs, values.threshold, values.workers, **changes)
    for verdict in verdicts:
      write(verdict)
  summary = verdicts.summary
  for line in (*(f'warning: {text}' for text in summary.warnings), summary):
    print(clean.printable(line), file=sys.stderr)
