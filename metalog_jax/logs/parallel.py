"""The same function over many things, in order, on as many processes as asked."""

import collections
import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import process
from typing import Any

FEW = 16  # inputs that are done sooner than processes have started


class Pool:
  """Maps in this process, and in `workers` others once there is much to do.

  Results come in the order of the inputs, and few inputs are held at a time.
  """

  def __init__(self, workers: int):
    self.workers = workers
    self._executor: futures.Executor | None = None

  def map(
    self, function: Callable[..., Any], inputs: Iterable, few: int = 0
  ) -> Iterator[Any]:
    """Yields function(input); before other processes start, `few` are done here.

    Raises:
      OSError: a process died; ValueError and others as `function` raises them.
    """
    inputs = iter(inputs)
    if self._executor is None:
      here = None if self.workers <= 1 else few or FEW
      yield from map(function, itertools.islice(inputs, here))
    waiting: collections.deque[futures.Future] = collections.deque()
    try:
      for item in inputs:
        if self._executor is None:
          self._executor = _make_executor(self.workers)
        waiting.append(self._executor.submit(function, item))
        if len(waiting) > self.workers + 1:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    except process.BrokenProcessPool:
      raise OSError('a worker process died, of memory maybe: lower --workers') from None
    finally:
      for future in waiting:
        future.cancel()

  def __enter__(self) -> 'Pool':
    return self

  def __exit__(self, *error) -> None:
    if self._executor is not None:
      self._executor.shutdown(cancel_futures=True)


def ahead(items: Iterable[Any]) -> Iterator[Any]:
  """Yields the items, of which a thread makes two while those before are used."""
  ready: queue.Queue[Any] = queue.Queue(2)
  end, stopped = object(), threading.Event()

  def put(item: Any, error: BaseException | None = None) -> None:
    while not stopped.is_set():
      with contextlib.suppress(queue.Full):
        return ready.put((item, error), timeout=0.1)

  def make() -> None:
    try:
      for item in items:
        put(item)
        if stopped.is_set():
          return
      put(end)
    except BaseException as error:  # raised where the item is waited for
      put(None, error)

  threading.Thread(target=make, daemon=True).start()
  try:
    while True:
      item, error = ready.get()
      if error is not None:
        raise error
      if item is end:
        return
      yield item
  finally:
    stopped.set()


def _make_executor(workers: int) -> futures.Executor:
  # Fresh processes: forking one that runs polars' threads may lock up for ever.
  context = multiprocessing.get_context('spawn')
  executor = futures.ProcessPoolExecutor(workers, context, _begin)
  threads = 'POLARS_MAX_THREADS'  # which polars reads as a process starts
  before = os.environ.get(threads)
  os.environ[threads] = '1'
  try:
    for _ in range(workers):
      executor.submit(int)
  finally:
    os.environ.pop(threads) if before is None else os.environ.update({threads: before})
  return executor


def _begin() -> None:
  """A worker leaves the keyboard to its parent, and ends with it however it ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)
