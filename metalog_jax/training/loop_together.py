"""The training loop of runs that differ by their seed alone: one program for all.

Each run keeps its own steps, validations, best state, metrics and checkpoints, as if
it ran alone (`loop.Run`). One that is over keeps its place, and its state stays.
"""

import functools
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import errors, types
from metalog_jax.batches import together
from metalog_jax.training import base, loop


class Part(NamedTuple):
  """What one of the runs trains on; see `loop.fit`."""

  transfer: types.Transfer
  validate: Callable | None
  seed: int
  workdir: pathlib.Path


def fit(
  detector: base.Detector, parts: Sequence[Part], options: loop.Options
) -> list[loop.Fitted]:
  """Trains `detector` once a part, each going on from its last checkpoint.

  Compilation counts for every run alike, and training by its steps, so that their
  seconds add up to what all took.

  Raises:
    UserError: the detector has no `Training.side_by_side`, or memory is too small.
  """
  training = detector.training
  if training is None or training.side_by_side is None:
    raise errors.UserError('this detector cannot train several runs side by side')
  steps = training.side_by_side(len(parts))
  begin, streams, runs, shardings = time.perf_counter(), [], [], None
  try:
    for part in parts:
      state = detector.init(jax.random.key(part.seed), part.transfer)
      shardings = jax.tree.map(lambda x: x.sharding, state)
      streams.append(steps.batches(part.transfer, part.seed))
      runs.append(
        loop.Run(
          detector, streams[-1].num_steps, state, part.validate, part.workdir, options
        )
      )
    setup = (time.perf_counter() - begin) / len(parts)
    with loop.Stop() as stop:
      fitted = _Loop(steps, streams, runs, shardings).run(stop)
    return [each._replace(setup_seconds=setup) for each in fitted]
  finally:
    for run in runs:
      run.close()


class _OfRun(NamedTuple):
  """A metric of one run, read when it is written."""

  values: jax.Array  # [places]
  place: int

  def __float__(self) -> float:
    return float(np.asarray(self.values)[self.place])


class _Loop:
  """Steps of all runs at once, until each is over."""

  def __init__(
    self,
    steps: base.SideBySide,
    streams: Sequence[types.Stream],
    runs: Sequence[loop.Run],
    shardings: Any,
  ):
    self._steps, self._runs, self._shardings = steps, runs, shardings
    self._states = steps.stack([run.state for run in runs])
    self._host: Any = None  # a copy of them, where one was asked for
    has_steps = any(stream.num_steps for stream in streams)
    self._batches = together.Together(streams) if has_steps else None
    check = functools.partial(check_memory, runs=len(runs))
    self._step = loop.Programs(steps.step, check)

  def run(self, stop: loop.Stop) -> list[loop.Fitted]:
    start, runs = time.perf_counter(), self._runs
    before = [run.step for run in runs]
    with loop.progress_bar(sum(run.num_steps for run in runs), sum(before)) as bar:
      while active := [i for i, run in enumerate(runs) if not run.is_over()]:
        if stop.is_due(runs[active[0]].step):
          break
        self._advance(active)
        bar.update(len(active))
    for i, run in enumerate(runs):
      run.save(self._state(i))
    compiling = self._step.seconds
    seconds = time.perf_counter() - start - compiling
    taken = [run.step - first for run, first in zip(runs, before, strict=True)]
    each = seconds / max(sum(taken), 1)
    return [
      run.fitted(self._state(i), compiling / len(runs), each * taken[i])
      for i, run in enumerate(runs)
    ]

  def _advance(self, active: list[int]) -> None:
    assert self._batches
    numbers = [run.step if i in active else None for i, run in enumerate(self._runs)]
    drawn = self._batches.draw(numbers, self._steps.places)
    batch = self._steps.put(drawn)
    mask = np.isin(np.arange(self._steps.places), active)
    self._states, values = self._step(self._states, batch, mask)
    self._host = None
    for i in active:
      metrics = {name: _OfRun(value, i) for name, value in values.items()}
      self._runs[i].took(metrics, functools.partial(self._state, i))

  def _state(self, place: int) -> Any:
    """The state of one run, as it would lie on the devices alone."""
    if self._host is None:
      self._host = jax.tree.map(np.asarray, self._states)
    return jax.tree.map(
      lambda x, sharding: jax.device_put(x[place], sharding),
      self._host,
      self._shardings,
    )


def check_memory(compiled: Any, runs: int) -> None:
  """Refuses a program of several runs that devices have not the memory for.

  Raises:
    UserError: says how much it needs, and how much there is.
  """
  memory = compiled.memory_analysis()
  if memory is None:
    return
  needed = (
    memory.temp_size_in_bytes
    + memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
  )
  limit = device_memory()
  if needed > limit:
    raise errors.UserError(
      f'{runs} runs side by side need {needed / 2**30:.3g} GiB on each device, which '
      f'has {limit / 2**30:.3g}: give fewer --seeds at once'
    )


def device_memory() -> float:
  """Bytes that a device of this process has; of a processor, its share of all."""
  device = jax.local_devices()[0]
  limit = (device.memory_stats() or {}).get('bytes_limit')
  if limit is None:
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    limit = pages / len(jax.local_devices())
  return limit
