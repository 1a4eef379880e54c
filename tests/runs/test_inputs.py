"""No label leaks from one role to another, and no test set is lost by its name."""

import dataclasses
import json
import os
import pathlib
import shutil

import pytest

from metalog_jax import errors
from metalog_jax.runs import inputs, run
from tests.runs import test_baseline_runs, test_run

fixture_root = test_run.fixture_root


def relative(path: pathlib.Path) -> str:
  return os.path.relpath(path)


@pytest.fixture(name='aliases', scope='module')
def fixture_aliases(root) -> dict[str, str]:
  """Other names, and copies, of system_b."""
  folder = root / 'system_b'
  (root / 'link').symlink_to(folder)
  shutil.copytree(folder, root / 'copy')
  renamed = root / 'renamed' / 'system_b.log'
  renamed.parent.mkdir()
  options = test_run.systems.Options(
    'hdfs', logs=(str(renamed),), labels=str(root / 'b' / 'labels.csv'), max_events=2
  )
  shutil.copy(root / 'b' / 'x.log', renamed)
  test_run.systems.prepare(options, root / 'shorter')
  return {
    'same': str(folder),
    'slash': f'{folder}/',
    'dots': f'{folder}/../system_b',
    'relative': relative(folder),
    'link': str(root / 'link'),
    'copy': str(root / 'copy'),
    'same log': str(root / 'shorter'),
  }


@pytest.mark.parametrize(
  'alias', ['same', 'slash', 'dots', 'relative', 'link', 'copy', 'same log']
)
@pytest.mark.parametrize('roles', ['source target', 'source test', 'target test'])
def test_a_folder_has_one_role(root, aliases, alias, roles):
  a, b, other = str(root / 'system_a'), str(root / 'system_b'), aliases[alias]
  given = {
    'source target': ([b], other, ['rest']),
    'source test': ([b], '', [other]),
    'target test': ([a], b, ['rest', other]),
  }[roles]
  with pytest.raises(errors.UserError, match='may not be tested'):
    inputs.load(*given)


def test_a_folder_is_given_once(root):
  a = str(root / 'system_a')
  with pytest.raises(errors.UserError, match='give each folder once'):
    inputs.load([a, f'{a}/'], '', [str(root / 'system_b')])
  with pytest.raises(errors.UserError, match='names no folder'):
    inputs.load(['', a], '', [])


def test_names_are_unique():
  assert inputs.unique_names(['x/hdfs', 'x/bgl/']) == ['hdfs', 'bgl']
  assert inputs.unique_names(['v1/hdfs', 'v2/hdfs']) == ['v1_hdfs', 'v2_hdfs']
  same = inputs.unique_names(['1/v/hdfs', '2/v/hdfs', 'v_hdfs', 'x/rest'])
  assert same == ['v_hdfs', 'v_hdfs-2', 'v_hdfs-3', 'rest-2']


def test_folders_of_one_name_are_all_tested(root, tmp_path):
  for version, name in (('v1', 'c'), ('v2', 'd')):
    logs = test_run.write_logs(tmp_path, 'a', 20 if name == 'c' else 30)
    options = test_run.systems.Options(
      'hdfs', logs=(str(logs / 'x.log'),), labels=str(logs / 'labels.csv')
    )
    test_run.systems.prepare(options, tmp_path / version / 'hdfs')
    shutil.rmtree(logs)
  chosen = test_baseline_runs.make_job(root, 'pca')
  tests = ('rest', str(tmp_path / 'v1/hdfs'), str(tmp_path / 'v2/hdfs'))
  data = dataclasses.replace(chosen.data, test=tests)
  chosen = dataclasses.replace(chosen, data=data)
  result = run.start(chosen, tmp_path / 'run', say=lambda _: None)
  sizes = {name: test['all']['sessions'] for name, test in result['test'].items()}
  assert sizes == {'rest': 37, 'v1_hdfs': 20, 'v2_hdfs': 30}
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert len(config['systems']) == 4
