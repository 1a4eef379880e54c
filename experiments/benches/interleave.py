"""Takes samples of many variants in turn, each variant in a process that stays."""

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from experiments.benches import bench_machine, worker
from metalog_jax import errors

QUIET = 0.15  # cores that others may use during a sample that counts
TRIES = 4  # times the samples wanted, at most
WORKER_GIB = 2.5  # memory that one process is reckoned to need
SAMPLE_SECONDS = 300  # that one sample may take

Spec = tuple[dict[str, Any], dict[str, str]]  # of `worker`, and its environment


class Options(NamedTuple):
  """What the user asked for; see the flags of `experiments.bench`."""

  samples: int
  variants: tuple[str, ...] = ()  # none: all
  workloads: tuple[str, ...] = ()  # none: the suite's
  folders: dict[str, str] = {}  # System folders by the names of `profiles.json`
  limit: float = 180.0  # seconds that a variant may take to get ready


class Worker:
  """The process of one variant."""

  def __init__(self, spec: dict[str, Any], environment: dict[str, str]):
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'experiments.benches.worker', json.dumps(spec)],
      env={**os.environ, **worker.SETTINGS, **environment},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      bufsize=0,
      start_new_session=True,  # so that processes it starts end with it
    )

  def read(self, limit: float) -> dict[str, Any]:
    """The next line it prints, or a `status` that says why there is none."""
    end, line = time.monotonic() + limit, b''
    while not line.endswith(b'\n'):
      left = max(end - time.monotonic(), 0)
      if not select.select([self._process.stdout], [], [], left)[0]:
        return {'status': f'did not finish in {limit:g} s'}
      part = self._process.stdout.read(1 << 16)
      if not part:
        return {'status': f'died with exit code {self._process.wait()}'}
      line += part
    return json.loads(line)

  def sample(self, number: int) -> dict[str, Any]:
    """Has it take sample `number`; see `worker` for what it answers."""
    try:
      self._process.stdin.write(b'%d\n' % number)
    except BrokenPipeError:
      return {'status': f'died with exit code {self._process.wait()}'}
    return self.read(SAMPLE_SECONDS)

  def stop(self) -> None:
    """Ends it and all that it started."""
    try:
      os.killpg(self._process.pid, signal.SIGKILL)
    except ProcessLookupError:
      pass
    self._process.wait()
    for pipe in (self._process.stdin, self._process.stdout):
      pipe.close()


def first_line(spec: dict[str, Any], environment: dict[str, str], limit: float) -> dict:
  """What a process prints when it is ready; then it is stopped."""
  process = Worker(spec, environment)
  try:
    return process.read(limit)
  finally:
    process.stop()


def save_answer(
  spec: dict[str, Any], environment: dict[str, str], limit: float
) -> None:
  """Has a process save its answer (spec['save']).

  Raises:
    UserError: it could not.
  """
  line = first_line(spec, environment, limit)
  if 'saved' not in line:
    raise errors.UserError(f'no answer to compare with: {line.get("status")}')


def compile_again(
  spec: dict[str, Any], environment: dict[str, str], limit: float
) -> float | None:
  """Seconds to compile in a process that finds what another one has compiled."""
  with tempfile.TemporaryDirectory() as folder:
    cache = {
      'JAX_ENABLE_COMPILATION_CACHE': 'true',
      'JAX_COMPILATION_CACHE_DIR': folder,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    first_line(spec, environment | cache, limit)
    return first_line(spec, environment | cache, limit).get('compile_s')


def measure(specs: Mapping[str, Spec], options: Options) -> Iterator[dict[str, Any]]:
  """Samples of every variant, in turn; yields its figures in the order given.

  Where memory does not hold all processes at once, they are taken in groups, whose
  turns come one group after the other.

  Args:
    specs: variant -> what its process is started with.
  """
  names, group = list(specs), 0
  while names:
    size = max(2, int(min(bench_machine.free_gib() / WORKER_GIB, len(names))))
    chosen, names, group = names[:size], names[size:], group + 1
    yield from _measure_group({name: specs[name] for name in chosen}, options, group)


def _measure_group(
  specs: Mapping[str, Spec], options: Options, group: int
) -> Iterator[dict[str, Any]]:
  workers: dict[str, Worker] = {}
  facts: dict[str, dict[str, Any]] = {}
  try:
    for name, spec in specs.items():  # one at a time: getting ready is timed too
      print(f'getting ready: {name}', file=sys.stderr)
      workers[name] = Worker(*spec)
      facts[name] = workers[name].read(options.limit)
      if 'status' in facts[name]:
        workers.pop(name).stop()
    figures = _take_turns(workers, options.samples)
  finally:
    for process in workers.values():
      process.stop()
  for name in specs:
    yield {'variant': name, 'group': group, **facts[name], **figures.get(name, {})}


def _take_turns(workers: Mapping[str, Worker], samples: int) -> dict[str, dict]:
  """Asks in turn until everyone has enough quiet samples, or tries are used up."""
  quiet: dict[str, list] = {name: [] for name in workers}
  noisy: dict[str, list] = {name: [] for name in workers}
  failed: dict[str, dict] = {}
  for _ in range(samples * TRIES):
    waiting = [n for n in workers if n not in failed and len(quiet[n]) < samples]
    if not waiting:
      break
    for name in waiting:
      # A noisy sample is taken again, so that all are of the same tasks.
      sample = workers[name].sample(len(quiet[name]))
      if 'status' in sample:
        failed[name] = sample
      else:
        (quiet if sample['others'] < QUIET else noisy)[name].append(sample)
  return {
    name: failed.get(name) or summarize(quiet[name], noisy[name], samples)
    for name in workers
  }


def summarize(quiet: list[dict], noisy: list[dict], samples: int) -> dict[str, Any]:
  """Figures of the quiet samples; where there is none, of all, and `quiet` is false."""
  used, is_enough = quiet or noisy, len(quiet) >= samples
  return {
    'status': 'ok' if is_enough else f'{len(quiet)} quiet samples of {samples}',
    **bench_machine.summarize([sample['seconds'] for sample in used]),
    'quiet': bool(quiet),
    'discarded': len(noisy),
    'others_cores': round(statistics.fmean(s['others'] for s in used), 3),
    'peak_mib': max(sample['peak_mib'] for sample in used),
  }
