"""What is done to a job: kinds of torture, each a number of tries.

A try is `(kind, job, number, seed)` and draws all that is random from these. It ends
with what came of it: `fine`, or what is wrong.
"""

import pathlib
import random
import resource
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from experiments.tortures import disks, jobs
from experiments.tortures.children import (
  Call,
  Child,
  Fresh,
  kill_at,
  on_file_operation,
  said_file,
)

FRESH = 0.04  # share of tries whose processes import all by themselves
IMPORTS = 4.0  # seconds that it takes, about


class Try(NamedTuple):
  """Where a try runs, and what it draws from."""

  target: str  # of jobs.JOBS
  inputs: pathlib.Path
  place: pathlib.Path
  draw: random.Random
  operations: int  # file operations of the job when nothing is done to it
  seconds: float
  made: jobs.Made  # what it must make

  @property
  def job(self) -> jobs.Job:
    return jobs.JOBS[self.target]


class Outcome(NamedTuple):
  """What came of a try."""

  hits: int  # how often something was done
  faults: list[str]  # 'KIND: what', of lost, doubled, different, half, refused, ...
  note: str = ''  # of what is no fault


def compare(made: jobs.Made, expected: jobs.Made) -> list[str]:
  """Faults of a finished job."""
  faults = []
  for name, rows in expected.items():
    now = made.get(name, [])
    lost = [row for row in rows if rows.count(row) > now.count(row)]
    more = [row for row in now if now.count(row) > rows.count(row)]
    if lost and more:
      faults.append(f'different: {name}: {more[0][:200]} for {lost[0][:200]}')
    elif lost:
      faults.append(f'lost: {name}: {lost[0][:200]}')
    elif more:
      faults.append(f'doubled: {name}: {more[0][:200]}')
    elif now != rows:
      faults.append(f'different: {name}: order')
  return faults


def _start(this: Try, before: Call = bool) -> Child:
  return Child(this.job.call(this.inputs), this.place, before)


def _fresh(this: Try, operation: int = 0, number: int = 0) -> Fresh:
  """The job in a new process, which gets a signal at a file operation, if not 0."""
  words = [this.target, str(this.inputs), str(operation), str(int(number))]
  return Fresh(['-m', 'experiments.tortures.jobs', *words], this.place)


def _half(this: Try) -> list[str]:
  try:
    this.job.check(this.place)
  except AssertionError as error:
    return [f'half: {error}']
  return []


def _finish(this: Try, child: Child | None = None) -> list[str]:
  """Runs the job to its end with nothing done to it; its faults."""
  child = child or _start(this)
  code = child.wait()
  if code is None:
    return ['hung: at the end']
  if code:
    return [f'refused: exit code {code}: {child.said[-300:]}']
  faults = compare(this.job.made(this.place), this.made)
  return faults + [f'left: {name}' for name in jobs.leftovers(this.place)]


def _interrupted(this: Try, number: int, moments: int) -> Outcome:
  """Signals at random moments, of the clock or of file operations, then to the end."""
  hits, faults, fresh = 0, [], this.draw.random() < FRESH
  for moment in range(moments):
    this.job.put(this.inputs, this.place, moment / moments)
    after = this.draw.uniform(0, this.seconds + fresh * IMPORTS)
    operation = this.draw.randint(1, this.operations) if this.draw.random() < 0.5 else 0
    if operation:  # or by the clock, where the operation does not come
      after = 2 * (this.seconds + fresh * IMPORTS)
    if fresh:
      child: Child = _fresh(this, operation, number)
    else:
      child = _start(this, kill_at(operation, number) if operation else bool)
    end = time.monotonic() + after
    while child.is_alive() and time.monotonic() < end:
      time.sleep(1e-3)
    child.send(number, group=this.draw.random() < 0.5)
    code = child.wait()
    faults += ['hung: after the signal'] if code is None else _half(this)
    was_hit = code == -number or number != signal.SIGKILL
    hits += was_hit
    if not was_hit and code:
      faults.append(f'refused: exit code {code}: {child.said[-300:]}')
    if 'Traceback' in child.said:
      faults.append(f'traceback: {child.said[-300:]}')
  this.job.put(this.inputs, this.place, 1.0)
  last = _fresh(this) if fresh else None
  note = 'fresh processes' if fresh else ''
  return Outcome(hits, faults + _finish(this, last), note)


def kills(this: Try) -> Outcome:
  """SIGKILL, three to ten times."""
  return _interrupted(this, signal.SIGKILL, this.draw.randint(3, 10))


def terminates(this: Try) -> Outcome:
  """SIGTERM, one to three times."""
  return _interrupted(this, signal.SIGTERM, this.draw.randint(1, 3))


def stops(this: Try) -> Outcome:
  """SIGSTOP and SIGCONT, three times in one process."""
  _put_all(this)
  child, hits = _start(this), 0
  for _ in range(3):
    time.sleep(this.draw.uniform(0, this.seconds / 4))
    hits += child.is_alive()
    child.send(signal.SIGSTOP)
    time.sleep(this.draw.uniform(0.05, 0.5))
    child.send(signal.SIGCONT)
  return Outcome(hits, _finish(this, child))


def _put_all(this: Try) -> None:
  this.job.put(this.inputs, this.place, 0.0)
  this.job.put(this.inputs, this.place, 1.0)
  said_file(this.place).unlink(missing_ok=True)


def _refused(this: Try, child: Child) -> tuple[list[str], str]:
  """Faults of a job that cannot be done, which is to end with one sentence and no half
  of anything; and the last line that it says."""
  code, said = child.wait(), child.said.strip()
  note = (said.splitlines() or [''])[-1]
  if code is None:
    return ['hung: where it cannot be done'], note
  faults = _half(this)
  if code and ('Traceback' in said or 'internal fault' in said):
    faults.append(f'traceback: {said[-500:]}')
  elif code not in (0, 1):
    faults.append(f'dump: exit code {code}: {said[-300:]}')
  return faults, note


def full(this: Try) -> Outcome:
  """A disk that is full after a random share of what the job needs; then a larger."""
  with disks.small(this.place) as resize:
    _put_all(this)
    left = round(2 ** this.draw.uniform(12, 20))
    resize(disks.used(this.place) + left)
    child = _start(this)
    faults, note = _refused(this, child)
    resize(1 << 28)
    return Outcome(1, faults + _finish(this), note)


def readonly(this: Try) -> Outcome:
  """A disk that turns read-only at a random moment; then it can be written again."""
  with disks.small(this.place) as resize:
    _put_all(this)
    resize(1 << 28)
    child = _start(this)
    time.sleep(this.draw.uniform(0, this.seconds) * this.draw.choice([0, 0.5, 1]))
    disks.turn(this.place, readonly=True)
    faults, note = _refused(this, child)
    disks.turn(this.place, readonly=False)
    return Outcome(1, faults + _finish(this), note)


def quota(this: Try) -> Outcome:
  """The kernel refuses to let a file grow, in the middle of a write."""
  _put_all(this)
  most = round(10 ** this.draw.uniform(3, 5.5))  # what it says fits

  def limit() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

  child = _start(this, limit)
  faults, note = _refused(this, child)
  return Outcome(1, faults + _finish(this), f'{most} bytes: {note}')


def memory(this: Try) -> Outcome:
  """`ulimit -v` at a random share of what the job needs."""
  _put_all(this)
  now = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096
  most = now + round(2 ** this.draw.uniform(20, 30.5))
  limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))
  child = _start(this, limit)
  faults, note = _refused(this, child)
  return Outcome(1, faults + _finish(this), f'{most >> 20} MiB: {note}')


def two(this: Try) -> Outcome:
  """Two processes in one folder."""
  _put_all(this)
  one = _start(this)
  time.sleep(this.draw.uniform(0, this.seconds) * this.draw.choice([0, 0.2, 1]))
  other = _start(this)
  codes = [one.wait(), other.wait()]
  faults = [] if 0 in codes else [f'refused: both: {one.said[-500:]}']
  faults += ['hung: one of two'] * (None in codes)
  said = one.said  # of both
  if 'Traceback' in said or 'internal fault' in said:
    faults.append(f'traceback: {said[-500:]}')
  note = f'exit codes {codes}'
  return Outcome(1, faults + _half(this) + _finish(this), note)


def clock(this: Try) -> Outcome:
  """The clock is set forth and back, by seconds to years, at file operations."""
  _put_all(this)
  shift, real = [0.0], (time.time, time.time_ns)
  seed = this.draw.random()

  def before() -> None:
    draw = random.Random(seed)

    def step(number: int) -> None:
      if draw.random() < 0.3:
        shift[0] = draw.choice([-1, 1]) * 10 ** draw.uniform(0, 8)

    time.time = lambda: real[0]() + shift[0]
    time.time_ns = lambda: real[1]() + int(shift[0] * 1e9)
    on_file_operation(step)()

  return Outcome(1, _finish(this, _start(this, before)))


def slow(this: Try) -> Outcome:
  """A disk of which every operation takes a while."""
  _put_all(this)
  wait = this.draw.uniform(0.001, 0.02)
  act = on_file_operation(lambda _: time.sleep(wait))
  return Outcome(1, _finish(this, _start(this, act)))


KINDS: dict[str, Callable[[Try], Outcome]] = {
  function.__name__: function
  for function in (kills, terminates, stops, full, readonly, quota, memory, two, clock,
                   slow)
}  # fmt: skip
