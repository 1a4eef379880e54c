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
