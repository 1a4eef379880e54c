"""Run folders: nothing else is deleted, nothing else is taken for one's own."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

from metalog_jax import atomic, errors
from metalog_jax.logs import systems
from metalog_jax.runs import environment, folder, model, run
from tests.runs import test_baseline_runs, test_run

ROOT = pathlib.Path(__file__).parents[2]
quiet = lambda _: None

fixture_root = test_run.fixture_root


@pytest.fixture(name='chosen', scope='module')
def fixture_chosen(root) -> run.Job:
  return test_baseline_runs.make_job(root, 'pca')


@pytest.fixture(name='finished', scope='module')
def fixture_finished(root, chosen) -> pathlib.Path:
  run.start(chosen, root / 'finished', say=quiet)
  return root / 'finished'


def test_a_run_folder_is_cleared(finished, tmp_path):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  (workdir / 'figures').mkdir()
  (workdir / 'report.html').touch()
  (workdir / '.result.json.00000000000000000001-ab.partial.json').touch()
  (workdir / 'scores.parquet.tmp').touch()
  (tmp_path / 'link').symlink_to(workdir)
  folder.clear(tmp_path / 'link', ['elsewhere', '', None])
  assert workdir.is_dir() and not any(workdir.iterdir())
  folder.clear(workdir)
  folder.clear(tmp_path / 'nothing')


@pytest.mark.parametrize('name', ['config.json', 'environment.json', 'result.json'])
@pytest.mark.parametrize('content', [None, b'', b'{}', b'{"kind"'])
def test_a_damaged_run_is_cleared_as_its_error_says(finished, tmp_path, name, content):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  (workdir / name).unlink() if content is None else (workdir / name).write_bytes(
    content
  )
  with pytest.raises(errors.UserError, match='--overwrite'):
    folder.verify(workdir)
  folder.clear(workdir)
  assert not any(workdir.iterdir())


@pytest.mark.parametrize('extra', ['notes.txt', '.git', 'logs/a.log', 'lock'])
def test_a_folder_with_something_else_in_it_stays(finished, tmp_path, extra):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  (workdir / extra).parent.mkdir(exist_ok=True)
  (workdir / extra).touch()
  before = sorted(workdir.rglob('*'))
  with pytest.raises(errors.UserError, match='nothing was deleted'):
    folder.clear(workdir)
  assert sorted(workdir.rglob('*')) == before


@pytest.mark.parametrize('content', ['', '{}', '[]', '{"kind": "sweep"}', None])
def test_what_is_no_run_folder_stays(tmp_path, content):
  (tmp_path / 'model').mkdir()
  (tmp_path / 'model' / 'mine.bin').touch()
  if content is not None:
    (tmp_path / 'config.json').write_text(content)
  with pytest.raises(errors.UserError):
    folder.clear(tmp_path)
  assert (tmp_path / 'model' / 'mine.bin').exists()


def test_inputs_and_system_folders_stay(root, finished, tmp_path, monkeypatch):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  shutil.copytree(root / 'system_a', workdir / 'model' / 'system')
  (tmp_path / 'link').symlink_to(workdir / 'model')
  for item in (workdir, workdir / 'model' / 'system', tmp_path / 'link' / 'system'):
    with pytest.raises(errors.UserError, match='which is read'):
      folder.clear(workdir, [item])
  with pytest.raises(errors.UserError, match='nothing was deleted'):
    folder.clear(root / 'system_a')
  monkeypatch.chdir(workdir)
  with pytest.raises(errors.UserError, match='--workdir is empty'):
    folder.clear('')
  with pytest.raises(errors.UserError, match='is no folder'):
    folder.clear(workdir / 'config.json')
  assert (workdir / 'result.json').exists()


def test_a_folder_in_use_stays(finished, tmp_path):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  with atomic.locked(workdir):
    with pytest.raises(errors.UserError, match='in use'):
      folder.clear(workdir)
  assert (workdir / 'result.json').exists()


def test_a_run_goes_nowhere_else(root, chosen):
  with pytest.raises(errors.UserError, match='--workdir is empty'):
    run.start(chosen, '', say=quiet)
  with pytest.raises(errors.UserError, match='is a System folder'):
    run.start(chosen, root / 'system_b', say=quiet)


def test_two_runs_in_one_folder(chosen, tmp_path):
  with atomic.locked(tmp_path):
    with pytest.raises(errors.UserError, match='in use by another process'):
      run.start(chosen, tmp_path, say=quiet)
  assert not any(tmp_path.iterdir())


def test_other_content_under_the_same_path(root, tmp_path):
  """Neither a finished nor a begun run goes on with it."""
  for name in 'ab':
    shutil.copytree(root / f'system_{name}', tmp_path / f'system_{name}')
  shutil.copy(root / 'vectors.txt', tmp_path)
  chosen = test_baseline_runs.make_job(tmp_path, 'pca')
  run.start(chosen, tmp_path / 'run', say=quiet)
  logs = test_run.write_logs(tmp_path, 'a', 24)
  options = systems.Options(
    'hdfs', logs=(str(logs / 'x.log'),), labels=str(logs / 'labels.csv')
  )
  systems.prepare(options, tmp_path / 'system_a')
  for _ in range(2):
    with pytest.raises(errors.UserError, match='system_a has other content'):
      run.start(chosen, tmp_path / 'run', say=quiet)
    (tmp_path / 'run' / 'result.json').unlink(missing_ok=True)


def test_json_is_strict(finished):
  refuse = lambda constant: pytest.fail(f'{constant} is not JSON')
  for path in finished.rglob('*.json*'):
    for text in [path.read_text()] if path.suffix == '.json' else path.open():
      json.loads(text, parse_constant=refuse)


def test_no_git_and_no_package_are_null(monkeypatch):
  monkeypatch.setenv('PATH', '/nowhere')
  monkeypatch.setattr(environment, 'PACKAGES', ('numpy', 'no-such-package'))
  found = environment.describe()
  assert found['commit'] is None and found['versions']['no-such-package'] is None


@pytest.mark.skipif(not shutil.which('git'), reason='git is not installed')
def test_only_a_repository_of_its_own_is_recorded(tmp_path, monkeypatch):
  def repository(folder, *tracked):
    git = lambda *args: subprocess.run(['git', '-C', folder, *args], check=True)
    git('init', '-q')
    git('add', *tracked)
    git('-c', 'user.name=x', '-c', 'user.email=x', 'commit', '-qm', 'x')

  file = tmp_path / 'project' / 'venv' / 'environment.py'
  other = tmp_path / 'other' / 'environment.py'
  readme = tmp_path / 'project' / 'README'
  for path in (file, other, readme):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  repository(other.parent, 'environment.py')
  repository(readme.parent, 'README')
  assert environment.commit(file) is None
  monkeypatch.setenv('GIT_DIR', str(other.parent / '.git'))  # as in a hook of that one
  assert environment.commit(file) is None
  monkeypatch.delenv('GIT_DIR')
  assert len(environment.commit(other)) == 40


def test_detect_does_not_import_the_training_loop():
  code = (
    'import sys; import metalog_jax.runs.detect;'
    "sys.exit('metalog_jax.training.loop' in sys.modules)"
  )
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=env).returncode == 0


def test_long_templates_cost_what_they_hold(tmp_path, root):
  """One template of 200 kB among 2,000 made 1.5 GB."""
  from metalog_jax import types

  texts = ('', *(f'text {i}' for i in range(1999)), 'x' * 200_000)
  data = types.Dataset(
    'b', types.Sessions.none(), test_run.np.zeros((2001, 3)), texts, root / 'system_b'
  )
  model.save(tmp_path, [], data)
  assert (tmp_path / 'model' / model.EVENTS).stat().st_size < 500_000
  vectors, read = model._events(tmp_path / 'model')
  assert read == texts and vectors.shape == (2001, 3)


CLEAR = """
import sys, jax
from metalog_jax.runs import folder
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
folder.clear(sys.argv[3])
assert not any(folder.run_folder(sys.argv[3]).iterdir())
"""


@pytest.mark.slow
def test_the_first_of_two_processes_clears_and_the_other_waits(finished, tmp_path):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  command = lambda i: [sys.executable, '-c', CLEAR, address, str(i), str(workdir)]
  both = [subprocess.Popen(command(i), cwd=ROOT, env=env) for i in range(2)]
  assert [process.wait(120) for process in both] == [0, 0]
  assert not any(workdir.iterdir())
