"""What version 0.1.0 left is refused, and made again it is the same, bit for bit.

`version_0_1_0/` was made by that version: two systems of 24 sessions, and PCA on them.
"""

import dataclasses
import json
import pathlib
import shutil

import polars as pl
import pytest

from metalog_jax import errors
from metalog_jax.logs import manifests, store, systems
from metalog_jax.report import report
from metalog_jax.runs import detect, folder, job, model, run

HERE = pathlib.Path(__file__).parent / 'version_0_1_0'
quiet = lambda _: None


def extends(new, old) -> bool:
  """Whether they are equal but for keys that came later."""
  if isinstance(old, dict):
    return all(extends(new[key], value) for key, value in old.items())
  return new == old


@pytest.fixture(name='here')
def fixture_here(tmp_path, monkeypatch) -> pathlib.Path:
  """A copy, as the current folder: the run names its systems from there."""
  monkeypatch.chdir(shutil.copytree(HERE, tmp_path / 'copy'))
  return tmp_path / 'copy'


def config_of_today() -> dict:
  """The run's settings in groups, as they are written now."""
  config = json.loads((HERE / 'runs' / 'pca' / 'config.json').read_text())
  method = config['method']
  del method['embedding']['oov']
  method['reading'] = {name: method.pop(name) for name in ('collapse', 'max_events')}
  return config


def restore(config: dict) -> job.Job:
  pathlib.Path('run').mkdir()
  pathlib.Path('run/config.json').write_text(json.dumps(config))
  return run.restore('run')


def test_systems_and_runs_are_refused_and_say_how_to_make_them_again(here):
  with pytest.raises(errors.UserError, match='0.1.0 wrote none; prepare the folder ag'):
    store.load('systems/b')
  for read in (model.load, folder.verify, lambda path: report.write([path], path)):
    with pytest.raises(errors.UserError, match='version 0.1.0 .* or train again with'):
      read('runs/pca')
  with pytest.raises(errors.UserError, match='oov=.*make the run again'):
    run.restore('runs/pca')


def test_systems_scores_figures_and_verdicts_are_the_same(here):
  for name in 'ab':
    path = pathlib.Path('systems', name)
    old = json.loads((path / 'manifest.json').read_text())
    tables = {p.name: pl.read_parquet(p) for p in path.glob('*.parquet')}
    saved = {
      k: tuple(v) if isinstance(v, list) else v for k, v in old['options'].items()
    }
    systems.prepare(systems.Options(**saved), path)
    assert manifests.read(path)['template_hash'] == old['template_hash']
    for file, table in tables.items():
      assert pl.read_parquet(path / file).equals(table), file
  result = run.start(restore(config_of_today()), 'again', say=quiet)
  before = json.loads(pathlib.Path('runs/pca/result.json').read_text())
  for name in set(before) - {'seconds', 'test_ms_per_session'}:
    assert extends(result[name], before[name]), name
  for name in ('scores.parquet', 'explained.json'):
    assert pathlib.Path('again', name).read_bytes() == (
      pathlib.Path('runs/pca', name).read_bytes()
    )
  verdicts = list(detect.detect(model.load('again'), 'logs/b.log'))
  assert all(event.pop('text') for v in verdicts for event in v['events'])
  before = [json.loads(line) for line in open('verdicts.jsonl')]
  assert [{k: v[k] for k in b} for v, b in zip(verdicts, before, strict=True)] == before


def test_settings_that_came_later_count_as_their_defaults(here):
  config = config_of_today()
  del config['method']['pooling'], config['data']['unlabelled'], config['alert_rate']
  del config['loop']['checkpoint_every'], config['model']
  found = restore(config)
  job.check_settings(pathlib.Path('run'), found)
  other = dataclasses.replace(found.method, pooling='mean')
  with pytest.raises(errors.UserError, match=r'other settings \(method.pooling\)'):
    job.check_settings(pathlib.Path('run'), dataclasses.replace(found, method=other))


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"detector": 3}', '{"data": 1}'])
def test_damaged_settings_are_named(tmp_path, text):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(errors.UserError, match='config.json'):
    run.restore(tmp_path)
