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
from metalog_jax.meta import mesh
from metalog_jax.training import base, checkpoints, metrics_file

NOTHING = types.Stream(0, lambda _: ())  # of a detector that is fitted at once
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
  stream = training.batches(transfer, seed) if training else NOTHING
  setup_seconds = time.perf_counter() - begin
  run = Run(detector, stream.num_steps, state, validate, workdir, options, shared)
  try:
    with Stop() as stop:
      fitted = _Loop(training, stream, run).run(stop)
    return fitted._replace(setup_seconds=setup_seconds)
  finally:
    run.close()


class Run:
  """What one run remembers of its steps: the best, its metrics and checkpoints.

  Its state belongs to who takes the steps, here one run or several side by side.
  """

  def __init__(
    self,
    detector: base.Detector,
    num_steps: int,
    state: Any,
    validate: Callable | None,
    workdir: pathlib.Path,
    options: Options,
    shared: pathlib.Path | None = None,
  ):
    """Goes on from the last checkpoint if there is one; see `fit`.

    Args:
      state: the first.
    """
    self._saved = checkpoints.Checkpoints((shared or workdir) / 'checkpoints')
    restored = self._saved.restore(checkpoints.first_progress(state))
    progress = restored or checkpoints.first_progress(state)
    self._metrics = metrics_file.MetricsFile(
      workdir / 'metrics.jsonl', int(progress.step)
    )
    self._validate, self._options, self.num_steps = validate, options, num_steps
    patience = detector.training.patience if detector.training and validate else 0
    self._patience = patience * options.validate_every
    # A step gives its state's memory away, so that the best needs memory of its own.
    self.state, self._best = jax.tree.map(
      jnp.copy, (progress.state, progress.best_state)
    )
    self._best_value, self._best_step = progress.best_value, int(progress.best_step)
    self.step = int(progress.step)
    self._saved_step = self.step if restored else -1  # without steps, 0 is saved
    self._pending: list[tuple[int, dict]] = []

  def is_over(self) -> bool:
    """Whether the budget is spent, or patience is."""
    stale = self.step - self._best_step
    return self.step >= self.num_steps or bool(
      self._patience and stale >= self._patience
    )

  def took(self, values: dict[str, Any], state: Callable[[], Any]) -> None:
    """A step was taken: validates and saves where that is due.

    Args:
      values: metrics of the step, which are read later.
      state: gives the state after it, replicated over the detector's devices.
    """
    self.step += 1
    self._pending.append((self.step, values))
    if self.step % FLUSH == 0:
      self._flush()
    if self._validate and self._is_due(self._options.validate_every):
      self._look(state())
    if self._is_due(self._options.checkpoint_every):
      self.save(state())

  def _is_due(self, every: int) -> bool:
    return self.step % every == 0 or self.step == self.num_steps

  def _look(self, state: Any) -> None:
    self._flush()
    assert self._validate
    values = self._validate(state)
    if jax.process_count() > 1:  # rounding may differ, decisions must not
      values = multihost_utils.broadcast_one_to_all(values)
    self._metrics.write(self.step, values)
    if values['valid_value'] > self._best_value:
      self._best = jax.tree.map(jnp.copy, state)
      self._best_value, self._best_step = np.float32(values['valid_value']), self.step

  def _flush(self) -> None:
    for step, values in self._pending:
      self._metrics.write(step, values)
    self._pending.clear()

  def save(self, state: Any) -> None:
    """Writes a checkpoint, unless there is one of this step."""
    self._flush()
    if not self._validate:  # then the newest counts
      self._best, self._best_step = state, self.step
    if self.step > self._saved_step:
      self._saved.save(
        self.step,
        checkpoints.progress(
          state, self._best, self._best_value, self._best_step, self.step
        ),
      )
      self._saved_step = self.step

  def fitted(self, state: Any, compile_seconds: float, seconds: float) -> Fitted:
    """What is left after the last step; call `save` first.

    Args:
      state: the last.
    """
    return Fitted(
      self._best,
      state,
      self.step,
      self._best_step,
      self.is_over(),
      compile_seconds,
      seconds,
    )

  def close(self) -> None:
    """Waits until everything is written."""
    self._metrics.close()
    self._saved.close()


class Programs:
  """A step, compiled once for each form that batches have.

  Args:
    step: (state, batch, ...) -> (state, metrics); the state's memory is given away.
    check: is shown each compiled program, and may refuse it.
  """

  def __init__(self, step: Callable, check: Callable[[Any], Any] = bool):
    self._step, self._check = jax.jit(step, donate_argnums=mesh.donated()), check
    self._compiled: dict[Any, Callable] = {}
    self.seconds = 0.0  # spent on compilation

  def __call__(self, state: Any, batch: Any, *others: Any) -> tuple[Any, Any]:
    shapes = jax.tree.map(jnp.shape, batch)
    if shapes not in self._compiled:
      start = time.perf_counter()
      compiled = self._step.lower(state, batch, *others).compile()
      self._check(compiled)
      self._compiled[shapes] = compiled
      self.seconds += time.perf_counter() - start
    return self._compiled[shapes](state, batch, *others)


class _Loop:
  """Steps of one run until its budget is spent."""

  def __init__(self, training: base.Training | None, stream: types.Stream, run: Run):
    self._training, self._stream, self._run = training, stream, run
    self._state = run.state
    self._step = Programs(training.step if training else bool)

  def run(self, stop: Stop) -> Fitted:
    start, run = time.perf_counter(), self._run
    with progress_bar(run.num_steps, run.step) as bar:
      while not run.is_over() and not stop.is_due(run.step):
        self._advance()
        bar.update()
    run.save(self._state)
    jax.block_until_ready(self._state)
    seconds = time.perf_counter() - start - self._step.seconds
    return run.fitted(self._state, self._step.seconds, seconds)

  def _advance(self) -> None:
    assert self._training
    batch = self._training.put(self._stream.draw(self._run.step))
    self._state, values = self._step(self._state, batch)
    self._run.took(values, lambda: self._state)


def progress_bar(total: int, done: int) -> tqdm:
  """Steps on a terminal; nothing elsewhere."""
  return tqdm(total=total, initial=done, unit='step', disable=None, desc='training')
