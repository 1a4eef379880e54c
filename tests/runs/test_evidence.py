"""A run of `evidence`: the rest is shown without labels; new lines get reasons."""

import dataclasses
import json
import subprocess
import sys
import types as types_lib

import numpy as np
import pytest

from metalog_jax import api, errors, types
from metalog_jax.detectors import evidence
from metalog_jax.embeddings import gcse
from metalog_jax.runs import detect, export, model, problem, result_json, run
from tests.runs import test_baseline_runs, test_detect, test_export

fixture_root = test_detect.fixture_root


def test_new_lines_have_the_scores_of_the_run(root, tmp_path):
  result = test_detect.trained(root, tmp_path, 'evidence')
  assert result['test']['rest']['threshold_from'] == 'expected_f1'
  loaded = model.load(tmp_path)
  assert loaded.threshold == result['threshold']['value']
  records = list(detect.detect(loaded, root / 'b' / 'x.log'))
  for record in records:
    values = [part['value'] for part in record['evidence']]
    assert sum(values) == pytest.approx(record['score'])
    assert 0 < record['p_value'] <= 1


@pytest.mark.parametrize('anomalies', [0, 3])
def test_an_exported_model_needs_numpy_alone(anomalies, root, tmp_path):
  chosen = test_baseline_runs.make_job(root, 'evidence')
  shown = dataclasses.replace(chosen.data, source=(), target_anomalies=str(anomalies))
  chosen = dataclasses.replace(chosen, data=dataclasses.replace(shown, test=('rest',)))
  run.start(chosen, tmp_path / 'run', say=test_detect.quiet)
  loaded, out = model.load(tmp_path / 'run'), tmp_path / 'out'
  sizes = export.export(loaded, out)
  assert 'program.stablehlo' not in sizes
  site = test_export.site_of(tmp_path / 'site', ('numpy', 'numpy.libs'))
  log = str(root / 'b' / 'x.log')
  new = tmp_path / 'new.log'
  long = '081109 203501 14 INFO dfs.Node: fetched chunk of blk_1001\n' * 200
  new.write_text(long + '081109 203502 14 INFO dfs.Node: never seen blk_9999\n')
  done = subprocess.run(
    [sys.executable, '-S', str(out / 'run.py'), log, str(new)],
    env={'PYTHONPATH': str(site)}, capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert {path.name for path in out.iterdir()} <= {*export.NAMES}
  ours = [json.loads(line) for line in done.stdout.splitlines()]
  theirs = list(detect.detect(loaded, [log, str(new)]))
  assert [x['session_id'] for x in ours] == [x['session_id'] for x in theirs]
  scores = [[x['score'] for x in each] for each in (ours, theirs)]
  np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)
  assert [x['anomalous'] for x in ours] == [x['anomalous'] for x in theirs]


def test_the_rest_is_shown_without_labels(root):
  options = problem.Options(
    target=str(root / 'system_b'), target_normals='20', target_anomalies='3'
  )
  options = dataclasses.replace(options, split='random')
  words = dataclasses.replace(gcse.Embedding(), vectors=str(root / 'vectors.txt'))
  made = problem.make_problem(options, words, evidence.needs(evidence.Config()))
  shown = made.with_rest().train.target.sessions
  rest = made.tests[types.REST].sessions
  assert shown.num == made.train.target.sessions.num + rest.num
  assert (shown.labels[-rest.num :] == -1).all()
  assert [*shown.ids[-rest.num :]] == [*rest.ids]
  assert shown.of(shown.num - 1).tolist() == rest.of(rest.num - 1).tolist()
  zero_shot = made._replace(tests={})
  assert zero_shot.with_rest() is zero_shot


NOTE = 'without labels, the test sessions set the threshold'


@pytest.mark.parametrize('rate, noted', [(0.0, True), (0.001, False)])
def test_detect_gives_the_detectors_own_warnings(root, tmp_path, rate, noted):
  """Also those of a log that is read in several parts, once."""
  result = test_detect.trained(root, tmp_path, 'evidence', false_alarms=rate)
  assert (NOTE in result.get('note', '')) == noted
  loaded, said = model.load(tmp_path), 'can be promised, and 0.001 was asked for'
  assert any(said in text for text in result['warnings']) == bool(rate)
  assert detect.Judge(loaded, loaded.threshold, 0).warnings == []  # of no session
  for threshold, expected in ((None, bool(rate)), (9.0, False)):
    verdicts = detect.detect(loaded, root / 'b' / 'x.log', threshold)
    list(verdicts)
    texts = verdicts.summary.warnings
    assert sum(said in text for text in texts) == expected


@pytest.mark.parametrize('name, noted', [('rest', True), ('other', False)])
def test_only_the_rest_sets_the_threshold_of_the_best_estimate(name, noted):
  test = result_json.Tested(None, np.zeros(0), 0.0, 'expected_f1')
  notes = result_json._notes(types_lib.SimpleNamespace(note=''), {name: test})
  assert notes == [NOTE] * noted


def test_drift_is_told_of_all_parts_of_a_log_together(root, tmp_path, monkeypatch):
  test_detect.trained(root, tmp_path, 'evidence')
  loaded, tallies = model.load(tmp_path), []
  host = loaded.detector.host
  keep = lambda state, tally, threshold: tallies.append(tally) or ['drift']
  loaded = loaded._replace(
    detector=loaded.detector._replace(host=host._replace(warnings=keep))
  )
  monkeypatch.setattr(detect, 'ROWS', 7)
  verdicts = detect.detect(loaded, root / 'b' / 'x.log')
  rows = [row for row in verdicts if not row['anomalous']]
  odd = sum(row['p_value'] <= 0.05 for row in rows)
  assert tallies[0].tolist() == [len(rows), odd]
  assert 'drift' in verdicts.summary.warnings and len(tallies) == 1


def test_two_thresholds_are_refused(root, tmp_path):
  with pytest.raises(errors.UserError, match='--alert_rate and --false_alarms'):
    api.make_job(target='x', alert_rate='1%', false_alarms='1%')
  test_detect.trained(root, tmp_path / 'first', 'evidence', alert_rate=0.1)
  few = {'target_normals': 20, 'target_anomalies': 3, 'workdir': tmp_path / 'second'}
  said: list[str] = []
  adapted = api.adapt(
    tmp_path / 'first',
    target=root / 'system_a',
    **few,
    false_alarms=0.1,
    say=said.append,
  )
  rest = adapted.result['test']['rest']
  assert rest['threshold_from'] == 'false_alarms 0.1'
  assert any('replaces the --alert_rate=0.1 of' in text for text in said)


def test_a_run_is_fitted_to_another_system(root, tmp_path):
  test_detect.trained(root, tmp_path / 'first', 'evidence')
  few = {'target_normals': 20, 'target_anomalies': 3, 'workdir': tmp_path / 'second'}
  run = api.adapt(tmp_path / 'first', target=root / 'system_a', **few)
  assert run.result['test']['rest']['all']['auroc'] > 0.8
  assert model.load(tmp_path / 'second').threshold == run.result['threshold']['value']


@pytest.mark.parametrize(
  'detector, is_said', [('evidence', True), ('tca_plelog', False)]
)
def test_a_source_that_is_of_no_use_is_said(root, detector, is_said):
  said: list[str] = []
  options = {'source': root / 'system_a', 'target': root / 'system_b'}
  words = {'vectors': str(root / 'vectors.txt'), 'detector': detector}
  job = api.make_job(**words, target_normals=20, target_anomalies=3, **options)
  run._prepare(job, said.append)
  assert any('nothing from the labels of --source' in text for text in said) == is_said


def test_vectors_that_are_not_read_give_no_warning(root, tmp_path):
  """Without a labelled session no word has a weight, and all vectors are zero."""
  chosen = test_baseline_runs.make_job(root, 'evidence')
  none = dict(source=(), target_normals='0', target_anomalies='0')
  chosen = dataclasses.replace(chosen, data=dataclasses.replace(chosen.data, **none))
  said: list[str] = []
  result = run.start(chosen, tmp_path / 'run', say=said.append)
  assert not any('vector' in text for text in [*result['warnings'], *said])
  verdicts = detect.detect(model.load(tmp_path / 'run'), root / 'b' / 'x.log', 9.0)
  assert not model.load(tmp_path / 'run').vectors.any() and len(list(verdicts)) == 60
  assert not any('vector' in text for text in verdicts.summary.warnings)


@pytest.mark.parametrize('detector', ['evidence', 'deeplog', 'pca'])
def test_a_log_whose_words_have_no_vectors(root, tmp_path, detector):
  words = tmp_path / 'v.txt'
  words.write_text('uno 1 2 3\ndue 4 5 6\n')
  chosen = test_baseline_runs.make_job(root, detector)
  vectors = dataclasses.replace(chosen.method.embedding, vectors=str(words))
  method = dataclasses.replace(chosen.method, embedding=vectors)
  chosen = dataclasses.replace(chosen, method=method)
  if detector == 'pca':
    with pytest.raises(errors.UserError, match='v.txt: none of the .* words'):
      run.start(chosen, tmp_path / 'run', say=test_detect.quiet)
    return
  result = run.start(chosen, tmp_path / 'run', say=test_detect.quiet)
  expected = test_baseline_runs.make_job(root, detector)
  expected = run.start(expected, tmp_path / 'other', say=test_detect.quiet)
  assert result['test']['rest']['all'] == expected['test']['rest']['all']
  assert not any('vector' in text for text in result['warnings'])


def test_all_labels_may_be_learned_from(root, tmp_path):
  """Nothing of the target is left to test on: the model is for logs to come."""
  chosen = test_baseline_runs.make_job(root, 'evidence')
  every = dict(source=(), target_normals='100%', target_anomalies='100%')
  chosen = dataclasses.replace(chosen, data=dataclasses.replace(chosen.data, **every))
  result = run.start(chosen, tmp_path, say=test_detect.quiet)
  assert result['test']['rest']['all']['sessions'] == 0
  assert [*result['test']['rest']['floors']] == ['always']
  assert len(list(detect.detect(model.load(tmp_path), root / 'b' / 'x.log'))) == 60
