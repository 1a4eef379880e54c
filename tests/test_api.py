"""The Python door: few lines, paths of any kind, nothing heavy before it is used."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import metalog_jax as ml
from metalog_jax import api, errors, flags, machine
from tests.runs import test_run

SMALL = {
  'hidden': 4,
  'layers': 1,
  'batch': 8,
  'parts': 2,
  'inner_steps': 1,
  'steps': 20,
}
BUDGET = {'target_normals': 20, 'target_anomalies': 3, 'split': 'random'}
fixture_root = test_run.fixture_root


@pytest.fixture(name='run', scope='module')
def fixture_run(root) -> ml.Run:
  return ml.train(
    source=ml.System(root / 'system_a', {}),
    target=str(root / 'system_b'),
    detector='metalog',
    vectors=str(root / 'vectors.txt'),
    workdir=root / 'door',
    **BUDGET,
    **SMALL,
  )


def test_importing_it_imports_nothing_heavy():
  code = (
    'import sys, metalog_jax as ml; assert "train" in dir(ml);'
    'sys.exit(len({"jax", "numpy", "polars", "absl"} & set(sys.modules)))'
  )
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_names_are_those_that_are_promised():
  assert set(api.__all__) == set(ml.__all__)
  assert {'scan', 'prepare', 'train', 'adapt', 'load', 'simulate'} <= set(ml.__all__)
  for name in ml.__all__:
    assert getattr(ml, name) is getattr(api, name)
  with pytest.raises(AttributeError, match='trian'):
    ml.trian  # noqa: B018 (it is looked up)


@pytest.mark.parametrize('form', [str, pathlib.Path, lambda path: [path], 'pattern'])
def test_one_path_or_several(root, tmp_path, form):
  """In 0.1.0 a str was taken for a list of one-letter paths."""
  log = root / 'a' / 'x.log'
  logs = str(root / 'a' / '*.log') if form == 'pattern' else form(log)
  labels = root / 'a' / 'labels.csv'
  system = ml.prepare(logs, system='hdfs', labels=labels, out=tmp_path / 'system')
  assert system.manifest['sessions'] == 60 and system.folder == tmp_path / 'system'
  assert system.load().sessions.num == 60
  again = ml.prepare(logs, system='hdfs', labels=labels, out=tmp_path / 'system')
  assert again == system


def test_a_run_has_result_scores_and_report(run, tmp_path):
  assert run.result['labels_seen']['target'] == {'normal': 20, 'anomalous': 3}
  assert set(run.scores.columns) == {'system', 'session_id', 'label', 'score'}
  assert run.scores.height == 60 - 23
  shutil.copytree(run.folder, tmp_path / 'a[1]')  # no pattern, though it looks like one
  assert ml.Run(tmp_path / 'a[1]').scores.equals(run.scores)
  report = run.report(tmp_path)
  assert report == tmp_path / 'report.html' and report.exists()


@pytest.mark.parametrize('form', [str, pathlib.Path, lambda path: [str(path)]])
def test_a_run_judges_new_lines(run, root, form):
  loaded = ml.load(form(run.folder) if form in (str, pathlib.Path) else run)
  verdicts = loaded.detect(form(root / 'b' / 'x.log'))
  frame = verdicts.to_polars()
  assert frame.height == 60 and {'session_id', 'score', 'anomalous'} <= set(
    frame.columns
  )
  assert [verdict['session_id'] for verdict in verdicts] == frame[
    'session_id'
  ].to_list()


def test_settings_of_the_method_are_those_of_its_flags(run, root):
  def values(job) -> dict:
    settings = flags.describe('', job.method)
    return {setting.flag.removeprefix('.'): setting.default for setting in settings}

  assert SMALL.items() <= values(api.runs.restore(run.folder)).items()
  given = {'order': 'first', 'embedding.idf': 'per_system'}
  job = api.make_job(detector='metalog', target='x', **given)
  assert given.items() <= values(job).items()


@pytest.mark.parametrize('wrong, says', [
  ({'detector': 'metalgo'}, 'metalog'),
  ({'preset': 'none'}, 'target_only'),
  ({'order': 'third'}, 'first'),
  ({'hiden': 3}, 'hidden'),
  ({'split': 'randon'}, 'random'),
  ({'seed': 2**64}, 'seed'),
  ({'target': 'nowhere'}, 'nowhere'),
])  # fmt: skip
def test_wrong_settings_are_errors_of_the_user(tmp_path, wrong, says):
  with pytest.raises(errors.UserError, match=says):
    ml.train(
      workdir=tmp_path / 'run', **({'target': 'x', 'detector': 'metalog'} | wrong)
    )


def test_wrong_options_of_prepare(tmp_path):
  with pytest.raises(errors.UserError, match="did you mean 'labels'"):
    ml.prepare('x.log', system='hdfs', out=tmp_path / 'x', label='y')


def test_what_is_no_run(tmp_path):
  with pytest.raises(errors.UserError, match='no finished run'):
    ml.load(tmp_path)


def test_a_run_is_adapted(run, root, tmp_path):
  adapted = ml.adapt(
    run,
    target=ml.System(root / 'system_a', {}),
    workdir=tmp_path / 'adapted',
    target_anomalies=3,
  )
  assert adapted.result['adaptation']['anomalous'] == 3


def test_simulated_logs_are_prepared(tmp_path):
  written = ml.simulate('supercomputer', tmp_path, sessions=50)
  system = ml.prepare(written.log, system='bgl', out=tmp_path / 'system')
  assert system.manifest['simulated'] and system.manifest['lines'] == written.lines


def test_machine_refuses_devices_without_end():
  with pytest.raises(errors.UserError, match='--devices=100000'):
    machine.use(100_000)


def test_readme_shows_it_in_under_ten_lines():
  readme = (pathlib.Path(__file__).parents[1] / 'README.md').read_text()
  code = next(
    c for c in re.findall(r'```python\n(.*?)```', readme, re.S) if 'as ml' in c
  )
  compile(code, 'README.md', 'exec')
  assert len(code.splitlines()) < 10
  assert (
    {'scan', 'prepare', 'train'}
    <= set(re.findall(r'\bml\.(\w+)\(', code))
    <= set(ml.__all__)
  )
