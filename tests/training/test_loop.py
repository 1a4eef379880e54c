"""The loop: resumes bit for bit, stops early, keeps the best."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import sequences
from metalog_jax.training import base, loop


def make_detector(total: int, patience: int = 0, on_step=None) -> base.Detector:
  """Momentum descent to a moving goal: every step depends on all before it."""

  def draw(step: int) -> np.ndarray:
    if on_step:
      on_step(step)
    return np.random.default_rng([7, step]).normal(size=3).astype(np.float32)

  def step(state, goal):
    velocity = 0.9 * state['velocity'] + (goal - state['x'])
    x = state['x'] + 0.1 * velocity
    return {'x': x, 'velocity': velocity}, {'loss': jnp.sum((goal - x) ** 2)}

  return base.Detector(
    init=lambda key, _: {'x': jax.random.normal(key, (3,)), 'velocity': jnp.zeros(3)},
    score=None,
    explain=None,
    reading=sequences.Reading(),
    training=base.Training(
      batches=lambda transfer, seed: types.Stream(total, draw),
      put=jax.device_put,
      step=step,
      patience=patience,
    ),
  )


def validate(state) -> dict[str, float]:
  return {'valid_value': -float(jnp.sum(state['x'] ** 2))}


OPTIONS = loop.Options(validate_every=3, checkpoint_every=5)


def lines(folder) -> list[dict]:
  return [json.loads(x) for x in (folder / 'metrics.jsonl').read_text().splitlines()]


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
  whole = loop.fit(make_detector(40), None, validate, 1, tmp_path / 'a', OPTIONS)
  for stop_at in (2, 11, 26, 33):

    def interrupt(step, stop_at=stop_at):
      if step == stop_at:
        raise RuntimeError('killed')

    detector = make_detector(40, on_step=interrupt)
    with pytest.raises(RuntimeError):
      loop.fit(detector, None, validate, 1, tmp_path / 'b', OPTIONS)
  parts = loop.fit(make_detector(40), None, validate, 1, tmp_path / 'b', OPTIONS)
  for name in ('last', 'state'):
    for a, b in zip(
      *map(jax.tree.leaves, (getattr(whole, name), getattr(parts, name)))
    ):
      np.testing.assert_array_equal(a, b)
  assert whole.best_step == parts.best_step
  assert lines(tmp_path / 'a') == lines(tmp_path / 'b')


def test_the_best_validation_is_kept(tmp_path):
  fitted = loop.fit(make_detector(30), None, validate, 1, tmp_path, OPTIONS)
  values = {x['step']: x['valid_value'] for x in lines(tmp_path) if 'valid_value' in x}
  assert fitted.best_step == max(values, key=values.get)
  assert validate(fitted.state)['valid_value'] == pytest.approx(max(values.values()))


def test_patience_ends_training(tmp_path):
  worse = iter(range(100))
  fitted = loop.fit(
    make_detector(99, patience=2),
    None,
    lambda state: {'valid_value': -next(worse)},
    1,
    tmp_path,
    OPTIONS,
  )
  assert (fitted.steps, fitted.best_step, fitted.finished) == (9, 3, True)


def test_without_validation_the_last_state_counts(tmp_path):
  fitted = loop.fit(make_detector(7), None, None, 1, tmp_path, OPTIONS)
  np.testing.assert_array_equal(fitted.state['x'], fitted.last['x'])
  assert fitted.best_step == 7


def test_sigterm_saves_and_a_second_call_goes_on(tmp_path):
  def send(step):
    if step == 13:
      os.kill(os.getpid(), signal.SIGTERM)

  first = loop.fit(make_detector(30, on_step=send), None, None, 1, tmp_path, OPTIONS)
  assert first.steps == 14 and not first.finished
  seen = []
  second = make_detector(30, on_step=seen.append)
  second = loop.fit(second, None, None, 1, tmp_path, OPTIONS)
  assert seen[0] == 14 and second.finished


def test_a_torn_line_of_metrics_is_dropped(tmp_path):
  loop.fit(make_detector(10), None, None, 1, tmp_path, OPTIONS)
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 11, "lo')
  loop.fit(make_detector(12), None, None, 1, tmp_path, OPTIONS)
  assert [x['step'] for x in lines(tmp_path)] == list(range(1, 13))


def test_few_steps_wait_for_the_devices(tmp_path):
  """Hundreds of steps in flight on two devices of one CPU can wait for each other."""
  waiting: list = []

  class Metric:
    def __init__(self):
      waiting.append(self)

    def __float__(self):
      waiting.remove(self)
      return 0.0

  detector = make_detector(99)
  state = detector.init(jax.random.key(0), None)
  options = loop.Options(validate_every=1000, checkpoint_every=1000)
  run = loop.Run(detector, 99, state, None, tmp_path, options)
  for _ in range(98):
    run.took({'loss': Metric()}, lambda: state)
    assert len(waiting) < 50
  run.close()
