"""What version 0.1.0 left on disk is read, goes on, and judges as it did.

`version_0_1_0/` was made by that version: two systems of 24 sessions, and PCA on them.
"""

import dataclasses
import json
import pathlib
import shutil

import pytest

from metalog_jax import errors
from metalog_jax.logs import store
from metalog_jax.runs import detect, folder, job, model, run

HERE = pathlib.Path(__file__).parent / 'version_0_1_0'
quiet = lambda _: None


def extends(new, old) -> bool:
  """Whether they are equal but for keys that came later."""
  if isinstance(old, dict):
    return all(extends(new[key], value) for key, value in old.items())
  return new == old


def leaves(settings: dict) -> dict:
  """Settings by their own names, whatever groups they stand in."""
  flat = {}
  for name, value in settings.items():
    flat |= leaves(value) if isinstance(value, dict) else {name: value}
  return flat


@pytest.fixture(name='here')
def fixture_here(tmp_path, monkeypatch) -> pathlib.Path:
  """A copy, as the current folder: the run names its systems from there."""
  monkeypatch.chdir(shutil.copytree(HERE, tmp_path / 'copy'))
  return tmp_path / 'copy'


def test_systems_are_read(here):
  system = store.load('systems/b')
  assert system.sessions.num == 24 and len(system.templates) == 4


def test_verdicts_are_the_same(here):
  loaded = model.load('runs/pca')
  verdicts = list(detect.detect(loaded, 'logs/b.log'))
  before = [json.loads(line) for line in open('verdicts.jsonl')]
  assert [{k: v[k] for k in b} for v, b in zip(verdicts, before, strict=True)] == before


def test_a_finished_run_is_finished(here):
  said = []
  result = run.start(run.restore('runs/pca'), 'runs/pca', say=said.append)
  assert said == ['runs/pca is finished already']
  assert result == json.loads((HERE / 'runs' / 'pca' / 'result.json').read_text())


def test_a_run_gives_the_same_again(here):
  """The scores and figures of the same job, bit for bit."""
  result = run.start(run.restore('runs/pca'), 'again', say=quiet)
  before = json.loads(pathlib.Path('runs/pca/result.json').read_text())
  for name in set(before) - {'seconds', 'test_ms_per_session'}:
    assert extends(result[name], before[name]), name
  for name in ('scores.parquet', 'explained.json'):
    assert pathlib.Path('again', name).read_bytes() == (
      pathlib.Path('runs/pca', name).read_bytes()
    )


def test_an_interrupted_run_goes_on(here):
  pathlib.Path('runs/pca/result.json').unlink()
  result = run.start(run.restore('runs/pca'), 'runs/pca', say=quiet)
  assert result['steps'] == 0 and result['sealed']
  folder.verify('runs/pca')


@pytest.mark.parametrize('name', ['pca', 'metalog', 'deeplog', 'logmeta'])
def test_settings_are_read(here, name):
  """Flat settings, and some that are no more."""
  pathlib.Path('run').mkdir()
  shutil.copy(f'settings/{name}.json', 'run/config.json')
  found = run.restore('run')
  assert found.detector == name and found.data.target == 'systems/b'
  before = leaves(json.loads(pathlib.Path('run/config.json').read_text())['method'])
  now = leaves(dataclasses.asdict(found.method))
  same = now.keys() & before.keys()
  assert len(same) > 5 and {k: now[k] for k in same} == {k: before[k] for k in same}
  job.check_settings(pathlib.Path('run'), found)


def test_settings_that_came_later_count_as_their_defaults(here):
  config = json.loads(pathlib.Path('settings/pca.json').read_text())
  del config['method']['pooling'], config['data']['unlabelled'], config['alert_rate']
  del config['loop']['checkpoint_every'], config['model']
  pathlib.Path('run').mkdir()
  pathlib.Path('run/config.json').write_text(json.dumps(config))
  found = run.restore('run')
  job.check_settings(pathlib.Path('run'), found)
  other = dataclasses.replace(found.method, pooling='mean')
  with pytest.raises(errors.UserError, match=r'other settings \(method.pooling\)'):
    job.check_settings(pathlib.Path('run'), dataclasses.replace(found, method=other))


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"detector": 3}', '{"data": 1}'])
def test_damaged_settings_are_named(tmp_path, text):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(errors.UserError, match='config.json'):
    run.restore(tmp_path)
