"""Judges raw logs with a trained model: one JSON line per session.

  metalog detect --model=runs/demo/train --logs=new.log --out=verdicts.jsonl
  zcat new.log.gz | metalog detect --model=runs/demo/train --logs=- --out=-

Lines are read as the target system's were when the model was trained.
"""

import contextlib
import pathlib
import sys

from metalog_jax import atomic
from metalog_jax.cli import main as programs
from metalog_jax.cli import progress
from metalog_jax.cli.options import Flag

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


def main(values, rest: list[str]) -> None:
  """Loads the model, judges the logs, says how many were anomalous."""
  from metalog_jax import machine  # jax: not for --help
  from metalog_jax.runs import detect, model

  changes = {name: values[name].value for name in ('format', 'max_bad_lines')}
  changes = {name: value for name, value in changes.items() if value is not None}
  with _output(values.out, values.logs) as file:
    machine.use()
    loaded = model.load(pathlib.Path(values.model))
    progress.say_what_is_waited_for(values.logs)
    summary = detect.detect(
      loaded,
      tuple(values.logs),
      lambda line: print(line, file=file),
      values.threshold,
      changes,
      values.workers,
    )
  print(programs.printable(str(summary)), file=sys.stderr)


@contextlib.contextmanager
def _output(path: str, inputs: list[str]):
  """Standard output, or a file that appears when it is whole."""
  if path == '-':
    yield sys.stdout
    return
  atomic.check_output(path, inputs)
  with atomic.writing(path) as partial, open(partial, 'w', encoding='utf-8') as file:
    yield file
