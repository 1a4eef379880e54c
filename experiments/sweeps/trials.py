"""Trials on disk: which are finished, who is at one; one after another is run.

A sweep folder has sweep.json (the rows), trials/ (run folders), logs/ (what each
printed), attempts.jsonl (how each ended) and locks/. A trial is finished when its
run folder has result.json. A trial dies with its sweep, however that ends. Who works at
a trial holds the lock of its file, and so does the process that it starts: where the
system does not end that process, the next sweep waits for it.
"""

import contextlib
import datetime
import fcntl
import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.sweeps import table_files
from metalog_jax import atomic, errors
from metalog_jax.cli import peers

Trial = table_files.Trial


class Attempt(NamedTuple):
  """How one process of a trial ended."""

  trial: str
  code: int  # of exit; negative: of the signal
  seconds: float
  at: float  # seconds of the clock


def is_finished(out: pathlib.Path, trial: Trial) -> bool:
  """Whether a trial has its result."""
  return (out / 'trials' / trial.name / 'result.json').exists()


def command(out: pathlib.Path, trials: Sequence[Trial]) -> list[str]:
  """What runs trials of one row in one program, or goes on with them."""
  program = [sys.executable, '-m', 'experiments.train', '--noreport']
  last = [f'--seed={trials[0].seed}', f'--workdir={out / "trials" / trials[0].name}']
  if len(trials) > 1:
    folder = out / 'trials' / f'{trials[0].row.key}-seed{{seed}}'
    numbers = ','.join(str(trial.seed) for trial in trials)
    last = [f'--seeds={numbers}', f'--workdir={folder}']
  return [*program, table_files.METHOD, *trials[0].row.flags, *last]


def groups(every: Sequence[Trial], side_by_side: bool) -> list[list[Trial]]:
  """What each process runs: one trial, or all that differ by their seed alone."""
  rows: dict[str, list[Trial]] = {}
  for trial in every:
    rows.setdefault(trial.row.key if side_by_side else trial.name, []).append(trial)
  return [*rows.values()]


def start(out: pathlib.Path, table: table_files.Table) -> None:
  """Makes the sweep folder, or checks that the one there is of this table.

  Raises:
    UserError: it holds a row of the same name with other flags, or is no sweep folder.
  """
  path = out / 'sweep.json'
  fields = table._asdict() | {'rows': {row.key: row._asdict() for row in table.rows}}
  record = json.loads(atomic.to_json(fields))
  try:
    before = json.loads(path.read_text()) if path.exists() else {'rows': {}}
    rows = {key: (row, row['flags']) for key, row in before['rows'].items()}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.UserError(
      f'{path} is not what sweep writes ({error}): give another --out'
    ) from error
  for key, (row, flags) in rows.items():
    if record['rows'].setdefault(key, row)['flags'] != flags:
      raise errors.UserError(
        f'{out} holds row {key} with other flags ({" ".join(flags)}): give another '
        '--out'
      )
  for name in ('trials', 'logs', 'locks'):
    (out / name).mkdir(parents=True, exist_ok=True)
  if record != before:
    atomic.write_json(path, record)


@contextlib.contextmanager
def claim(lock: pathlib.Path, wait: bool = False) -> Iterator[int | None]:
  """The descriptor of the locked file; None where another process has it."""
  descriptor: int | None = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
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


def _attempt(
  out: pathlib.Path, group: Sequence[Trial], locks: Sequence[int]
) -> Attempt:
  """Runs trials of one row to their end; a signal here stops it where it can go on."""
  begin = time.time()
  logs = [out / 'logs' / f'{trial.name}.txt' for trial in group]
  for path in logs:
    path.unlink(missing_ok=True)
  with logs[0].open('wb') as log:
    for path in logs[1:]:
      os.link(logs[0], path)
    process = subprocess.Popen(
      command(out, group),
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      pass_fds=locks,
      preexec_fn=functools.partial(peers.die_with_parent, os.getpid()),
    )
    try:
      code = process.wait()
    except BaseException:
      process.terminate()
      process.wait()
      raise
  now = time.time()
  each = Attempt('', code, round((now - begin) / len(group), 3), now)
  with (out / 'attempts.jsonl').open('a') as file:
    for trial in group:
      file.write(json.dumps(each._replace(trial=trial.name)._asdict()) + '\n')
  return each._replace(seconds=now - begin)


def attempts(out: pathlib.Path) -> list[Attempt]:
  """Every attempt so far; a line that a kill cut short is left out."""
  path, ended = out / 'attempts.jsonl', []
  for line in path.read_text().splitlines() if path.exists() else []:
    with contextlib.suppress(ValueError, TypeError):
      ended.append(Attempt(**json.loads(line)))
  return ended


def last_line(out: pathlib.Path, trial: Trial) -> str:
  """The last line that the trial printed."""
  path = out / 'logs' / f'{trial.name}.txt'
  text = path.read_text(errors='replace') if path.exists() else ''
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return lines[-1] if lines else 'it printed nothing'


def run_trials(
  out: pathlib.Path,
  every: Sequence[Trial],
  say: Callable[[str], None],
  side_by_side: bool = False,
) -> list[Trial]:
  """Runs every trial that is not finished; first those that nobody else is at.

  Args:
    side_by_side: trials that differ by their seed alone are one process.

  Returns:
    Those that failed.
  """
  begin, elsewhere = time.time(), []
  for group in groups(every, side_by_side):
    elsewhere += _group(out, group, every, begin, say, wait=False)
  for trial in elsewhere:
    say(f'{trial.name}: another process is at it; waiting')
    _group(out, [trial], every, begin, say, wait=True)
  return [trial for trial in every if not is_finished(out, trial)]


def _group(out, group, every, begin: float, say, wait: bool) -> list[Trial]:
  """Runs the trials of a group that are due; returns those that others are at."""
  due, locks, elsewhere = [], [], []
  with contextlib.ExitStack() as stack:
    for trial in group:
      lock = stack.enter_context(claim(out / 'locks' / trial.name, wait))
      if lock is None:
        elsewhere.append(trial)
      elif not is_finished(out, trial) and not _failed_since(out, trial, begin):
        due.append(trial)
        locks.append(lock)
    if due:
      name = ', '.join(trial.name for trial in due)
      say(f'{name}: begins')
      attempt = _attempt(out, due, locks)
      if all(is_finished(out, trial) for trial in due):
        say(f'{name}: {_clock(attempt.seconds)}; {progress(out, every)}')
      else:
        why = last_line(out, due[0])
        say(f'{name}: FAILED, exit code {attempt.code}: {why}')
  return elsewhere


def _failed_since(out: pathlib.Path, trial: Trial, begin: float) -> bool:
  """Another sweep may have tried it in the meantime."""
  return any(
    attempt.trial == trial.name and attempt.at > begin for attempt in attempts(out)
  )


def progress(out: pathlib.Path, every: Sequence[Trial]) -> str:
  """What is done and left."""
  finished = sum(is_finished(out, trial) for trial in every)
  left = len(every) - finished
  return f'{finished} of {len(every)} trials finished' + (f', {left} left' * (left > 0))


def _clock(seconds: float) -> str:
  """Hours, minutes and seconds: 3:20:00."""
  return str(datetime.timedelta(seconds=round(seconds)))
