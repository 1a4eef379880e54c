"""The one training loop: every detector, any budget, resumable bit for bit."""

import dataclasses
import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from metalog_jax import checkpoints, flags
from metalog_jax.detectors import base

FLUSH = 10  # steps between looks at the metrics: reading them waits for the device


@dataclasses.dataclass(frozen=True)
class Options:
  """How the loop runs; nothing here changes what is computed, but validate_every."""

  validate_every: int = flags.field(10, 'meta-steps between validations')
  checkpoint_every: int = flags.field(50, 'meta-steps between checkpoints')


class Progress(NamedTuple):
  """All that a checkpoint holds; a resumed run needs nothing else."""

  state: Any
  best_state: Any      # of the best validation; the newest where nothing is validated
  best_value: Any      # [] float32, higher is better
  best_step: Any       # [] int32
  step: Any            # [] int32 meta-steps done


class Fitted(NamedTuple):
  """What training leaves."""

  state: Any           # the best by validation
  steps: int
  best_step: int
  finished: bool       # False: stopped by a signal, to be resumed
  compile_seconds: float
  seconds: float       # training without compilation, of this process


class Stop:
  """Set by SIGTERM or SIGINT; the loop saves and ends at the next step."""

  def __init__(self):
    self.requested = False

  def __enter__(self) -> 'Stop':
    self._old = {}
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._old[number] = signal.signal(number, self._request)
    return self

  def _request(self, *_) -> None:
    self.requested = True

  def __exit__(self, *_) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)


class MetricsFile:
  """metrics.jsonl; lines of steps that a resumed run will do again are dropped."""

  def __init__(self, path: pathlib.Path, step: int, mirror: Callable | None = None):
    kept = []
    if path.exists():
      for line in path.read_text().splitlines():
        try:  # the last line may be cut in the middle by a kill
          if json.loads(line)['step'] <= step:
            kept.append(line + '\n')
        except (ValueError, KeyError):
          break
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(''.join(kept))
    os.replace(temporary, path)
    self._file = path.open('a')
    self._mirror = mirror

  def write(self, step: int, values: dict[str, Any]) -> None:
    record = {'step': step} | {name: float(value) for name, value in values.items()}
    self._file.write(json.dumps(record) + '\n')
    self._file.flush()
    if self._mirror:
      self._mirror(step, record)

  def close(self) -> None:
    self._file.close()


def fit(detector: base.Detector, transfer: Any, validate: Callable | None, seed: int,
        workdir: pathlib.Path, options: Options = Options(),  # noqa: B008 (frozen)
        mirror: Callable | None = None) -> Fitted:
  """Trains `detector`, from its last checkpoint in `workdir` if there is one.

  Args:
    validate: state -> {'valid_value': higher is better, ...}; None: keep the last.
    mirror: gets (step, metrics) of every line of metrics.jsonl, e.g. TensorBoard.
  """
  state = detector.init(jax.random.key(seed), transfer)
  progress = Progress(state, state, jnp.float32(-jnp.inf), jnp.int32(0), jnp.int32(0))
  saved = checkpoints.Checkpoints(workdir / 'checkpoints')
  progress = saved.restore(progress) or progress
  stream = detector.batches(transfer, seed) if detector.batches else None
  metrics = MetricsFile(workdir / 'metrics.jsonl', int(progress.step), mirror)
  with Stop() as stop:
    try:
      return _loop(detector, stream, progress, validate, options, saved, metrics, stop)
    finally:
      metrics.close()
      saved.close()


def _loop(detector, stream, progress, validate, options, saved, metrics, stop) -> Fitted:
  # Donation lets the device reuse the state's memory; best_state must be a copy.
  step_fn = jax.jit(detector.step, donate_argnums=0) if stream else None
  total = stream.num_steps if stream else 0
  state, best = jax.tree.map(jnp.copy, (progress.state, progress.best_state))
  best_value, best_step = float(progress.best_value), int(progress.best_step)
  step, pending, times = int(progress.step), [], []
  validated = best_step == step  # a resumed run stops where the first one did

  def snapshot() -> None:
    saved.save(step, Progress(state, best, jnp.float32(best_value),
                              jnp.int32(best_step), jnp.int32(step)))

  def flush() -> None:
    for number, values in pending:
      metrics.write(number, values)
    pending.clear()

  def is_over() -> bool:
    patience = detector.patience * options.validate_every
    return step >= total or bool(validate and patience and step - best_step >= patience)

  bar = tqdm(total=total, initial=step, unit='step', disable=None, desc='training')
  while not is_over() and not stop.requested:
    start = time.perf_counter()
    state, values = step_fn(state, stream.draw(step))
    step += 1
    pending.append((step, values))
    if step % FLUSH == 0 or step == 1:
      jax.block_until_ready(state)
      flush()
    times.append(time.perf_counter() - start)
    if validate and (step % options.validate_every == 0 or step == total):
      jax.block_until_ready(state)
      flush()
      found = validate(state)
      metrics.write(step, found)
      if found['valid_value'] > best_value:
        best, best_step = jax.tree.map(jnp.copy, state), step
        best_value = float(np.float32(found['valid_value']))
    elif not validate:
      best_step = step
    if step % options.checkpoint_every == 0 and not is_over():
      flush()
      snapshot()
    bar.update()
  flush()
  bar.close()
  del validated
  if step > int(progress.step):
    snapshot()
  typical = float(np.median(times)) if times else 0.
  compile_seconds = sum(t - typical for t in times if t > 10 * typical + .5)
  return Fitted(best if validate else state, step, best_step, is_over(),
                compile_seconds, sum(times) - compile_seconds)
