"""A process of its own for one variant: gets ready, then takes a sample when asked.

    python -m experiments.benches.worker '{"suite": ..., "variant": ..., ...}'

Writes a JSON line when it is ready and one for every sample; each line on its
standard input is the number of a sample to take.
"""

import functools
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benches import bench_machine, variants
from metalog_jax import atomic, memory
from metalog_jax.cli import peers

THREADS = 2
LEAST = 0.5  # seconds of a sample: the kernel counts what others do in 0.01 s
MOST = 10  # runs in one sample, whose mean it is
SETTINGS = {
  'OMP_NUM_THREADS': str(THREADS),
  'JAX_PLATFORMS': os.environ.get('JAX_PLATFORMS', 'cpu'),
  'JAX_ENABLE_COMPILATION_CACHE': 'false',
}


def limit_threads() -> None:
  """Both frameworks take as many threads as there are cores they may use."""
  allowed = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, allowed[:THREADS])


def timed(work: Callable[[], Any], times: int = 1) -> dict[str, float]:
  """Seconds that `work()` takes, and how many cores others kept busy meanwhile.

  Work that gives a float has taken its own time.
  """
  busy, own, begin = (
    bench_machine.busy_seconds(),
    time.process_time(),
    time.perf_counter(),
  )
  given = [work() for _ in range(times)]
  seconds = time.perf_counter() - begin
  others = bench_machine.busy_seconds() - busy - (time.process_time() - own)
  by_itself = isinstance(given[0], float)
  each = sum(given) / times if by_itself else seconds / times
  return {'seconds': each, 'others': max(others, 0.0) / seconds}


def error(answer: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
  """|answer - expected| / |expected|, in the 2-norm over all arrays."""
  if set(answer) != set(expected):
    raise ValueError(f'{sorted(answer)} cannot be compared with {sorted(expected)}')
  square = lambda x: float(np.sum(np.square(x, dtype=np.float64)))
  difference = sum(square(answer[n] - expected[n]) for n in expected)
  return (difference / sum(map(square, expected.values()))) ** 0.5


def get_ready(runner: variants.Runner, spec: dict[str, Any]) -> dict[str, Any]:
  """Warms up; what the first sample takes longer than the second is compilation."""
  first = timed(lambda: runner.run(0))['seconds']
  if 'save' in spec:
    np.savez(spec['save'], **runner.answer())
    return {'saved': True}
  with np.load(spec['expected']) as expected:
    distance = error(runner.answer(), dict(expected))
  second = timed(lambda: runner.run(0))['seconds']
  for i in range(1, spec['draws']):
    runner.run(i)
  return {
    'compile_s': round(max(first - second, 0.0), 2),
    'error': distance,
    'times': min(max(round(LEAST / second), 1), MOST),
  }


def main(spec: dict[str, Any]) -> None:
  """Makes the variant's runner, then answers each line of the standard input."""
  memory.keep_freed()  # PyTorch's too
  output = os.fdopen(os.dup(1), 'w')  # what libraries print must not come between
  os.dup2(2, 1)

  def answer(**facts) -> None:
    print(atomic.to_json(facts), file=output, flush=True)

  try:
    suite = importlib.import_module(f'experiments.benches.{spec["suite"]}')
    runner = suite.build(spec)
    facts = get_ready(runner, spec)
    answer(**facts)
  except variants.Absent as absent:
    return answer(status=f'absent: {absent}')
  except Exception as failure:  # one variant's failure is a finding, not the end
    text = str(failure).strip().splitlines() or ['']
    return answer(status=f'failed: {type(failure).__name__}: {text[0][:200]}')
  for line in sys.stdin:
    sample = timed(functools.partial(runner.run, int(line)), facts['times'])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer(**sample, peak_mib=round(peak))


if __name__ == '__main__':
  limit_threads()
  peers.die_with_parent()
  main(json.loads(sys.argv[1]))
