"""Snapshots are read back as they were saved, or refused."""

import shutil

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


def test_a_full_disk_is_named(tmp_path, monkeypatch):
  saved = checkpoints.Checkpoints(tmp_path)

  def refuse(*_, **__):
    raise ValueError("RESOURCE_EXHAUSTED: writing [os_error_code='28']")

  monkeypatch.setattr(saved._manager, 'save', refuse)
  with pytest.raises(errors.UserError, match='No space left on device; the same'):
    saved.save(1, {'a': jnp.arange(3.0)})
