"""A whole run: raw lines in, a detector out that judges raw lines alike."""

import dataclasses
import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from metalog_jax import flags
from metalog_jax.detectors import metalog
from metalog_jax.embeddings import gcse, texts, vector_cache
from metalog_jax.logs import systems
from metalog_jax.report import report
from metalog_jax.runs import detect, model, problem, record, run
from metalog_jax.training import loop
from tests.embeddings import encoder_cases

VERBS = {
  'a': ('received packet of', 'stored replica of', 'disk failure while writing'),
  'b': ('fetched chunk of', 'kept copy of', 'storage error during write of'),
}


def write_logs(root: pathlib.Path, name: str, num: int = 60) -> pathlib.Path:
  """HDFS-like lines of `num` blocks; every sixth ends in a failure."""
  out = root / name
  out.mkdir()
  lines, labels = [], ['BlockId,Label']
  first, second, bad = VERBS[name]
  for i in range(num):
    block = f'blk_{1000 + i}'
    texts = [first] * (1 + i % 4) + [second] * (1 + i % 3) + [bad] * (i % 6 == 0)
    for text in texts:
      lines.append(f'081109 2035{i % 60:02d} 14 INFO dfs.Node: {text} {block}')
    labels.append(f'{block},{"Anomaly" if i % 6 == 0 else "Normal"}')
  (out / 'x.log').write_text('\n'.join(lines) + '\n')
  (out / 'labels.csv').write_text('\n'.join(labels) + '\n')
  return out


@pytest.fixture(name='root', scope='module')
def fixture_root(tmp_path_factory) -> pathlib.Path:
  root = tmp_path_factory.mktemp('job')
  for name in VERBS:
    logs = write_logs(root, name)
    options = systems.Options(
      'hdfs', logs=(str(logs / 'x.log'),), labels=str(logs / 'labels.csv')
    )
    systems.prepare(options, root / f'system_{name}')
  words = {w for verbs in VERBS.values() for text in verbs for w in text.split()}
  rows = [f'{w} {i % 5} {i % 3 - 1} {-(i % 2)}' for i, w in enumerate(sorted(words))]
  (root / 'vectors.txt').write_text('\n'.join(rows) + '\n')
  return root


def make_job(root: pathlib.Path, **changes) -> run.Job:
  method = flags.replace(
    metalog.Config(),
    embedding=gcse.Embedding(vectors=str(root / 'vectors.txt')),
    hidden=4,
    layers=1,
    batch=8,
    parts=2,
    inner_steps=1,
    steps=20,
  )
  data = problem.Options(
    source=(str(root / 'system_a'),),
    target=str(root / 'system_b'),
    target_normals='20',
    target_anomalies='3',
    split='random',
    **changes,
  )
  return run.Job('metalog', 'default', method, data, loop.Options(5, 10))


@pytest.fixture(name='workdir', scope='module')
def fixture_workdir(root) -> pathlib.Path:
  run.start(make_job(root), root / 'run', say=lambda _: None)
  return root / 'run'


@pytest.fixture(name='unvalidated', scope='module')
def fixture_unvalidated(root) -> pathlib.Path:
  run.start(make_job(root, validation=0.0), root / 'all', say=lambda _: None)
  return root / 'all'


def test_the_result_has_what_the_interface_promises(workdir):
  result = json.loads((workdir / 'result.json').read_text())
  assert result['labels_seen'] == {
    'source': {'normal': 50, 'anomalous': 10},
    'target': {'normal': 20, 'anomalous': 3},
  }
  rest = result['test']['rest']
  assert rest['all']['sessions'] == 60 - 23 and rest['all']['anomalies'] == 7
  assert {'distinct', 'unseen', 'floors'} <= set(rest)
  assert {'always', 'new_event', 'lr_vectors', 'knn_counts'} <= set(rest['floors'])
  for floor in rest['floors'].values():
    assert floor['all']['sessions'] == 37
  assert set(result['seconds']) == {'prepare', 'setup', 'compile', 'train', 'test'}
  assert report.table(result).startswith('metalog')
  assert record.read(workdir).scores['rest'].labels.sum() == 7


@pytest.mark.slow
def test_the_way_that_auto_picked_is_said_and_kept(root, tmp_path):
  chosen = make_job(root)
  method = flags.replace(chosen.method, gradient='auto', steps=1)
  said = []
  result = run.start(
    dataclasses.replace(chosen, method=method), tmp_path, say=said.append
  )
  assert result['gradient'] == 'linearized'
  assert any(line.startswith('meta-gradient: linearized (') for line in said)


@pytest.mark.slow
def test_a_job_explained_trains_nothing(root):
  method = flags.replace(make_job(root).method, gradient='remat')
  text = run.explain(dataclasses.replace(make_job(root), method=method))
  assert text.startswith('meta-gradient       remat (as asked for)')
  for word in ('parameters', 'GFLOP', 'MiB', 'compilation', 'ms'):
    assert word in text


def test_a_finished_run_is_not_done_again(workdir, root):
  before = (workdir / 'result.json').stat().st_mtime_ns
  said = []
  run.start(make_job(root), workdir, say=said.append)
  assert 'finished' in said[0]
  assert (workdir / 'result.json').stat().st_mtime_ns == before


def test_other_settings_do_not_touch_a_run(workdir, root):
  with pytest.raises(ValueError, match='--workdir'):
    run.start(make_job(root, seed=5), workdir, say=lambda _: None)


@pytest.mark.parametrize('name', ['workdir', 'unvalidated'])
def test_detect_gives_the_scores_of_the_test(name, root, request):
  workdir = request.getfixturevalue(name)
  loaded = model.load(workdir)
  found = detect.detect(loaded, root / 'b' / 'x.log')
  verdicts = {v['session_id']: v for v in found}
  assert found.summary.sessions == len(verdicts) == 60
  table = pq.read_table(workdir / 'scores.parquet').to_pylist()
  assert len(table) == 37
  for row in table:
    verdict = verdicts[row['session_id']]
    assert verdict['score'] == pytest.approx(row['score'], abs=1e-6)
    assert verdict['anomalous'] == (row['score'] > 0.5)
  raw = (root / 'b' / 'x.log').read_text().splitlines()
  for verdict in verdicts.values():
    assert verdict['session_id'] in raw[verdict['first_line'] - 1]
    assert sum(e['weight'] for e in verdict['events']) == pytest.approx(1, abs=1e-3)
    for event in verdict['events']:
      for number in event['lines']:
        assert event['template'].split()[0] in raw[number - 1]


def test_new_lines_are_counted(workdir, root, tmp_path):
  path = tmp_path / 'new.log'
  head = '081109 203500 14 INFO dfs.Node:'
  path.write_text(
    f'{head} fetched chunk of blk_1\n'
    f'{head} something that nobody has ever said before of blk_1\n'
  )
  found = detect.detect(model.load(workdir), str(path))
  (verdict,) = found
  assert verdict['unknown_events'] == 1
  assert found.summary.manifest['assignment']['unknown'] == 1


def test_an_encoder_knows_what_new_lines_mean(root, tmp_path, monkeypatch):
  """Train and detect with vectors of an encoder: a new template has its own."""
  monkeypatch.setenv(vector_cache.VARIABLE, str(tmp_path / 'cache'))
  folder = encoder_cases.write(tmp_path / 'encoder', encoder_cases.FORMS['bert'])
  chosen = make_job(root)
  embedding = texts.Encoder(str(folder), pooling='first')
  method = flags.replace(chosen.method, embedding=embedding, steps=2)
  said = []
  run.start(
    dataclasses.replace(chosen, method=method), tmp_path / 'run', say=said.append
  )
  assert 'words of system_b: 10 of 10 known' in said
  loaded = model.load(tmp_path / 'run')
  assert loaded.embedding == embedding
  verdicts = {v['session_id']: v for v in detect.detect(loaded, root / 'b' / 'x.log')}
  for row in pq.read_table(tmp_path / 'run' / 'scores.parquet').to_pylist():
    found = verdicts[row['session_id']]['score']
    assert found == pytest.approx(row['score'], abs=1e-6)
  path, head = tmp_path / 'new.log', '081109 203500 14 INFO dfs.Node:'
  new = 'a disk failure during copy of'
  path.write_text(f'{head} fetched chunk of blk_1\n{head} {new} blk_1\n')
  (verdict,) = detect.detect(loaded, [path])
  assert verdict['unknown_events'] == 1
  assert {e['template'] for e in verdict['events']} == {
    'fetched chunk of <BLOCK>',
    f'{new} <BLOCK>',
  }
  grown = model.extend(loaded, (*loaded.texts, new))
  np.testing.assert_array_equal(grown.vectors[-1], texts.encode([new], embedding)[0])
  np.testing.assert_array_equal(grown.vectors[:-1], loaded.vectors)


@pytest.mark.parametrize('missing', ['result.json', 'config.json'])
def test_no_model_without_a_finished_run(tmp_path, missing):
  for name in {'result.json', 'config.json'} - {missing}:
    (tmp_path / name).write_text('{}')
  with pytest.raises(ValueError, match=missing):
    model.load(tmp_path)


def test_a_budget_beyond_what_there_is(root, tmp_path):
  with pytest.raises(ValueError, match='--target_anomalies'):
    wrong = make_job(root)
    data = dataclasses.replace(wrong.data, target_anomalies='99')
    run.start(dataclasses.replace(wrong, data=data), tmp_path, say=lambda _: None)


def test_a_run_says_at_its_start_that_vectors_show_nothing(root):
  """Without a labelled session no word has a weight, and all vectors are zero."""
  job = make_job(root)
  data = dataclasses.replace(
    job.data, source=(), target_normals='0', target_anomalies='0'
  )
  said = []
  run._prepare(dataclasses.replace(job, data=data), said.append)
  assert any('event vectors are zero' in line and '--fit=all' in line for line in said)
  said.clear()
  run._prepare(job, said.append)
  assert not any('zero' in line for line in said)
