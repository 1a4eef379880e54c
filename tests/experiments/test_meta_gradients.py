"""The study as a user runs it, on the smallest job, and what its files say."""

import json
import math
import pathlib
import subprocess
import sys

import polars as pl
import pytest

from experiments.studies import gradient_report, markdown
from metalog_jax.meta import gradients
from tests.runs import test_run

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (
  '--metalog.hidden=4 --metalog.layers=1 --metalog.batch=8 --metalog.parts=2 '
  '--metalog.inner_steps=2 --metalog.steps=20 --split=random --target_normals=20 '
  '--target_anomalies=3 --devices=1 --tasks=2'
).split()
PARTS = ['all', 'query term']

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
    '--modes=reverse,first',
    '--train_steps=0,3',
    '--inner_lrs=1e-7,0.5',
    '--inner_steps=1',
    '--grid_tasks=1',
  )
  assert done.returncode == 0, done.stderr
  return done, out, json.loads((out / 'meta_gradients.json').read_text())


@pytest.mark.slow
def test_the_files_have_what_was_measured(done):
  done, out, results = done
  assert set(results) == {'settings', 'machine', 'along', 'grid'}
  places = [(r['at'], r['step'], r['mode'], r['part']) for r in results['along']]
  assert len(places) == len(set(places))
  for at in (('initial weights', 0), ('step 3', 3)):
    for mode in ('reverse', 'first'):
      parts = [part for *place, part in places if (*place,) == (*at, mode)]
      assert parts == PARTS
  for record in results['along']:
    for measure in ('cosine', 'difference', 'ratio', 'size'):
      assert len(record[measure]) == 2
  text = (out / 'meta_gradients.md').read_text()
  assert text in done.stdout
  for heading in ('Along training', 'Over the inner loop'):
    assert heading in text


@pytest.mark.slow
def test_exact_modes_agree_in_single_precision_and_first_order_does_not(done):
  for record in done[2]['along']:
    if record['part'] == 'all':
      is_exact = record['mode'] in gradients.EXACT
      far = max(record['difference'])
      assert far < 1e-5 if is_exact else far > 1e-4


@pytest.mark.slow
def test_first_order_is_exact_where_the_inner_rate_vanishes(done):
  cosine = {record['inner_lr']: record['cosine'][0] for record in done[2]['grid']}
  assert cosine[1e-7] == pytest.approx(1, abs=1e-9)
  assert cosine[0.5] < 1 - 1e-4


@pytest.mark.parametrize('flag, code, says', [
  ('--inner_lrs=fast', 1, '--inner_lrs'),
  ('--inner_lrs=inf', 1, '--inner_lrs'),
  ('--modes=frist', 1, "did you mean 'first'?"),
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


def test_distances_as_tables():
  figures = {
    'cosine': [0.5, 0.7],
    'difference': [0.01, 0.014],
    'ratio': [1.0, math.nan],
  }
  record = {'mode': 'first', 'part': 'all', 'size': [2.0, 4.0], **figures}
  grid = [
    record | {'at': at, 'inner_lr': rate, 'inner_steps': steps}
    for steps in (10, 1)
    for rate in (0.1, 0.01)
    for at in ('initial weights', 'a step')
  ]
  table = gradient_report.grid_table(grid, 'first')
  assert table.columns == ['at', 'inner steps', 'rate 0.01', 'rate 0.1']
  assert table['at'].to_list() == ['initial weights'] * 2 + ['a step'] * 2
  assert table.row(1) == ('initial weights', 10, '1.2 (0.6000)', '1.2 (0.6000)')
  (row,) = gradient_report.along_table([record | {'at': 'step 9'}]).rows(named=True)
  assert row == {'at': 'step 9', 'mode': 'first', 'exact': '3', 'worst': '0.5000',
                 'cosine': '0.6000 ± 0.1414', 'difference %': '1.2 ± 0.283',
                 'length ratio': '1'}  # fmt: skip


def test_tables_as_markdown():
  frame = pl.DataFrame({'a|b': ['long name', None], 'n': [1, 22]})
  assert markdown.table(frame).splitlines() == [
    '| a\\|b      |   n |',
    '| --------- | --: |',
    '| long name |   1 |',
    '| –         |  22 |',
  ]
