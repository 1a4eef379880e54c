"""A trained model is adapted to another system, without the data it was trained on."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from metalog_jax import flags
from metalog_jax.detectors import logmeta
from metalog_jax.embeddings import gcse
from metalog_jax.runs import detect, model, problem, run
from tests.runs import test_run

BUDGET = {'target_normals': '20', 'target_anomalies': '3', 'split': 'random'}

fixture_root = test_run.fixture_root


def make_job(root: pathlib.Path, target: str) -> run.Job:
  method = flags.replace(
    logmeta.Config(),
    embedding=gcse.Embedding(vectors=str(root / 'vectors.txt')),
    hidden=4,
    shots=2,
    queries=2,
    tasks=2,
    inner_steps=1,
    steps=10,
  )
  data = problem.Options(
    source=(str(root / 'system_a'),),
    target=str(root / target) if target else '',
    test=('rest',) if target else (),
    unlabelled='10' if target else '0',
    **BUDGET,
  )
  return run.Job('logmeta', 'default', method, data)


@pytest.fixture(name='trained', scope='module')
def fixture_trained(root) -> pathlib.Path:
  """Without a target."""
  run.start(make_job(root, ''), root / 'sources', say=lambda _: None)
  return root / 'sources'


@pytest.fixture(name='whole', scope='module')
def fixture_whole(root) -> pathlib.Path:
  """With the target, to which training ends by adapting."""
  run.start(make_job(root, 'system_b'), root / 'whole', say=lambda _: None)
  return root / 'whole'


def test_the_result_tells_of_the_adaptation(whole):
  result = json.loads((whole / 'result.json').read_text())
  told, rest = result['adaptation'], result['test']['rest']
  assert (told['normal'], told['anomalous'], told['unlabelled']) == (20, 3, 10)
  for kind in ('all', 'distinct', 'unseen'):  # the same sessions before and after
    assert told['before']['rest'][kind]['sessions'] == rest[kind]['sessions']
  assert rest['unseen']['sessions'] < rest['distinct']['sessions']
  for one in told['pseudo_labels']:
    assert one['right'] <= one['known'] == one['normal'] + one['anomalous'] <= 10


def test_detect_has_the_adapted_state(whole, root):
  import pyarrow.parquet as pq

  found = detect.detect(model.load(whole), root / 'b' / 'x.log')
  verdicts = {v['session_id']: v['score'] for v in found}
  rows = pq.read_table(whole / 'scores.parquet').to_pylist()
  assert len(rows) == 60 - 23 - 10
  for row in rows:
    assert verdicts[row['session_id']] == pytest.approx(row['score'], abs=1e-6)


def test_adapting_later_is_adapting_at_once(trained, whole, root, tmp_path):
  """The same labels, event vectors and scores, and the source is not looked at."""
  away = root / 'system_a'
  away.rename(root / 'gone')
  try:
    base = make_job(root, 'system_b')
    data = dataclasses.replace(base.data, source=())
    chosen = dataclasses.replace(base, data=data, model=str(trained))
    result = run.start(chosen, tmp_path / 'later', say=lambda _: None)
  finally:
    (root / 'gone').rename(away)
  assert result['adaptation']['steps'] == 10
  at_once, later = model.load(whole), model.load(tmp_path / 'later')
  np.testing.assert_array_equal(at_once.vectors, later.vectors)
  expected = json.loads((whole / 'result.json').read_text())['test']['rest']['all']
  for name in ('sessions', 'f1', 'auroc'):
    assert result['test']['rest']['all'][name] == pytest.approx(expected[name])


def test_a_folder_that_is_no_run(root, tmp_path):
  chosen = dataclasses.replace(make_job(root, 'system_b'), model=str(tmp_path / 'no'))
  with pytest.raises(ValueError, match='no finished run'):
    run.start(chosen, tmp_path / 'out', say=lambda _: None)


def test_the_program(trained, root, tmp_path, metalog):
  flags = [f'--model={trained}', f'--target={root}/system_b', '--target_normals=5']
  flags += ['--target_anomalies=3', f'--workdir={tmp_path}/run']
  refused = metalog('adapt', *flags, '--metalog.steps=3')
  assert refused.code == 2 and 'the detector is logmeta' in refused.err
  done = metalog('adapt', *flags, '--logmeta.adapt_steps=7')
  assert done.code == 0, done.err
  assert '7 steps' in done.out and (tmp_path / 'run' / 'result.json').exists()
  assert '--logmeta.adapt_steps' in metalog('adapt', *flags, '--help').out
  assert '  --logmeta' not in metalog('adapt', f'--model={tmp_path}', '--help').out


@pytest.mark.slow
def test_metalog_can_be_adapted_too(root, tmp_path):
  run.start(test_run.make_job(root), tmp_path / 'run', say=lambda _: None)
  trained = test_run.make_job(root)
  data = problem.Options(target=str(root / 'system_a'), **BUDGET)
  chosen = dataclasses.replace(trained, data=data, model=str(tmp_path / 'run'))
  result = run.start(chosen, tmp_path / 'adapted', say=lambda _: None)
  assert result['adaptation']['steps'] == 10
