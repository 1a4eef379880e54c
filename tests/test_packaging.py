"""What is shipped, and what make does to a user's folders."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def test_make_clean_leaves_the_work_of_hours(tmp_path):
  """0.1.0 removed runs/ and systems/ as well."""
  kept = ['runs/a/result.json', 'systems/b/manifest.json', 'mine/x']
  built = ['.venv/pyvenv.cfg', 'build/x', 'dist/x.whl', '.ruff_cache/x']
  for name in kept + built:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
  make = ['make', '-f', ROOT / 'Makefile', 'clean']
  # Without what a `make test VENV=...` around this test hands on.
  env = {k: v for k, v in os.environ.items() if not k.startswith(('MAKE', 'VENV'))}
  subprocess.run(make, cwd=tmp_path, check=True, env=env)
  subprocess.run([*make, 'VENV=mine'], cwd=tmp_path, check=True, env=env)  # no venv
  assert sorted(path.name for path in tmp_path.iterdir()) == ['mine', 'runs', 'systems']
  assert all((tmp_path / name).exists() for name in kept)


@pytest.fixture(name='wheel', scope='module')
def fixture_wheel(tmp_path_factory) -> pathlib.Path:
  """Built from the files that git tracks or would, in a folder of its own."""
  folder = tmp_path_factory.mktemp('wheel')
  shutil.copytree(ROOT / 'metalog_jax', folder / 'source' / 'metalog_jax')
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, folder / 'source')
  (folder / 'source' / 'experiments').mkdir()
  (folder / 'source' / 'experiments' / '__init__.py').touch()
  build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '-w', folder, '.']
  subprocess.run(build, cwd=folder / 'source', check=True, capture_output=True)
  return next(folder.glob('*.whl'))


@pytest.mark.slow
def test_the_wheel_holds_the_package_alone(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  tops = {name.split('/')[0] for name in names}
  assert wheel.name.startswith('metalog_logs-') and len(tops) == 2
  assert {top.split('-')[0] for top in tops} == {'metalog_jax', 'metalog_logs'}
  for path in (ROOT / 'metalog_jax').rglob('*'):
    if path.is_file() and '__pycache__' not in path.parts:
      assert str(path.relative_to(ROOT)) in names


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(wheel, tmp_path):
  """In an environment of its own, that sees what ours has installed."""
  venv.create(tmp_path / 'env', with_pip=True)
  python = tmp_path / 'env' / 'bin' / 'python'
  install = [python, '-m', 'pip', 'install', '--no-deps', '--quiet', wheel]
  subprocess.run(install, check=True)
  ours = [path for path in sys.path if path.endswith('site-packages')]
  here = tmp_path / 'here'
  here.mkdir()
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  env['PYTHONPATH'] = ':'.join(
    [*map(str, (tmp_path / 'env').rglob('site-packages')), *ours]
  )
  metalog = [tmp_path / 'env' / 'bin' / 'metalog', 'demo']
  done = subprocess.run(metalog, cwd=here, env=env, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert 'report: runs/demo/report.html' in done.stdout
  assert (here / 'runs/demo/report.html').exists()
