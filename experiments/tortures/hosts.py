"""Several processes that train one run together, as on several hosts, and lose one.

The others must end by themselves within a limit, with one sentence each; the same
command, with as many processes or with others, goes on from the last checkpoint.
"""

import json
import pathlib
import random
import shutil
import signal
import socket
import threading
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from experiments.tortures import children, jobs
from experiments.tortures.kinds import Outcome
from metalog_jax import atomic

TIMEOUT = 5  # seconds: --peer_timeout, where one is going to be lost
LIMIT = 5 * TIMEOUT + 65  # of the survivors; a busy machine needs some of it
FRESH = 0.1  # share of tries whose processes import and compile all by themselves
CHANGED = 2e-3  # of scores, where sums are parted otherwise


def start(
  inputs: pathlib.Path,
  place: pathlib.Path,
  number: int,
  timeout: int = 60,
  fresh: bool = False,
) -> list[children.Child]:
  """So many processes of one run in `place`, which need not be new."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  arguments = ['train', *jobs.train_flags(inputs, 8), f'--workdir={place}/run']
  started: list[children.Child] = []
  for i in range(number):
    own = place / f'said_{i}'
    own.mkdir(exist_ok=True)
    children.said_file(own).unlink(missing_ok=True)
    joined = [f'--coordinator=127.0.0.1:{port}', f'--processes={number}',
              f'--process={i}', f'--peer_timeout={timeout}']  # fmt: skip
    words = [*arguments, '--distributed', *joined]
    if fresh:
      cache = str(place / f'cache_{i}')
      alone = children.Fresh(
        ['-m', 'metalog_jax', *words], own, JAX_COMPILATION_CACHE_DIR=cache
      )
      started.append(alone)
    else:
      started.append(children.Child(children.metalog(words), own))
  return started


def scores(place: pathlib.Path) -> np.ndarray:
  """Scores of the test sessions of a finished run.

  polars would wait forever here, if the process that forked this one had used it.
  """
  table = pq.read_table(place / 'run' / 'scores.parquet', use_threads=False)
  return table['score'].to_numpy()


def finish(inputs: pathlib.Path, place: pathlib.Path, number: int) -> list[str]:
  """Runs to the end; faults."""
  faults = []
  for i, child in enumerate(start(inputs, place, number)):
    code = child.wait(300)
    if code is None:
      faults.append(f'hung: at the end, process {i} of {number}')
    elif code:
      faults.append(f'refused: process {i}, exit code {code}: {child.said[-300:]}')
  return faults


def attempt(
  inputs: pathlib.Path, place: pathlib.Path, draw: random.Random, expected: Any
) -> Outcome:
  """One try; another, where it went wrong on a machine that stood still meanwhile, so
  that no process could be heard of. Args as of `_attempt`."""
  for _ in range(5):
    with Standstills() as watch:
      outcome = _attempt(inputs, place, draw, expected)
    if not outcome.faults or watch.most < TIMEOUT:
      break
    shutil.rmtree(place)
    place.mkdir()
  return outcome


class Standstills:
  """Measures for how long this process, which does nothing else, did not run."""

  def __init__(self) -> None:
    self.most = 0.0  # seconds
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._watch)

  def __enter__(self) -> 'Standstills':
    self._thread.start()
    return self

  def __exit__(self, *_: Any) -> None:
    self._done.set()
    self._thread.join()

  def _watch(self) -> None:
    before = time.monotonic()
    while not self._done.wait(0.5):
      now = time.monotonic()
      self.most, before = max(self.most, now - before), now


def _attempt(
  inputs: pathlib.Path, place: pathlib.Path, draw: random.Random, expected: Any
) -> Outcome:
  """Kills or freezes one process of 2 or 4, once or twice, then goes on.

  Args:
    expected: number of processes -> (seconds, scores) of a run that is left alone.
  """
  number = draw.choice([2, 2, 4])
  changes, fresh = draw.random() < 0.3, draw.random() < FRESH
  faults, notes, hits = [], [], 0
  for _ in range(draw.randint(1, 2)):
    victim, freezes = draw.randrange(number), draw.random() < 0.25
    running = start(inputs, place, number, TIMEOUT, fresh)
    time.sleep(draw.uniform(0, (1.2 + 3 * fresh) * expected[str(number)][0]))
    hit = running[victim].is_alive()
    hits += hit
    running[victim].send(signal.SIGSTOP if freezes else signal.SIGKILL)
    begin = time.monotonic()
    for i, child in enumerate(running):
      if i == victim:
        continue
      code = child.wait(max(1.0, LIMIT - (time.monotonic() - begin)))
      said = child.said.strip()
      if code is None:
        faults.append(f'hung: {LIMIT} s after {victim} of {number}: {said[-300:]}')
      elif code and (code != 1 or 'Traceback' in said or '0x' in said):
        faults.append(f'dump: exit code {code}: {said[-500:]}')
    notes.append(round(time.monotonic() - begin, 1) if hit else 0)
    running[victim].send(signal.SIGKILL)
    running[victim].wait()
  last = draw.choice([1, 2, 4]) if changes else number
  faults += finish(inputs, place, last)
  if not faults:
    now, then = scores(place), np.array(expected[str(number)][1])
    if last == number and not np.array_equal(now, then):
      faults.append(f'different: scores by {np.abs(now - then).max():.2g}')
    elif not np.allclose(now, then, rtol=CHANGED, atol=CHANGED):
      faults.append(f'different: scores by {np.abs(now - then).max():.2g}')
  ends = f'{number}{" fresh" * fresh} processes, then {last}; '
  ends += f'survivors ended after {notes} s'
  return Outcome(hits, faults, ends)


def expect(inputs: pathlib.Path, out: pathlib.Path) -> dict[str, Any]:
  """What `attempt` expects, measured once."""
  path = out / 'expected-hosts.json'
  if not path.exists():
    known = {}
    for number in (2, 4):
      for again in range(2):
        place = out / f'alone-hosts-{number}-{again}'
        place.mkdir(exist_ok=True)
        begin = time.monotonic()
        if faults := finish(inputs, place, number):
          raise RuntimeError(str(faults))
        seconds = time.monotonic() - begin
        values = scores(place).tolist()
        if again and values != known[str(number)][1]:
          raise RuntimeError(f'{number} processes give something else each time')
        known[str(number)] = seconds, values
    atomic.write_json(path, known)
  return json.loads(path.read_text())
