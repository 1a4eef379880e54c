"""Whole runs of baselines: thresholds of their own, closed forms, what rows say."""

import dataclasses
import json

import numpy as np
import pytest

from metalog_jax.detectors import registry
from metalog_jax.embeddings import gcse
from metalog_jax.evaluation import scoring
from metalog_jax.runs import model, record, run
from metalog_jax.runs import problem as transfer
from metalog_jax.training import loop
from tests.detectors import systems
from tests.runs import test_run

fixture_root = test_run.fixture_root
SEEN = {  # name -> labels of source and target that its row says it saw
  'pca': (0, 0, 0, 0),
  'deeplog': (0, 0, 20, 0),
  'logtad': (50, 10, 20, 0),
}
FROM = {'pca': 'q_statistic', 'deeplog': 'top_g', 'logtad': 'target_normals'}


def make_job(root, name, **changes) -> run.Job:
  embedding = gcse.Embedding(vectors=str(root / 'vectors.txt'))
  method = systems.small(registry.get(name).Config(), **changes)
  method = dataclasses.replace(method, embedding=embedding)
  data = transfer.Options(
    source=(str(root / 'system_a'),),
    target=str(root / 'system_b'),
    target_normals='20',
    target_anomalies='3',
    split='random',
  )
  return run.Job(name, 'default', method, data, loop.Options(5, 10))


@pytest.fixture(name='made', scope='module', params=sorted(SEEN))
def fixture_made(root, request):
  workdir = root / request.param
  chosen = make_job(root, request.param)
  return chosen, workdir, run.start(chosen, workdir, say=lambda _: None)


def test_the_result_names_the_threshold(made):
  chosen, workdir, result = made
  rest = result['test']['rest']
  assert rest['threshold_from'] == FROM[chosen.detector]
  assert rest['all']['threshold'] != 0.5
  if chosen.detector == 'deeplog':
    assert rest['all']['threshold'] == chosen.method.top
  assert ('note' in result) == (chosen.detector != 'logtad')
  assert json.loads((workdir / 'result.json').read_text()) == result
  seen = [result['labels_seen'][s][k] for s in ('source', 'target') for k in
          ('normal', 'anomalous')]  # fmt: skip
  assert tuple(seen) == SEEN[chosen.detector]


def test_the_model_on_disk_gives_the_scores_of_the_run(made):
  """Also that of a closed form, which takes no step."""
  chosen, workdir, result = made
  loaded = model.load(workdir)
  assert loaded.threshold == result['test']['rest']['all']['threshold']
  problem = transfer.make_problem(
    chosen.data,
    chosen.method.embedding,
    registry.get(chosen.detector).needs(chosen.method),
  )
  again = scoring.Scorer(loaded.detector).scores(loaded.state, problem.tests['rest'])
  np.testing.assert_allclose(again, record.read(workdir).scores['rest'].scores)


def test_a_closed_form_that_was_interrupted_goes_on(root, made):
  chosen, workdir, result = made
  (workdir / 'result.json').unlink()
  again = run.start(chosen, workdir, say=lambda _: None)
  assert again['test'] == result['test'] and again['steps'] == result['steps']


def test_an_alert_rate_comes_first(root, tmp_path):
  chosen = dataclasses.replace(make_job(root, 'pca'), alert_rate=0.2)
  result = run.start(chosen, tmp_path, say=lambda _: None)
  assert result['test']['rest']['threshold_from'] == 'alert_rate'
  assert '--alert_rate sets the threshold by the test sessions' in result['note']
