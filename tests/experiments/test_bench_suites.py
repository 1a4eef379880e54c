"""The suites on toy sizes: what they write, and that all variants agree."""

import json
import pathlib
import re
import subprocess
import sys
import time

import jax
import matplotlib as mpl
import numpy as np
import pytest

from experiments import bench
from experiments.benches import (
  bench_machine,
  inference,
  interleave,
  meta_step,
  profile,
  scaling,
  suite,
  variants,
  worker,
  workloads,
)
from metalog_jax import meta
from metalog_jax.cli import main as programs
from metalog_jax.meta import gradients

ROOT = pathlib.Path(__file__).parents[2]
TINY = workloads.WORKLOADS['tiny']


@pytest.fixture(scope='module', autouse=True)
def compile_quickly():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.mark.parametrize('name', ['hdfs', 'bgl'])
def test_sessions_made_to_a_profile_have_it(name):
  figures = profile.load(name)
  again = profile.measure(profile.sessions(figures))
  total = lambda f: sum(f['lengths']) - sum(f['shared'])
  assert total(again) == total(figures)
  kinds = lambda f: sorted(zip(f['lengths'], f['normals'], f['anomalies']))
  assert kinds(again) == kinds(figures)


def test_shared_beginnings_are_counted_in_lexicographic_order():
  rows = [np.array(r) for r in ([1, 2, 3], [1, 2], [5], [1, 2], [1, 4])]
  found = profile.measure(profile.collect(rows, np.array([0, 1, 0, 0, 1], np.int8)))
  assert found['shared'] == [0, 2, 1, 0]  # 1 2, 1 2 3, 1 4, 5
  assert found['lengths'] == [2, 3, 2, 1]
  assert (found['normals'], found['anomalies']) == ([1, 1, 0, 1], [1, 0, 1, 0])


def test_the_same_sessions_are_drawn_whatever_is_shared():
  def drawn(sharing):
    support, query = workloads.Draws(TINY, sharing, {}).padded(3, trim=True)
    rows = [
      sorted(zip(map(bytes, batch.events), batch.labels.tolist()))
      for batch in [*support, query]
    ]
    return rows

  assert drawn('nothing') == drawn('sequences') == drawn('prefixes')


@pytest.fixture(scope='module')
def references():
  found = {}
  for order in ('second', 'first'):
    runner = _build(variants.Variant('jax', 'reference', order))
    runner.run(0)
    found[order] = runner.answer()
  return found


def _build(variant):
  return meta_step.build(
    {
      'workload': 'tiny',
      'variant': variant._asdict(),
      'folders': {},
      'draws': 1,
    }
  )


def _cases():
  """Every variant; of jax's, each takes long to compile."""
  for name, variant in meta_step.METALOG.items():
    slow = variant.framework == 'jax' and name != 'ours, prefixes'
    yield pytest.param(name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize('name', list(_cases()))
def test_all_variants_take_the_same_meta_gradient(name, references):
  variant = meta_step.METALOG[name]
  if variant.framework == 'torch':
    pytest.importorskip('torch', reason='the peers need the extra `torch`')
  runner = _build(variant)
  runner.run(0)
  assert worker.error(runner.answer(), references[variant.order]) < 3e-6


def test_the_comparison_tells_the_orders_apart(references):
  assert worker.error(references['first'], references['second']) > 1e-2


def _logmeta(variant):
  spec = {'workload': 'logmeta_tiny', 'variant': variant._asdict(), 'draws': 1}
  runner = meta_step.build(spec)
  runner.run(0)
  return runner.answer()


@pytest.fixture(scope='module')
def logmeta_reference():
  return _logmeta(variants.Variant('jax', 'reference'))


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[pytest.mark.slow] if name.startswith('ours,') else [])
    for name, variant in meta_step.LOGMETA.items()
    if variant.devices == 1
  ],
)
def test_all_variants_take_the_same_meta_gradient_of_logmeta(name, logmeta_reference):
  variant = meta_step.LOGMETA[name]
  if variant.framework == 'torch':
    pytest.importorskip('torch', reason='the peers need the extra `torch`')
  assert worker.error(_logmeta(variant), logmeta_reference) < 3e-6


@pytest.mark.parametrize('workload, peer', [
  ('tiny', 'nn.GRU sorted, B=128'), ('tiny_one', 'nn.GRU alone, 1 thread'),
])  # fmt: skip
def test_scores_agree(workload, peer):
  found = []
  pytest.importorskip('torch', reason='the peers need the extra `torch`')
  for variant in (
    variants.Variant('jax', 'reference'),
    inference.VARIANTS['ours'],
    inference.VARIANTS[peer],
  ):
    spec = {'workload': workload, 'variant': variant._asdict(), 'folders': {}}
    runner = inference.build(spec)
    runner.run(0)
    found.append(runner.answer())
  assert worker.error(found[1], found[0]) < 1e-6
  assert worker.error(found[2], found[0]) < 1e-6


def test_a_session_alone_is_timed_by_itself():
  variant = inference.VARIANTS['ours']._asdict()
  runner = inference.build({'workload': 'tiny_one', 'variant': variant, 'folders': {}})
  runner.run(0)
  sample = worker.timed(lambda: runner.run(0), 2)
  assert sample['seconds'] < worker.timed(lambda: runner.run(0) and None)['seconds'] / 9


def test_the_program_measures_in_processes_and_writes_json(tmp_path, capsys):
  report = tmp_path / 'bench.json'
  flags = (
    f'--suite=inference --workloads=tiny --variants=dedup --samples=1 --json={report}'
  )
  assert programs.run(bench, 'bench', flags.split()) == 0
  written = json.loads(report.read_text())
  assert 'ours, dedup' in capsys.readouterr().out
  assert [r['variant'] for r in written['results']] == [
    n for n in inference.VARIANTS if 'dedup' in n
  ]
  ours = [r for r in written['results'] if r['framework'] == 'jax']
  assert all(r['median_ms'] > 0 and r['peak_mib'] > 0 for r in ours)
  assert all(r['score_error'] < 1e-6 for r in ours)


def test_ratios_are_of_the_right_rows():
  def row(variant, ms, **more):
    framework = 'torch' if 'GRU' in variant else 'jax'
    rest = {'framework': framework, 'order': 'second', 'control': False, 'quiet': True}
    return {'variant': variant, 'median_ms': ms, **rest, **more}

  rows = [
    row('ours', 10.0),
    row('ours, reverse', 1.0),
    row('ours, prefixes', 5.0),
    row('nn.GRU trimmed', 40.0),
    row('nn.GRU packed', 50.0),
    row('nn.GRU rewritten', 7.0, control=True),
    row('nn.GRU first', 20.0, order='first'),
    row('torch.func vmap', None),
  ]
  ratios, compared = suite.compare(rows)
  expected = {
    'vs_best_torch': 4.0,
    'vs_first_order_torch': 2.0,
    'sharing_vs_best_torch': 8.0,
  }
  assert ratios == expected
  assert compared['vs_best_torch'] == 'nn.GRU trimmed / ours'


def test_a_summary_is_the_median_and_the_spread():
  summary = bench_machine.summarize([0.001, 0.005, 0.002])
  assert summary == {'median_ms': 2.0, 'spread_ms': 4.0, 'samples': 3}


def test_noisy_samples_are_kept_only_if_there_is_no_other():
  sample = lambda seconds: {
    'seconds': seconds,
    'others': 1.0,
    'peak_mib': 1,
  }
  figures = interleave.summarize([sample(1.0)], [sample(9.0)], 1)
  assert (figures['median_ms'], figures['quiet'], figures['status']) == (
    1e3,
    True,
    'ok',
  )
  figures = interleave.summarize([], [sample(9.0)], 1)
  assert (figures['quiet'], figures['status']) == (False, '0 quiet samples of 1')


def test_a_worker_that_does_not_answer_is_given_up():
  spec = {'suite': 'inference'}
  process = interleave.Worker(spec, {})
  try:
    assert process.read(0.0)['status'] == 'did not finish in 0 s'
  finally:
    process.stop()


def test_growth_is_a_slope():
  rows = [{'value': n, 'median_ms': 3.0 * n**2} for n in (1, 2, 4, 8)]
  assert scaling.slope(rows, 'median_ms') == 2.0
  assert scaling.slope(rows, 'temp_mib') is None


def test_a_point_of_a_curve(monkeypatch):
  small = scaling.Point(length=3, batch=2, hidden=2, dim=2, templates=3)
  monkeypatch.setitem(scaling.BASE, 'inner_steps', small)
  row = scaling.measure('inner_steps', 'first order', 1, 1)
  assert row['status'] == 'ok' and row['temp_mib'] > 0 and row['median_ms'] > 0


def test_every_exact_gradient_is_a_variant():
  """The names stand twice, so that PyTorch's processes do without jax."""
  assert set(variants.GRADIENTS) == set(gradients.EXACT)
  assert meta.MetaConfig().gradient == variants.DEFAULT_GRADIENT


def test_the_processes_of_pytorch_do_not_import_jax():
  code = (
    'import sys; from experiments.benches import worker, meta_step, inference; '
    'sys.exit("jax" in sys.modules)'
  )
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize('flags, says', [
  ('--suite=meta_stp', "--suite='meta_stp'.*did you mean 'meta_step'"),
  ('--suite=inference --workloads=hfds', "--workloads='hfds'.*did you mean 'hdfs'"),
  ('--suite=scaling --variants=mixd', "--variants='mixd'.*did you mean 'mixed'"),
  ('--suite=scaling --workloads=tiny', "--workloads='tiny'"),
  ('--suite=inference --json=/dev/null', 'special file: give --json'),
  ('--suite=scaling --plot=x.png', '--plot draws one figure a variant'),
])  # fmt: skip
def test_wrong_choices_are_named_before_anything_is_measured(
  flags, says, monkeypatch, capsys
):
  monkeypatch.setattr(suite, 'run', None)
  assert programs.run(bench, 'bench', flags.split()) == 2
  assert re.search(says, capsys.readouterr().err)


def test_variants_are_names_or_parts_of_names():
  names = ['ours', 'ours, dedup', 'nn.GRU']
  assert bench.choose(['ours'], names) == ('ours',)
  assert bench.choose(['dedup', 'GRU'], names) == ('ours, dedup', 'nn.GRU')
  assert bench.choose([], names) == ()


def test_a_distance_that_is_no_number_is_null_in_json(monkeypatch, tmp_path):
  facts = {'variant': 'ours', 'group': 1, 'median_ms': float('nan'), 'quiet': True}
  row = suite.make_row('tiny', variants.Variant('jax', 'ours'), facts, 'score_error')
  fake = {'results': [row], 'ratios': {'tiny': {'vs_best_torch': float('inf')}}}
  monkeypatch.setattr(inference, 'run', lambda options: fake)
  path = tmp_path / 'x.json'
  assert programs.run(bench, 'bench', ['--suite=inference', f'--json={path}']) == 0
  written = json.loads(path.read_text(), parse_constant=pytest.fail)
  assert written['ratios'] == {'tiny': {'vs_best_torch': None}}


def test_medians_are_drawn_with_their_figures(monkeypatch, tmp_path):
  row = lambda workload, name, ms: {
    'workload': workload,
    'variant': name,
    'median_ms': ms,
  }
  rows = [row('a', 'ours', 1.25), row('a', 'peer', 250.0), row('b', 'peer', None)]
  monkeypatch.setattr(inference, 'run', lambda _: {'results': rows, 'ratios': {}})
  path = tmp_path / 'x.svg'
  with mpl.rc_context({'svg.fonttype': 'none'}):
    assert programs.run(bench, 'bench', ['--suite=inference', f'--plot={path}']) == 0
  texts = re.findall(r'<text[^>]* y="([^"]*)"[^>]*>([^<]*)</text>', path.read_text())
  height = {text: float(y) for y, text in texts}
  assert {'a', 'ours', 'peer', '1.25', '250'} <= set(height) and 'b' not in height
  assert abs(height['ours'] - height['1.25']) < 5 > abs(height['peer'] - height['250'])


def test_a_worker_ends_with_the_process_that_started_it():
  """The bench is killed, so that nothing of its own can tidy up."""
  code = (
    'import os, signal; from experiments.benches import interleave;'
    'w = interleave.Worker({"suite": "inference"}, {}); print(w._process.pid, flush=1);'
    'w.read(60); os.kill(os.getpid(), signal.SIGKILL)'
  )
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE)
  deadline = time.monotonic() + 20
  while pathlib.Path(f'/proc/{int(done.stdout)}/exe').exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
