"""Whole runs of LogMeta that need more of the encoder than event vectors."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from metalog_jax import types
from metalog_jax.embeddings import pretrained, texts, vector_cache
from metalog_jax.runs import detect, model, run
from tests import builders
from tests.detectors import test_conformance
from tests.embeddings import encoder_cases
from tests.experiments import test_adapt
from tests.runs import test_run

pytestmark = pytest.mark.slow  # nearly all of it is compilation
fixture_root = test_run.fixture_root
quick_compilation = test_conformance.quick_compilation
FORM = pretrained.Form('bert', 99, 8, 2, 2, 8, 40)
OPTIONS = {
  'trainable': {'encoder_trainable': 1, 'encoder_lr': 1e-2},
  'token_level': {'token_level': True, 'max_tokens': 20, 'consistency': 1.0},
}


@pytest.fixture(name='option', scope='module', params=OPTIONS)
def fixture_option(request) -> str:
  return request.param


@pytest.fixture(name='make', scope='module')
def fixture_make(root, option, tmp_path_factory):
  """(target) -> a job, trained on system_a."""
  folder = tmp_path_factory.mktemp('encoder')
  encoder = texts.Encoder(str(encoder_cases.write(folder / 'bert', FORM)))

  def make(target: str) -> run.Job:
    chosen = test_adapt.make_job(root, target)
    change = {'embedding': encoder, 'steps': 3, 'rounds': 1, 'adapt_steps': 2}
    method = dataclasses.replace(chosen.method, **change, **OPTIONS[option])
    return dataclasses.replace(chosen, method=method)

  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(vector_cache.VARIABLE, str(folder / 'cache'))
    yield make


@pytest.fixture(name='whole', scope='module')
def fixture_whole(root, make, tmp_path_factory) -> pathlib.Path:
  workdir = tmp_path_factory.mktemp('whole')
  run.start(make('system_b'), workdir, say=lambda _: None)
  return workdir


def test_the_result_has_the_floors_of_event_vectors(whole, option):
  result = json.loads((whole / 'result.json').read_text())
  assert {'new_event', 'lr_vectors'} <= set(result['test']['rest']['floors'])
  told = result['adaptation']
  assert told['steps'] == 2 and ('consistency' in told) == (option == 'token_level')


def test_what_is_trained_is_kept(whole, option):
  loaded = model.load(whole)
  fresh = loaded.detector.init(jax.random.key(0), _transfer(loaded))
  if option == 'trainable':
    kept, begun = (s.params['encoder']['layer_1'] for s in (loaded.state, fresh))
    assert all(not np.array_equal(kept[name], begun[name]) for name in kept)


def _transfer(loaded):
  data = types.Dataset('', builders.sessions([]), loaded.vectors)
  return types.Transfer((data,), data)


def test_detect_gives_the_scores_of_the_test(whole, root):
  lines = []
  detect.detect(model.load(whole), (str(root / 'b' / 'x.log'),), lines.append)
  verdicts = {v['session_id']: v for v in map(json.loads, lines)}
  rows = pq.read_table(whole / 'scores.parquet').to_pylist()
  assert len(rows) == 60 - 23 - 10
  for row in rows:
    verdict = verdicts[row['session_id']]
    assert verdict['score'] == pytest.approx(row['score'], abs=1e-6)
    assert sum(e['weight'] for e in verdict['events']) == pytest.approx(1, abs=1e-3)


def test_new_lines_are_read(whole, root, tmp_path):
  path, head = tmp_path / 'new.log', '081109 203500 14 INFO dfs.Node:'
  new = 'a disk failure during copy of'
  path.write_text(f'{head} fetched chunk of blk_1\n{head} {new} blk_1\n')
  lines = []
  detect.detect(model.load(whole), (str(path),), lines.append)
  (verdict,) = map(json.loads, lines)
  assert np.isfinite(verdict['score'])
  assert any(e['template'].startswith(new) for e in verdict['events'])


def test_adapting_later_is_adapting_at_once(whole, make, root, tmp_path):
  run.start(make(''), tmp_path / 'sources', say=lambda _: None)
  base = make('system_b')
  data = dataclasses.replace(base.data, source=())
  chosen = dataclasses.replace(base, data=data, model=str(tmp_path / 'sources'))
  run.start(chosen, tmp_path / 'later', say=lambda _: None)
  scores = [
    {r['session_id']: r['score'] for r in pq.read_table(f).to_pylist()}
    for f in (whole / 'scores.parquet', tmp_path / 'later' / 'scores.parquet')
  ]
  assert scores[0] == pytest.approx(scores[1], abs=1e-5)
