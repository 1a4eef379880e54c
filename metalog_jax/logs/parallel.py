"""The same function over many things, in order, on as many processes as asked."""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Pool:
  """Maps in this process for one worker, else in `workers` others.

  Results come in the order of the inputs, and few inputs are held at a time.
  """

  def __init__(self, workers: int):
    self.workers = workers
    self._executor = None

  def map(self, function: Callable[..., Any], inputs: Iterable) -> Iterator[Any]:
    if self.workers <= 1:
      yield from map(function, inputs)
      return
    if self._executor is None:
      self._executor = _make_executor(self.workers)
    waiting = collections.deque()
    try:
      for item in inputs:
        waiting.append(self._executor.submit(function, item))
        if len(waiting) > self.workers + 1:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()

  def close(self) -> None:
    if self._executor is not None:
      self._executor.shutdown(cancel_futures=True)

  def __enter__(self) -> 'Pool':
    return self

  def __exit__(self, *error) -> None:
    self.close()


def _make_executor(workers: int) -> concurrent.futures.Executor:
  # Fresh processes: forking one that runs polars' threads may lock up for ever.
  context = multiprocessing.get_context('spawn')
  with _environment(POLARS_MAX_THREADS='1'):
    executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
    for _ in range(workers):
      executor.submit(int)
  return executor


@contextlib.contextmanager
def _environment(**values: str):
  """Sets variables for the processes that start meanwhile."""
  before = {name: os.environ.get(name) for name in values}
  os.environ.update(values)
  try:
    yield
  finally:
    for name, value in before.items():
      if value is None:
        os.environ.pop(name)
      else:
        os.environ[name] = value
