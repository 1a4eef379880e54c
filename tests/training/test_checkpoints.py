"""Snapshots are read back as they were saved, or refused."""

import os
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import errors
from metalog_jax.training import checkpoints


def save(folder, value):
  state = {'w': jnp.full((4, 3), value), 'count': jnp.array(7, jnp.int32)}
  progress = checkpoints.first_progress(state)
  saved = checkpoints.Checkpoints(folder)
  saved.save(1, progress)
  saved.close()
  return progress


def restore(folder, like):
  saved = checkpoints.Checkpoints(folder)
  try:
    return saved.restore(like)
  finally:
    saved.close()


def test_arrays_of_another_snapshot_are_refused(tmp_path):
  """Also where they are whole and fit: what a flipped bit can come to."""
  progress = save(tmp_path / 'a', 1.0)
  save(tmp_path / 'b', 2.0)
  np.testing.assert_array_equal(restore(tmp_path / 'a', progress).state['w'], 1.0)
  shutil.rmtree(tmp_path / 'a' / '1')
  shutil.copytree(tmp_path / 'b' / '1', tmp_path / 'a' / '1')
  with pytest.raises(errors.UserError, match='step 1 is not what was saved'):
    restore(tmp_path / 'a', progress)


def test_snapshots_without_a_digest_are_refused(tmp_path):
  progress = save(tmp_path, 1.0)
  (tmp_path / checkpoints.DIGESTS).unlink()
  with pytest.raises(errors.UserError, match='step 1 is not what was saved'):
    restore(tmp_path, progress)


def test_snapshots_that_never_became_whole_cost_no_other(tmp_path, monkeypatch):
  """Two processes are killed before what they announced is written."""
  tree = {'a': jnp.arange(3.0)}
  saved = checkpoints.Checkpoints(tmp_path)
  saved.save(4, tree)
  saved.close()
  with monkeypatch.context() as killed:
    killed.setattr(checkpoints.ocp.CheckpointManager, 'save', lambda *_, **__: None)
    for steps in ((8, 12), (8,)):
      dying = checkpoints.Checkpoints(tmp_path)
      for step in steps:
        dying.save(step, {'a': jnp.arange(3.0) + step})
      dying.close()
  restored = checkpoints.Checkpoints(tmp_path).restore(tree)
  np.testing.assert_array_equal(restored['a'], tree['a'])


@pytest.mark.parametrize('error, why', [
  (ValueError("RESOURCE_EXHAUSTED: writing [os_error_code='28']"), 'No space left'),
  (TimeoutError('ChainedFuture completed 2/3 futures'), 'or the clock was set'),
])  # fmt: skip
def test_what_cannot_be_written_is_named(error, why, tmp_path, monkeypatch):
  saved = checkpoints.Checkpoints(tmp_path / 'a')

  def fail(*_, **__):
    raise error

  monkeypatch.setattr(saved._manager, 'save', fail)
  with pytest.raises(errors.UserError, match=f'cannot write .*: .*{why}.*; the same'):
    saved.save(1, {'x': jnp.ones(3)})


def test_threads_end_where_nothing_can_be_written(tmp_path, monkeypatch):
  """A process whose manager was not closed could wait for them for ever at its end."""
  saved, closed = checkpoints.Checkpoints(tmp_path / 'a'), []

  def fail():
    raise ValueError('[Errno 27] File too large')

  monkeypatch.setattr(saved._manager, 'wait_until_finished', fail)
  monkeypatch.setattr(saved._manager, 'close', lambda: closed.append(True))
  with pytest.raises(errors.UserError, match='File too large'):
    saved.close()
  assert closed


@pytest.mark.parametrize('error', [
  RuntimeError("can't start new thread"), MemoryError('no thread'),
])  # fmt: skip
def test_a_folder_that_no_thread_can_read_is_not_called_damaged(
  error, tmp_path, monkeypatch
):
  saved = checkpoints.Checkpoints(tmp_path / 'a')

  def fail():
    raise error

  monkeypatch.setattr(saved._manager, 'latest_step', fail)
  with pytest.raises(MemoryError, match='thread'):
    saved.restore({})


@pytest.mark.slow
def test_threads_print_no_tracebacks(tmp_path):
  """Orbax writes each array by itself, and all of them fail."""
  lines = """
import resource, signal, sys
from types import SimpleNamespace
from metalog_jax.cli import main
def work(values, rest):
  import jax.numpy as jnp
  from metalog_jax.training import checkpoints
  saved = checkpoints.Checkpoints(__import__('pathlib').Path('a'))
  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
  saved.save(1, {f'{i}': jnp.ones(3) for i in range(40)})
  saved.close()
sys.exit(main.run(SimpleNamespace(FLAGS=(), main=work), 'metalog x', sys.argv[1:]))
"""
  command = [sys.executable, '-c', lines]
  environment = os.environ | {'PYTHONPATH': os.getcwd()}
  for more, is_short in ((), True), (('--debug',), False):
    done = subprocess.run(
      [*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and 'File too large; the same' in done.stderr
    assert (done.stderr.count('\n') == 1) == is_short, done.stderr
