"""The one training loop: every detector, any budget, resumable bit for bit."""

import dataclasses
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from metalog_jax import errors, types
from metalog_jax.training import base, checkpoints, metrics_file

FLUSH = 10  # steps between looks at the metrics: reading them waits for the device


@dataclasses.dataclass(frozen=True)
class Options:
  """How the loop runs; nothing here changes what is computed, but validate_every."""

  validate_every: int = 10  # meta-steps between validations
  checkpoint_every: int = 50  # meta-steps between checkpoints

  def __post_init__(self):
    for name, value in dataclasses.asdict(self).items():
      if value < 1:
        raise errors.UserError(f'--{name}={value}: give a number of steps from 1')


class Fitted(NamedTuple):
  """What training leaves."""

  state: Any  # the best by validation
  last: Any  # after the last step
  steps: int
  best_step: int
  finished: bool  # False: stopped by a signal, to be resumed
  compile_seconds: float
  seconds: float  # training without compilation, of this process
  setup_seconds: float = 0.0  # before the first step: closed forms, clusters


class Stop:
  """Set by SIGTERM or SIGINT; the loop saves and ends at the next step.

  Several processes agree on that step through jax's own service, which then has
  SIGTERM.
  """

  def __init__(self):
    self.requested = False

  def __enter__(self) -> 'Stop':
    self._old = {}
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and jax.process_count() == 1:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._old[number] = signal.signal(number, self._request)
    return self

  def _request(self, *_) -> None:
    self.requested = True

  def is_due(self, step: int) -> bool:
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(step)
    return self.requested

  def __exit__(self, *_) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)


def fit(
  detector: base.Detector,
  transfer: types.Transfer,
  validate: Callable | None,
  seed: int,
  workdir: pathlib.Path,
  options: Options,
  shared: pathlib.Path | None = None,
) -> Fitted:
  """Trains `detector`, going on from the last checkpoint if there is one.

  Args:
    validate: state -> {'valid_value': higher is better, ...}; None keeps the last.
    workdir: where metrics.jsonl is.
    shared: where the checkpoints are, if not in `workdir`: several processes write
      them together.
  """
  begin = time.perf_counter()
  state = jax.block_until_ready(detector.init(jax.random.key(seed), transfer))
  training = detector.training
  stream = (
    training.batches(transfer, seed) if training else types.Stream(0, lambda _: ())
  )
  setup_seconds = time.perf_counter() - begin
  saved = checkpoints.Checkpoints((shared or workdir) / 'checkpoints')
  restored = saved.restore(checkpoints.first_progress(state))
  progress = restored or checkpoints.first_progress(state)
  metrics = metrics_file.MetricsFile(workdir / 'metrics.jsonl', int(progress.step))
  loop = _Loop(
    training,
    stream,
    validate,
    options,
    saved,
    metrics,
    progress,
    restored is not None,
  )
  try:
    with Stop() as stop:
      return loop.run(stop)._replace(setup_seconds=setup_seconds)
  finally:
    metrics.close()
    saved.close()


class _Loop:
  """Steps, validations and checkpoints, in that order, until the budget is spent."""

  def __init__(
    self, training, stream, validate, options, saved, metrics, progress, is_saved
  ):
    self._training, self._stream, self._validate = training, stream, validate
    self._options, self._saved, self._metrics = options, saved, metrics
    self._total = stream.num_steps
    patience = training.patience if training and validate else 0
    self._patience = patience * options.validate_every
    # A step gives its state's memory away, so that the best needs memory of its own.
    self._state, self._best = jax.tree.map(
      jnp.copy, (progress.state, progress.best_state)
    )
    self._best_value, self._best_step = progress.best_value, int(progress.best_step)
    self._step = int(progress.step)
    self._saved_step = self._step if is_saved else -1  # without steps, 0 is saved
    self._pending: list[tuple[int, dict]] = []
    self._compiled: dict[Any, Callable] = {}
    self._compile_seconds = 0.0

  def run(self, stop: Stop) -> Fitted:
    start = time.perf_counter()
    with tqdm(
      total=self._total, initial=self._step, unit='step', disable=None, desc='training'
    ) as bar:
      while not self._is_over() and not stop.is_due(self._step):
        self._advance()
        if self._validate and self._is_due(self._options.validate_every):
          self._look()
        if self._is_due(self._options.checkpoint_every):
          self._save()
        bar.update()
    self._save()
    jax.block_until_ready(self._state)
    seconds = time.perf_counter() - start - self._compile_seconds
    return Fitted(
      self._best,
      self._state,
      self._step,
      self._best_step,
      self._is_over(),
      self._compile_seconds,
      seconds,
    )

  def _is_over(self) -> bool:
    stale = self._step - self._best_step
    return self._step >= self._total or bool(self._patience and stale >= self._patience)

  def _is_due(self, every: int) -> bool:
    return self._step % every == 0 or self._step == self._total

  def _advance(self) -> None:
    batch = self._training.put(self._stream.draw(self._step))
    self._state, values = self._program(batch)(self._state, batch)
    self._step += 1
    if not self._validate:  # then the newest counts
      self._best, self._best_step = self._state, self._step
    self._pending.append((self._step, values))
    if self._step % FLUSH == 0:
      self._flush()

  def _program(self, batch: Any) -> Callable:
    """The step compiled for the shapes of `batch`, once."""
    shapes = jax.tree.map(jnp.shape, batch)
    if shapes not in self._compiled:
      start = time.perf_counter()
      step = jax.jit(self._training.step, donate_argnums=0)
      self._compiled[shapes] = step.lower(self._state, batch).compile()
      self._compile_seconds += time.perf_counter() - start
    return self._compiled[shapes]

  def _look(self) -> None:
    self._flush()
    values = self._validate(self._state)
    if jax.process_count() > 1:  # rounding may differ, decisions must not
      values = multihost_utils.broadcast_one_to_all(values)
    self._metrics.write(self._step, values)
    if values['valid_value'] > self._best_value:
      self._best = jax.tree.map(jnp.copy, self._state)
      self._best_value, self._best_step = np.float32(values['valid_value']), self._step

  def _flush(self) -> None:
    for step, values in self._pending:
      self._metrics.write(step, values)
    self._pending.clear()

  def _save(self) -> None:
    self._flush()
    if self._step > self._saved_step:
      self._saved.save(
        self._step,
        checkpoints.progress(
          self._state, self._best, self._best_value, self._best_step, self._step
        ),
      )
      self._saved_step = self._step
