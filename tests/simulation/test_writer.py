"""Folders of simulated logs: replaced whole, and only those of a simulation."""

import os
import pathlib
import subprocess
import sys

import pytest

from metalog_jax import atomic, errors
from metalog_jax.simulation import simulate, writer

ROOT = pathlib.Path(__file__).parents[2]


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_failed_simulation_leaves_the_last_one_as_it_was(tmp_path, monkeypatch):
  simulate('cloud', tmp_path, 10)
  before = contents(tmp_path)

  def fail(*_):
    raise OSError('disk full')

  monkeypatch.setattr(writer, '_render', fail)
  with pytest.raises(OSError):
    simulate('cloud', tmp_path, 10, seed=1)
  assert contents(tmp_path) == before


def test_the_last_simulation_is_replaced(tmp_path):
  simulate('cloud', tmp_path, 30)
  simulate('cloud', tmp_path, 10, seed=1)
  simulate('cloud', tmp_path / 'new', 10, seed=1)
  assert contents(tmp_path / 'new') == {
    name: (tmp_path / name).read_bytes() for name in contents(tmp_path / 'new')
  }


@pytest.mark.parametrize('moment', range(4))
def test_no_kill_leaves_a_log_beside_the_labels_of_another(
  moment, tmp_path, monkeypatch
):
  """Ends the program before each of the renames: the log is whole, or not there."""
  simulate('cloud', tmp_path / 'a', 10)
  simulate('cloud', tmp_path / 'b', 10, seed=1)
  old, new = contents(tmp_path / 'a'), contents(tmp_path / 'b')
  code = f"""if True:
    import os
    from metalog_jax.simulation import simulate
    rename, left = os.replace, [{moment}]
    def replace(*args):
      if not left[0]:
        os._exit(9)
      left[0] -= 1
      rename(*args)
    os.replace = replace
    simulate('cloud', {str(tmp_path / 'a')!r}, 10, seed=1)"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT)
  now = {
    name: (tmp_path / 'a' / name).read_bytes()
    for name in old
    if (tmp_path / 'a' / name).exists()
  }
  if 'cloud.log' in now:
    assert now in (old, new)
  simulate('cloud', tmp_path / 'a', 10, seed=1)
  assert contents(tmp_path / 'a') == new


@pytest.mark.parametrize('name', ['cloud.log', 'anomaly_label.csv', 'truth.csv'])
@pytest.mark.parametrize('kind', ['file', 'pipe', 'link', 'folder'])
def test_nothing_but_the_last_simulation_is_replaced(name, kind, tmp_path):
  out, path = tmp_path / 'out', tmp_path / 'out' / name
  out.mkdir()
  (tmp_path / 'mine').write_text('mine')
  if kind == 'file':
    path.write_text('mine')
  elif kind == 'pipe':
    os.mkfifo(path)
  elif kind == 'link':
    path.symlink_to(tmp_path / 'mine')
  else:
    path.mkdir()
  with pytest.raises(errors.UserError, match=name):
    simulate('cloud', out, 10)
  assert list(out.iterdir()) == [path]
  assert (tmp_path / 'mine').read_text() == 'mine'
  assert kind != 'file' or path.read_text() == 'mine'


def test_two_systems_do_not_share_a_folder(tmp_path):
  """The second one's labels and truth would take the place of the first one's."""
  simulate('blockstore', tmp_path, 10)
  before = contents(tmp_path)
  for system in ('cloud', 'cluster'):
    with pytest.raises(errors.UserError, match='blockstore.log'):
      simulate(system, tmp_path, 10)
  assert contents(tmp_path) == before


def test_two_simulations_at_once_are_refused(tmp_path):
  with atomic.locked(tmp_path):
    with pytest.raises(errors.UserError, match='process'):
      simulate('cloud', tmp_path, 10)
  assert not contents(tmp_path)


def test_a_file_is_no_folder(tmp_path):
  (tmp_path / 'out').write_text('mine')
  with pytest.raises(errors.UserError, match='out'):
    simulate('cloud', tmp_path / 'out', 10)
  assert (tmp_path / 'out').read_text() == 'mine'
