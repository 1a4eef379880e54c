"""Runs side by side: each as it is alone, whatever the others do."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import errors, meta, types
from metalog_jax.batches import packing, sequences
from metalog_jax.meta import mesh
from metalog_jax.training import base, checkpoints, loop, loop_together, side_by_side

ROOT = pathlib.Path(__file__).parents[2]
SEEDS, DEVICES = (1, 2, 3), 8
OPTIONS = loop.Options(validate_every=2, checkpoint_every=5)
CONFIG = meta.MetaConfig(
  inner_lr=0.1, inner_steps=1, support_weight=1.0, support_per_step=True
)


def loss(params, batch):
  x, y, weight = batch
  rows = weight * (jnp.tanh(x @ params['w']) - y) ** 2
  return jax.lax.psum(rows.sum(), mesh.ROWS)


def batches(steps: int, on_step=None):
  """Seeds draw different numbers of rows, and now and then more than usual."""

  def stream(_, seed, devices):
    def within(rooms) -> types.Stream:
      def side(step: int, which: int, count: int):
        rng = np.random.default_rng([seed, step, which])
        num = next(room.rows for room in rooms[which] if room.rows >= count)
        x, y = rng.normal(size=(16, 2)), rng.normal(size=16)
        weight = np.arange(16) < count
        dealt = lambda a: np.pad(
          a[:num], [(0, -num % devices)] + [(0, 0)] * (a.ndim - 1)
        )
        arrays = [np.stack(np.split(dealt(a), devices))[None] for a in (x, y, weight)]
        return tuple(a[:, :, None] if which == 0 else a for a in arrays)

      def draw(step: int) -> types.Task:
        if on_step:
          on_step(seed, step)
        often = 16 if (step + seed) % 7 == 0 else seed + 2
        return types.Task(side(step, 0, often), side(step, 1, seed + 2))

      return types.Stream(steps, draw, rooms, within)

    tight = packing.Room(1, seed + 2, 1)
    return within(([tight, tight._replace(rows=16)],) * 2)

  return stream


def make_detector(steps=12, patience=0, on_step=None) -> base.Detector:
  optimizer, drawn = optax.adam(0.1), batches(steps, on_step)
  devices = mesh.make_mesh()

  def init(key, _):
    params = {'w': jax.random.normal(key, (2,), jnp.float64)}
    return mesh.replicate(meta.init_state(params, optimizer), devices)

  return base.Detector(
    init=init,
    score=None,
    explain=None,
    reading=sequences.Reading(),
    training=base.Training(
      batches=lambda transfer, seed: drawn(transfer, seed, devices.size),
      put=lambda task: mesh.put(task, devices),
      step=meta.make_meta_step(loss, optimizer, CONFIG, devices),
      patience=patience,
      side_by_side=lambda runs: side_by_side.make_steps(
        loss, optimizer, CONFIG, drawn, runs
      ),
    ),
  )


def validate(state) -> dict[str, float]:
  return {'valid_value': -float(jnp.sum((state.params['w'] - 0.5) ** 2))}


def fit(folder, detector, how=validate, options=OPTIONS) -> list[loop.Fitted]:
  parts = [loop_together.Part(None, how, s, folder / str(s)) for s in SEEDS]
  for part in parts:
    part.workdir.mkdir(parents=True, exist_ok=True)
  return loop_together.fit(detector, parts, options)


def fit_alone(folder, detector, how=validate) -> list[loop.Fitted]:
  for seed in SEEDS:
    (folder / str(seed)).mkdir(parents=True, exist_ok=True)
  return [loop.fit(detector, None, how, s, folder / str(s), OPTIONS) for s in SEEDS]


def lines(folder) -> list[list[dict]]:
  paths = [folder / str(seed) / 'metrics.jsonl' for seed in SEEDS]
  return [[json.loads(x) for x in path.read_text().splitlines()] for path in paths]


def assert_alike(some, others, rtol=1e-12) -> None:
  for one, other in zip(some, others, strict=True):
    numbers = lambda x: (x.steps, x.best_step, x.finished)
    assert numbers(one) == numbers(other)
    for name in ('state', 'last'):
      trees = [jax.tree.leaves(getattr(x, name)) for x in (one, other)]
      for a, b in zip(*trees, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13 if rtol else 0)


@pytest.fixture(autouse=True)
def fixture_double():
  with jax.enable_x64(True):
    yield


@pytest.mark.parametrize('patience, how', [(0, None), (0, validate), (1, validate)])
def test_each_run_is_as_it_is_alone(tmp_path, patience, how):
  both = fit(tmp_path / 'both', make_detector(patience=patience), how)
  alone = fit_alone(tmp_path / 'alone', make_detector(patience=patience), how)
  assert_alike(both, alone)
  assert (len({x.steps for x in both}) > 1) == bool(patience)
  for a, b in zip(lines(tmp_path / 'both'), lines(tmp_path / 'alone'), strict=True):
    for one, other in zip(a, b, strict=True):
      assert one == pytest.approx(other, rel=1e-12)
  # What is left is what the run alone leaves: it goes on from there.
  longer = make_detector(steps=14, patience=patience)
  ahead = fit_alone(tmp_path / 'both', longer, how)
  assert [x.finished for x in ahead] == [True] * 3


def test_a_resumed_program_is_the_uninterrupted_one(tmp_path, monkeypatch):
  """Killed at a draw, and between the checkpoints of two runs at one step."""
  whole = fit(tmp_path / 'whole', make_detector())

  def kill(seed, step):
    if (seed, step) == (2, 7):
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    fit(tmp_path / 'cut', make_detector(on_step=kill))
  save, saved = checkpoints.Checkpoints.save, []

  def save_some(self, step, tree):
    if len(saved) == 1:
      raise KeyboardInterrupt
    saved.append(step)
    save(self, step, tree)

  monkeypatch.setattr(checkpoints.Checkpoints, 'save', save_some)
  with pytest.raises(KeyboardInterrupt):
    fit(tmp_path / 'cut', make_detector())
  assert saved == [10]
  monkeypatch.undo()
  seen = []
  cut = fit(tmp_path / 'cut', make_detector(on_step=lambda *at: seen.append(at)))
  assert {(1, 10), (2, 5), (3, 5)} <= {*seen} and (1, 9) not in seen
  assert_alike(cut, whole, rtol=0)
  assert lines(tmp_path / 'cut') == lines(tmp_path / 'whole')


def test_frozen_runs_take_no_step():
  """Neither state nor metrics of a run that is over depend on what it reads."""
  detector = make_detector()
  steps = detector.training.side_by_side(3)
  states = [detector.init(jax.random.key(seed), None) for seed in SEEDS]
  task = steps.batches(None, 1).draw(1)
  stacked = jax.tree.map(lambda x: np.stack([x] * steps.places), task)
  nothing = jax.tree.map(lambda x: np.full_like(x, np.nan, float), stacked)
  mixed = jax.tree.map(
    lambda x, y: np.where(
      np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) == 1, y, x
    ),
    stacked,
    nothing,
  )
  active = np.arange(steps.places) != 1
  after, metrics = steps.step(steps.stack(states), steps.put(mixed), active)
  assert [int(x) for x in after.step[:3]] == [1, 0, 1]
  np.testing.assert_array_equal(after.params['w'][1], states[1].params['w'])
  assert metrics['loss'][1] == 0 and np.isfinite(metrics['loss']).all()


def test_too_little_memory_is_said_before_anything_runs(tmp_path, monkeypatch):
  monkeypatch.setattr(loop_together, 'device_memory', lambda: 100)
  with pytest.raises(errors.UserError, match=r'3 runs .* give fewer --seeds'):
    fit(tmp_path, make_detector())


def over_devices(folder: str) -> None:
  """In a process of its own: prints what three runs leave on many devices."""
  jax.config.update('jax_enable_x64', True)
  assert len(jax.devices()) == DEVICES
  fitted = fit(pathlib.Path(folder), make_detector(patience=1))
  print(json.dumps([[x.steps, *np.asarray(x.last.params['w'])] for x in fitted]))


def test_runs_over_eight_devices_are_those_of_one(tmp_path):
  env = {**os.environ, 'XLA_FLAGS': f'--xla_force_host_platform_device_count={DEVICES}'}
  name = f'{__name__}.over_devices({str(tmp_path / "many")!r})'
  done = subprocess.run(
    [sys.executable, '-c', f'import {__name__}; {name}'],
    cwd=ROOT, env=env, capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  one = fit(tmp_path / 'one', make_detector(patience=1))
  expected = [[x.steps, *np.asarray(x.last.params['w'])] for x in one]
  many = json.loads(done.stdout.splitlines()[-1])
  np.testing.assert_allclose(many, expected, rtol=1e-12)
