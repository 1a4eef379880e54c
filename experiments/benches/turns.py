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
from collections.abc import Iterator
from typing import Any, NamedTuple

from experiments.benches import machine, worker
from metalog_jax import errors

QUIET = 0.15  # cores that others may use during a sample that is kept
TRIES = 4  # times the samples wanted, at most
WORKER_GIB = 2.5  # memory that one process is reckoned to need
PATIENCE = 300  # seconds that one sample may take


class Options(NamedTuple):
  """What the user asked for; see the flags of `experiments.bench`."""

  samples: int
  seed: int = 0
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
      start_new_session=True,  # so that compilers it starts end with it
    )

  def hear(self, limit: float) -> dict[str, Any]:
    """The next line it says, or a status that tells why there is none."""
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
    try:
      self._process.stdin.write(b'%d\n' % number)
    except BrokenPipeError:
      return {'status': f'died with exit code {self._process.wait()}'}
    return self.hear(PATIENCE)

  def stop(self) -> None:
    try:
      os.killpg(self._process.pid, signal.SIGKILL)
    except ProcessLookupError:
      pass
    self._process.wait()
    for pipe in (self._process.stdin, self._process.stdout):
      pipe.close()


def once(spec: dict[str, Any], environment: dict[str, str], limit: float) -> None:
  """Has a process save its answer (spec['save']).

  Raises:
    UserError: it could not.
  """
  process = Worker(spec, environment)
  said = process.hear(limit)
  process.stop()
  if 'saved' not in said:
    raise errors.UserError(f'no answer to compare with: {said.get("status")}')


def compile_again(
  spec: dict[str, Any], environment: dict[str, str], limit: float
) -> float | None:
  """Seconds to compile in a process that finds what another one has compiled."""
  said: dict[str, Any] = {}
  with tempfile.TemporaryDirectory() as folder:
    cache = {
      'JAX_ENABLE_COMPILATION_CACHE': 'true',
      'JAX_COMPILATION_CACHE_DIR': folder,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    for _ in range(2):
      process = Worker(spec, environment | cache)
      said = process.hear(limit)
      process.stop()
  return said.get('compile_s')


def measure(
  specs: dict[str, tuple[dict[str, Any], dict[str, str]]], options: Options
) -> Iterator[dict[str, Any]]:
  """Samples of every variant, in turn; yields its figures in the order given.

  Where memory does not hold all processes at once, they are taken in groups, whose
  turns come one group after the other.

  Args:
    specs: variant -> (spec of `worker`, environment).
  """
  names, group = list(specs), 0
  while names:
    size = max(2, int(min(machine.free_gib() / WORKER_GIB, len(names))))
    chosen, names, group = names[:size], names[size:], group + 1
    yield from _group({name: specs[name] for name in chosen}, options, group)


def _group(specs, options: Options, group: int) -> Iterator[dict[str, Any]]:
  workers, facts = {}, {}
  try:
    for name, spec in specs.items():  # one at a time: getting ready is timed too
      print(f'getting ready: {name}', file=sys.stderr)
      workers[name] = Worker(*spec)
      facts[name] = workers[name].hear(options.limit)
      if 'status' in facts[name]:
        workers.pop(name).stop()
    taken = _turns(workers, options.samples)
  finally:
    for process in workers.values():
      process.stop()
  for name in specs:
    yield {'variant': name, 'group': group, **facts[name], **taken.get(name, {})}


def _turns(workers: dict[str, Worker], samples: int) -> dict[str, dict[str, Any]]:
  """Asks in turn until everyone has enough quiet samples, or tries are used up."""
  kept: dict[str, list] = {name: [] for name in workers}
  noisy: dict[str, list] = {name: [] for name in workers}
  failed: dict[str, dict] = {}
  for _ in range(samples * TRIES):
    waiting = [n for n in workers if n not in failed and len(kept[n]) < samples]
    if not waiting:
      break
    for name in waiting:
      # A sample that is not kept is taken again, so that all are of the same tasks.
      sample = workers[name].sample(len(kept[name]))
      if 'status' in sample:
        failed[name] = sample
      else:
        (kept if sample['others'] < QUIET else noisy)[name].append(sample)
  return {
    name: failed.get(name) or _figures(kept[name], noisy[name], samples)
    for name in workers
  }


def _figures(kept: list, noisy: list, samples: int) -> dict[str, Any]:
  """Of the quiet samples; where there is none, of all, and `quiet` is false."""
  chosen = kept or noisy
  return {
    'status': 'ok'
    if len(kept) >= samples
    else f'{len(kept)} quiet samples of {samples}',
    **machine.summarize([sample['seconds'] for sample in chosen]),
    'quiet': bool(kept),
    'discarded': len(noisy),
    'others_cores': round(sum(s['others'] for s in chosen) / len(chosen), 3),
    'peak_mib': max(sample['peak_mib'] for sample in chosen),
    'more': _medians([sample.get('more', {}) for sample in chosen]),
  }


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
  """Of what samples tell besides."""
  middle = lambda name: statistics.median(x[name] for x in found)
  return {name: round(middle(name), 4) for name in found[0]}
