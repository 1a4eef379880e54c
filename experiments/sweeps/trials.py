"""Trials on disk: which are finished, who is at one, how one is run.

A sweep folder has sweep.json (the rows), trials/ (run folders), logs/ (what each
printed), attempts.jsonl (how each ended) and locks/. A trial is finished when its
run folder has result.json. Who works at a trial holds the lock of its file, and so
does the process that it starts: where a sweep is killed and its trial lives on, the
next sweep leaves that trial alone. The lock ends with the last of the two.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from experiments.sweeps import tables
from metalog_jax import errors

Trial = tables.Trial


class Attempt(NamedTuple):
  """How one process of a trial ended."""

  trial: str
  code: int  # of exit; negative: of the signal
  seconds: float
  at: float  # seconds of the clock


def workdir(out: pathlib.Path, trial: Trial) -> pathlib.Path:
  return out / 'trials' / trial.name


def is_finished(out: pathlib.Path, trial: Trial) -> bool:
  return (workdir(out, trial) / 'result.json').exists()


def command(out: pathlib.Path, trial: Trial) -> list[str]:
  """What runs the trial, or goes on with it."""
  own = [f'--seed={trial.seed}', f'--workdir={workdir(out, trial)}']
  program = [sys.executable, '-m', 'experiments.train', '--noreport']
  return [*program, *trial.row.flags, *own]


def start(out: pathlib.Path, table: tables.Table) -> None:
  """Makes the sweep folder, or checks that the one there is of this table.

  Raises:
    UserError: it holds a row of the same name with other flags.
  """
  for name in ('trials', 'logs', 'locks'):
    (out / name).mkdir(parents=True, exist_ok=True)
  path, mine = out / 'sweep.json', _record(table)
  theirs = json.loads(path.read_text()) if path.exists() else {'rows': {}}
  for key, row in theirs['rows'].items():
    if key in mine['rows'] and mine['rows'][key]['flags'] != row['flags']:
      raise errors.UserError(
        f'{out} holds row {key} with other flags ({" ".join(row["flags"])}): give '
        'another --out'
      )
  mine['rows'] |= {k: v for k, v in theirs['rows'].items() if k not in mine['rows']}
  if mine != theirs:
    temporary = path.with_name(f'sweep.json.{os.getpid()}')
    temporary.write_text(json.dumps(mine, indent=1) + '\n')
    os.replace(temporary, path)


def _record(table: tables.Table) -> dict[str, Any]:
  """What the report wants to know of a table, as JSON holds it."""
  rows = {r.key: {k: v for k, v in r._asdict().items() if k != 'key'}
          for r in table.rows}  # fmt: skip
  record = {**table._asdict(), 'rows': rows}
  return json.loads(json.dumps(record))


def lock_of(out: pathlib.Path, trial: Trial) -> pathlib.Path:
  return out / 'locks' / trial.name


@contextlib.contextmanager
def claim(lock: pathlib.Path, wait: bool = False) -> Iterator[int | None]:
  """The descriptor of the locked file; None where another process has it."""
  descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    os.close(descriptor)
    descriptor = None
  try:
    yield descriptor
  finally:
    if descriptor is not None:
      os.close(descriptor)


def run(out: pathlib.Path, trial: Trial, lock: int) -> Attempt:
  """Runs the trial to its end; a signal here stops it where it can go on."""
  begin = time.time()
  with (out / 'logs' / f'{trial.name}.txt').open('wb') as log:
    process = subprocess.Popen(
      command(out, trial),
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      pass_fds=[lock],
    )
    try:
      code = process.wait()
    except BaseException:
      process.terminate()
      process.wait()
      raise
  now = time.time()
  attempt = Attempt(trial.name, code, round(now - begin, 3), now)
  with (out / 'attempts.jsonl').open('a') as file:
    file.write(json.dumps(attempt._asdict()) + '\n')
  return attempt


def attempts(out: pathlib.Path) -> list[Attempt]:
  """Every attempt so far; a line that a kill cut short is left out."""
  path, found = out / 'attempts.jsonl', []
  for line in path.read_text().splitlines() if path.exists() else []:
    with contextlib.suppress(ValueError, TypeError):
      found.append(Attempt(**json.loads(line)))
  return found


def why(out: pathlib.Path, trial: Trial) -> str:
  """The last line that the trial printed."""
  path = out / 'logs' / f'{trial.name}.txt'
  text = path.read_text(errors='replace') if path.exists() else ''
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return lines[-1] if lines else 'it printed nothing'


def seconds_left(out: pathlib.Path, left: Sequence[Trial]) -> float | None:
  """How long trials may take; None where none is finished to judge by.

  A trial takes as long as those of its row took, or else as the average trial.
  """
  took: dict[str, float] = {}
  for attempt in attempts(out):
    took[attempt.trial] = took.get(attempt.trial, 0) + attempt.seconds
  took = {name: seconds for name, seconds in took.items()
          if (out / 'trials' / name / 'result.json').exists()}  # fmt: skip
  if not took:
    return None
  by_row: dict[str, list[float]] = {}
  for name, seconds in took.items():
    by_row.setdefault(name.rpartition('-seed')[0], []).append(seconds)
  mean = lambda values: sum(values) / len(values)
  anything = mean(list(took.values()))
  rows = {row: mean(of) for row, of in by_row.items()}
  return sum(rows.get(trial.row.key, anything) for trial in left)
