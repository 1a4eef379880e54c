"""The program as a user runs it: killed at any moment, it goes on bit for bit."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import typing

import jax
import numpy as np
import pytest

from metalog_jax import errors
from metalog_jax.cli import adapt, train
from metalog_jax.runs import model, problem
from metalog_jax.training import checkpoints
from tests.runs import test_run

ROOT = pathlib.Path(__file__).parents[2]
KILLS = int(os.environ.get('METALOG_KILLS', '2'))  # the full proof: 20
STEPS = 800
SMALL = (
  '--detector=metalog --metalog.hidden=4 --metalog.layers=1 --metalog.batch=8 '
  '--metalog.parts=2 '
  f'--metalog.inner_steps=1 --metalog.steps={STEPS} --metalog.patience=0 '
  '--split=random --target_normals=20 --target_anomalies=3 --checkpoint_every=10 '
  '--report=false'
).split()

fixture_root = test_run.fixture_root


def command(root: pathlib.Path, workdir: pathlib.Path) -> list[str]:
  return [sys.executable, '-m', 'metalog_jax', 'train', f'--source={root}/system_a',
          f'--target={root}/system_b', f'--vectors={root}/vectors.txt',
          f'--workdir={workdir}', *SMALL]  # fmt: skip


def last_state(workdir: pathlib.Path):
  loaded = model.load(workdir)
  saved = checkpoints.Checkpoints(workdir / 'checkpoints')
  progress = saved.restore(checkpoints.first_progress(loaded.state))
  saved.close()
  return progress


def kill_somewhere(process, workdir: pathlib.Path, chance: random.Random) -> None:
  """Kills a run after a few more steps than it had, or before it makes any."""
  steps = steps_of(workdir) + chance.randrange(STEPS // KILLS)
  hasty = chance.random() < 0.2
  patience = time.monotonic() + (chance.uniform(0, 5) if hasty else 120)
  while steps_of(workdir) <= steps and time.monotonic() < patience:
    assert process.poll() is None, 'ended before it could be killed'
    time.sleep(1e-3)
  time.sleep(chance.uniform(0, 0.02))
  process.send_signal(signal.SIGKILL)
  process.wait()


def steps_of(workdir: pathlib.Path) -> int:
  path = workdir / 'metrics.jsonl'
  return path.read_bytes().count(b'"query_loss"') if path.exists() else 0


@pytest.mark.slow
def test_kill_nine_changes_nothing(root, tmp_path):
  env = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'XDG_CACHE_HOME': str(tmp_path / 'cache'),
  }
  run_once = lambda name: subprocess.run(
    command(root, tmp_path / name), cwd=ROOT, env=env, check=True
  )
  run_once('whole')
  chance = random.Random(0)
  for _ in range(KILLS):
    process = subprocess.Popen(command(root, tmp_path / 'cut'), cwd=ROOT, env=env)
    kill_somewhere(process, tmp_path / 'cut', chance)
    assert not (tmp_path / 'cut' / 'result.json').exists()
  run_once('cut')
  whole, cut = last_state(tmp_path / 'whole'), last_state(tmp_path / 'cut')
  assert jax.tree.structure(whole) == jax.tree.structure(cut)
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
    np.testing.assert_array_equal(a, b)
  metrics = [(tmp_path / x / 'metrics.jsonl').read_text() for x in ('whole', 'cut')]
  assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_explain_needs_no_run_folder_and_makes_none(root, tmp_path):
  workdir = tmp_path / 'x'
  args = [*command(root, workdir), '--explain']
  for given in (args, [a for a in args if not a.startswith('--workdir')]):
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'GFLOP' in done.stdout and not workdir.exists()


@pytest.mark.slow
def test_two_processes_train_as_two_devices_do(root, tmp_path):
  """On the way from one device, through a SIGTERM, to two: a run goes on anywhere."""
  few = ['--metalog.steps=60', '--checkpoint_every=5', '--validate_every=20']
  args = lambda name: [*command(root, tmp_path / name)[4:], *few]
  train = [sys.executable, '-m', 'metalog_jax', 'train']
  process = subprocess.Popen([*train, *args('a'), '--devices=1'], cwd=ROOT)
  while steps_of(tmp_path / 'a') < 10:
    assert process.poll() is None
    time.sleep(1e-3)
  process.terminate()
  assert process.wait() == 0 and not (tmp_path / 'a' / 'result.json').exists()
  shutil.copytree(tmp_path / 'a', tmp_path / 'b')
  subprocess.run([*train, *args('a'), '--devices=2'], cwd=ROOT, check=True)
  local = ['sh', 'experiments/launch/local.sh', '2']
  env = {**os.environ, 'PYTHON': sys.executable}
  # The other process finds its own folder as the first one left it.
  subprocess.run([*local, *args('b')], cwd=ROOT, env=env, check=True, timeout=300)
  one, two = last_state(tmp_path / 'a'), last_state(tmp_path / 'b')
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize('flag, code, says', [
  ('--metalog.order=third', 2, 'order'),
  ('--preset=none', 2, '--preset'),
  ('--detector=metalgo', 2, 'metalog'),
  ('--logmeta.steps=3', 2, '--logmeta.steps is a setting of logmeta'),
  ('--nologmeta.recurrent', 2, '--logmeta.recurrent is a setting of logmeta'),
  ('--split=randon', 2, "did you mean 'random'?"),
  ('--seed=18446744073709551616', 2, '--seed'),
  ('--validation=nan', 2, '--validation'),
  ('--metalog.inner_lr=nan', 2, '--metalog.inner_lr'),
  ('--workdir=', 2, '--workdir'),
  ('--devices=100000', 1, '--devices=100000'),
  ('--source=nowhere', 1, 'nowhere'),
])  # fmt: skip
def test_wrong_flags_are_named(root, tmp_path, metalog, flag, code, says):
  done = metalog(*command(root, tmp_path / 'x')[3:], flag)
  assert (done.code, done.out) == (code, '')
  assert says in done.err and 'Traceback' not in done.err
  assert not (tmp_path / 'x' / 'result.json').exists()


@pytest.mark.parametrize(
  'text, expected',
  [('0..3', [0, 1, 2, 3]), ('0,3,5', [0, 3, 5]), ('4, 2..4,2', [4, 2, 3])],
)
def test_lists_of_seeds(text, expected):
  assert train.parse_seeds(text) == expected


@pytest.mark.parametrize(
  'text', ['a', '1..', '3..1', '-1', '1.5', '0,,1', '0..99999999999', '0..4000000']
)
def test_what_is_no_list_of_seeds_is_refused(text):
  with pytest.raises(errors.UserError, match='--seeds='):
    train.parse_seeds(text)


@pytest.mark.parametrize(
  'other', ['--seed=1', '--seed=0', '--explain', '--distributed']
)
def test_flags_that_seeds_do_not_go_with(metalog, tmp_path, other):
  done = metalog('train', '--seeds=0,1', f'--workdir={tmp_path}/x', other)
  assert done.code == 2 and '--seeds and' in done.err
  assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('flags, says', [
  (['--alert_rate=1%', '--false_alarms=1%'], '--alert_rate and --false_alarms'),
  (['--alert_rate=1%', '--evidence.false_alarms=0.1'], '--alert_rate and --false_'),
  (['--false_alarms=1%', '--evidence.false_alarms=0.1'], 'are one setting'),
  (['--vectors=a', '--evidence.embedding.vectors=b'], 'are one setting'),
  (['--evidence.false_alarms=1'], '--evidence.false_alarms=1: it must be below 1'),
  (['--unlabelled=5'], '--unlabelled needs --split=random'),
])  # fmt: skip
def test_flags_that_exclude_each_other(metalog, tmp_path, flags, says):
  done = metalog('train', '--target=x', f'--workdir={tmp_path}/x', *flags)
  assert done.code in (1, 2) and says in done.err
  assert not (tmp_path / 'x').exists()


def test_choices_are_those_of_the_room():
  hints = typing.get_type_hints(problem.Options)
  for flag in (*train.FLAGS, *adapt.FLAGS):
    if flag.choices:
      assert set(flag.choices) == set(typing.get_args(hints[flag.name]))
