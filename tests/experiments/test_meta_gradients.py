"""The study as a user runs it, on the smallest job, and what its files say."""

import json
import pathlib
import subprocess
import sys

import pytest

from experiments.studies import tables
from metalog_jax.meta import gradients
from tests.runs import test_run

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (
  '--metalog.hidden=4 --metalog.layers=1 --metalog.batch=8 --metalog.parts=2 '
  '--metalog.inner_steps=2 --metalog.steps=20 --split=random --target_normals=20 '
  '--target_anomalies=3 --devices=1 --tasks=2'
).split()
PARTS = ['all', 'query term', 'attention', 'gru', 'head']

fixture_root = test_run.fixture_root


def study(root: pathlib.Path, out: pathlib.Path, *flags: str):
  command = [sys.executable, '-m', 'experiments.meta_gradients', f'--out={out}',
             f'--source={root}/system_a', f'--target={root}/system_b',
             f'--vectors={root}/vectors.txt', *SMALL, *flags]  # fmt: skip
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(name='done', scope='module')
def fixture_done(root, tmp_path_factory):
  out = tmp_path_factory.mktemp('study')
  done = study(
    root,
    out,
    '--ways=reverse,first',
    '--train_steps=0,3',
    '--inner_lrs=1e-7,0.5',
    '--inner_steps=1',
    '--grid_tasks=1',
  )
  assert done.returncode == 0, done.stderr
  return done, out, json.loads((out / 'meta_gradients.json').read_text())


@pytest.mark.slow
def test_the_files_have_what_was_measured(done):
  done, out, found = done
  assert set(found) == {'settings', 'machine', 'along', 'grid', 'costs', 'outcome'}
  assert [(p['at'], p['step']) for p in found['along']] == [
    ('initial weights', 0),
    ('step 3', 3),
  ]
  ways = ['reverse', 'first']
  for point in found['along']:
    assert list(point['ways']) == ways
    for parts in point['ways'].values():
      assert list(parts)[: len(PARTS)] == PARTS and 'gru/weight_hh_l0' in parts
      for measure in ('cosine', 'difference', 'ratio', 'size'):
        assert len(parts['all'][measure]['each']) == 2
  assert list(found['costs']) == ways and found['outcome'] is None
  for cost in found['costs'].values():
    assert min(cost['temporary_bytes'], cost['seconds_per_step'], cost['flops']) > 0
  text = (out / 'meta_gradients.md').read_text()
  for heading in ('Along training', 'Over the inner loop', 'What a meta-step costs'):
    assert heading in text and heading in done.stdout
  drawn = {path.stem for path in (out / 'figures').glob('*.png')}
  assert {'cosine', 'difference', 'cost_time', 'cost_memory'} <= drawn
  assert 'grid_first_initial_weights' in drawn


@pytest.mark.slow
def test_exact_ways_agree_in_single_precision_and_first_order_does_not(done):
  for point in done[2]['along']:
    for way in set(gradients.EXACT) & set(point['ways']):
      assert max(point['ways'][way]['all']['difference']['each']) < 1e-5
    assert point['ways']['first']['all']['difference']['mean'] > 1e-4


@pytest.mark.slow
def test_first_order_is_exact_where_the_inner_rate_vanishes(done):
  cosine = {
    cell['inner_lr']: cell['ways']['first']['all']['cosine']['mean']
    for cell in done[2]['grid']
  }
  assert cosine[1e-7] == pytest.approx(1, abs=1e-9)
  assert cosine[0.5] < 1 - 1e-4


@pytest.mark.slow
def test_a_model_and_trainings_to_the_end(root, tmp_path):
  test_run.job.start(test_run.make_job(root), tmp_path / 'run', say=lambda _: None)
  flags = [f'--model={tmp_path}/run', '--metalog.steps=4', '--seeds=2', '--nocosts']
  flags += ['--ways=first', '--orders=first,second']
  done = study(root, tmp_path / 'out', *flags)
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'out' / 'meta_gradients.json').read_text())
  assert found['along'][1]['at'].startswith('best, step ')
  assert found['along'][1]['step'] <= 20
  outcome = found['outcome']
  assert outcome['test'] == 'rest' and list(outcome['paired']) == ['second']
  assert len(outcome['measures']['first']['distinct_f1']) == 2
  runs = sorted((tmp_path / 'out' / 'runs').glob('*/result.json'))
  assert [path.parent.name for path in runs] == [
    f'{order}-{seed}' for order in ('first', 'second') for seed in (0, 1)
  ]
  before = [path.stat().st_mtime_ns for path in runs]
  assert study(root, tmp_path / 'out', *flags).returncode == 0
  assert [path.stat().st_mtime_ns for path in runs] == before


@pytest.mark.parametrize('flag, code, says', [
  ('--inner_lrs=fast', 1, '--inner_lrs'),
  ('--ways=third', 1, '--ways'),
  ('--metalog.order=third', 2, 'order'),
])  # fmt: skip
def test_wrong_flags_end_with_one_line(root, tmp_path, flag, code, says):
  done = study(root, tmp_path / 'x', flag)
  assert done.returncode == code
  assert says in done.stderr and 'Traceback' not in done.stderr
  assert not (tmp_path / 'x').exists()


def test_help_answers_without_jax():

  code = 'import sys; import experiments.meta_gradients; print("jax" in sys.modules)'
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.stdout.strip() == 'False', done.stderr


def test_numbers_as_text():
  value = {'mean': 0.01234, 'std': 0.002, 'each': [0.01, 0.014]}
  found = {'first': {'all': {'cosine': value, 'difference': value, 'ratio': value}}}
  cells = [
    {'at': at, 'inner_lr': rate, 'inner_steps': 1, 'ways': found}
    for at in ('initial weights', 'step 9')
    for rate in (0.1, 0.01)
  ]
  table = tables.grid(cells, 'first')
  assert table.head == ['at', 'inner steps', 'rate 0.01', 'rate 0.1']
  assert table.rows[1] == ['step 9', '1', '1.23 (0.0123)', '1.23 (0.0123)']
  assert tables.text(table).splitlines()[0].startswith('at               inner steps')
