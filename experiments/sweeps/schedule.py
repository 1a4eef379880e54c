"""One trial after another, until all are finished or failed."""

import pathlib
import time
from collections.abc import Callable, Sequence

from experiments.sweeps import trials


def run(
  out: pathlib.Path, every: Sequence[trials.Trial], say: Callable[[str], None]
) -> list[trials.Trial]:
  """Runs every trial that is not finished; first those that nobody else is at.

  Returns:
    Those that failed.
  """
  begin, elsewhere = time.time(), []
  for trial in every:
    if not _one(out, trial, every, begin, say, wait=False):
      elsewhere.append(trial)
  for trial in elsewhere:
    say(f'{trial.name}: another process is at it; waiting')
    _one(out, trial, every, begin, say, wait=True)
  return [trial for trial in every if not trials.is_finished(out, trial)]


def _one(out, trial, every, begin: float, say, wait: bool) -> bool:
  """Runs a trial if it is due; False where another process has it."""
  with trials.claim(trials.lock_file(out, trial), wait) as lock:
    if lock is None:
      return False
    if trials.is_finished(out, trial) or _failed_since(out, trial, begin):
      return True
    say(f'{trial.name}: begins')
    attempt = trials.run(out, trial, lock)
    if trials.is_finished(out, trial):
      say(f'{trial.name}: {clock(attempt.seconds)}; {progress(out, every)}')
    else:
      why = trials.last_line(out, trial)
      say(f'{trial.name}: FAILED, exit code {attempt.code}: {why}')
  return True


def _failed_since(out: pathlib.Path, trial: trials.Trial, begin: float) -> bool:
  """Another sweep may have tried it in the meantime."""
  return any(
    attempt.trial == trial.name and attempt.at > begin
    for attempt in trials.attempts(out)
  )


def progress(out: pathlib.Path, every: Sequence[trials.Trial]) -> str:
  """What is done and left, and how long that may take."""
  left = [trial for trial in every if not trials.is_finished(out, trial)]
  text = f'{len(every) - len(left)} of {len(every)} trials finished'
  if not left:
    return text
  seconds = trials.seconds_left(out, left)
  time_left = 'time unknown' if seconds is None else f'about {clock(seconds)}'
  return f'{text}, {len(left)} left, {time_left}'


def clock(seconds: float) -> str:
  """A time for a reader.

  >>> clock(8.4), clock(200), clock(12_000)
  ('8 s', '3 min 20 s', '3 h 20 min')
  """
  seconds = round(seconds)
  if seconds < 60:
    return f'{seconds} s'
  minutes, rest = divmod(seconds, 60)
  if minutes < 60:
    return f'{minutes} min {rest} s'
  return f'{minutes // 60} h {minutes % 60} min'
