"""The suites on toy sizes: what they write, and that all variants agree."""

import json
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import bench
from experiments.benches import (
  adaptation,
  encoding,
  inference,
  logmeta,
  meta_step,
  profile,
  scaling,
  turns,
  variants,
  worker,
  workloads,
)
from metalog_jax.meta import gradients

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
  """Every variant that can be compared here; of jax's, each takes long to compile."""
  for name, variant in meta_step.VARIANTS.items():
    slow = variant.framework == 'jax' and name != 'ours, prefixes'
    exact = variant.gradient in ('', *gradients.EXACT)
    if exact and variant.how != 'torch.compile':
      yield pytest.param(name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize('name', list(_cases()))
def test_all_variants_take_the_same_meta_gradient(name, references):
  variant = meta_step.VARIANTS[name]
  if variant.framework == 'torch':
    pytest.importorskip('torch', reason='the peers need the extra `torch`')
  try:
    runner = _build(variant)
  except variants.Absent as absent:
    pytest.skip(str(absent))
  runner.run(0)
  assert worker.error(runner.answer(), references[variant.order]) < 3e-6


def test_the_comparison_tells_the_orders_apart(references):
  assert worker.error(references['first'], references['second']) > 1e-2


def _logmeta(variant):
  runner = logmeta.build('logmeta_tiny', variant, 1)
  runner.run(0)
  return runner.answer()


@pytest.fixture(scope='module')
def logmeta_references():
  of = lambda order: _logmeta(variants.Variant('jax', 'reference', order))
  return {order: of(order) for order in ('second', 'first')}


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[pytest.mark.slow] if name.startswith('ours,') else [])
    for name, variant in logmeta.VARIANTS.items()
    if variant.devices == 1
  ],
)
def test_all_variants_take_the_same_meta_gradient_of_logmeta(name, logmeta_references):
  variant = logmeta.VARIANTS[name]
  if variant.framework == 'torch':
    pytest.importorskip('torch', reason='the peers need the extra `torch`')
  expected = logmeta_references[variant.order]
  assert worker.error(_logmeta(variant), expected) < 3e-6


def test_the_comparison_tells_the_orders_of_logmeta_apart(logmeta_references):
  first, second = logmeta_references['first'], logmeta_references['second']
  assert worker.error(first, second) > 1e-2


def test_scores_agree():
  found = []
  for variant in (variants.Variant('jax', 'reference'), inference.VARIANTS['ours']):
    spec = {'workload': 'tiny', 'variant': variant._asdict(), 'folders': {}}
    runner = inference.build(spec)
    runner.run(0)
    found.append(runner.answer())
  assert worker.error(found[1], found[0]) < 1e-6


def _adaptation(name, how, framework='torch'):
  if framework == 'torch':
    pytest.importorskip('torch', reason='the peers need the extra `torch`')
  variant = variants.Variant(framework, how)._asdict()
  runner = adaptation.build({'workload': name, 'variant': variant, 'folders': {}})
  runner.run(0)
  return runner


@pytest.mark.parametrize('how', adaptation.ADAPT)
def test_all_variants_adapt_alike(how):
  expected = _adaptation('adapt_tiny', 'reference', 'jax').answer()
  assert set(expected) == set(logmeta.params(adaptation.WORKLOADS['adapt_tiny']))
  runner = _adaptation('adapt_tiny', how, 'jax' if how == 'ours' else 'torch')
  runner.run(1)  # other labels: the answer stays that of the first
  assert worker.error(runner.answer(), expected) < 1e-4


@pytest.mark.parametrize('how', adaptation.WINDOW)
def test_all_variants_score_single_sessions_alike(how):
  expected = _adaptation('window_tiny', 'reference', 'jax').answer()
  runner = _adaptation('window_tiny', how, 'jax' if how == 'ours' else 'torch')
  assert len(set(expected['scores'].round(4))) > 5
  assert worker.error(runner.answer(), expected) < 1e-6
  assert 0 < runner.more()['window_median_ms']


def test_the_adaptation_suite_writes_what_all_suites_do(monkeypatch, tmp_path):
  figures = {'group': 1, 'error': 1e-7, 'quiet': True}
  more = {'more': {'window_median_ms': 0.4, 'window_p99_ms': 2.0}}
  found = [
    {'variant': name, 'median_ms': ms, **figures, **more}
    for name, ms in (('ours', 5.0), ('nn.LSTM', 8.0))
  ]
  save = lambda spec, *_: np.savez(spec['save'], scores=np.zeros(10))
  monkeypatch.setattr(turns, 'once', save)
  monkeypatch.setattr(turns, 'measure', lambda *_: iter(found))
  monkeypatch.setattr(turns, 'compile_again', lambda *_: 0.3)
  flags = f'--suite=adaptation --workloads=window_tiny --json={tmp_path / "x.json"}'
  with flagsaver.flagsaver():
    bench.FLAGS([sys.argv[0], *flags.split()])
    bench.main()
  report = json.loads((tmp_path / 'x.json').read_text())
  assert report['ratios'] == {'window_tiny': {'vs_best_torch': 1.6}}
  assert report['compared'] == {'window_tiny': {'vs_best_torch': 'nn.LSTM / ours'}}
  row = report['results'][0]
  assert (row['ms_per_session'], row['window_p99_ms']) == (0.5, 2.0)
  assert (row['answer_error'], row['compile_cached_s']) == (1e-7, 0.3)


def test_the_program_measures_in_processes_and_writes_json(tmp_path, capsys):
  report, figure = tmp_path / 'bench.json', tmp_path / 'bench.png'
  flags = (
    f'--suite=inference --workloads=tiny --variants=dedup --samples=1 --json={report}'
  )
  with flagsaver.flagsaver():
    bench.FLAGS([sys.argv[0], *flags.split(), f'--plot={figure}'])
    bench.main()
  written = json.loads(report.read_text())
  assert 'ours, dedup' in capsys.readouterr().out
  assert [r['variant'] for r in written['results']] == [
    n for n in inference.VARIANTS if 'dedup' in n
  ]
  ours = [r for r in written['results'] if r['framework'] == 'jax']
  assert all(r['median_ms'] > 0 and r['peak_mib'] > 0 for r in ours)
  assert all(r['score_error'] < 1e-6 for r in ours)
  assert figure.stat().st_size


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
  ratios, compared = meta_step.compare(rows)
  expected = {
    'vs_best_torch': 4.0,
    'vs_first_order_torch': 2.0,
    'sharing_vs_best_torch': 8.0,
  }
  assert ratios == expected
  assert compared['vs_best_torch'] == 'nn.GRU trimmed / ours'


def test_noisy_samples_are_kept_only_if_there_is_no_other():
  sample = lambda seconds: {
    'seconds': seconds,
    'others': 1.0,
    'peak_mib': 1,
    'more': {'window_median_ms': seconds},
  }
  figures = turns._figures([sample(1.0)], [sample(9.0)], 1)
  assert (figures['median_ms'], figures['quiet'], figures['status']) == (
    1e3,
    True,
    'ok',
  )
  assert figures['more'] == {'window_median_ms': 1.0}
  figures = turns._figures([], [sample(9.0)], 1)
  assert (figures['quiet'], figures['status']) == (False, '0 quiet samples of 1')


def test_a_worker_that_does_not_answer_is_given_up():
  spec = {'suite': 'inference'}
  process = turns.Worker(spec, {})
  try:
    assert process.hear(0.0)['status'] == 'did not finish in 0 s'
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


def test_encoding_compares_the_same_vectors(monkeypatch, tmp_path):
  (tmp_path / 'x').mkdir()
  (tmp_path / 'x' / 'templates.csv').write_text('id,template\nE1,aB <*>\nE2,aB\n')
  monkeypatch.setenv('METALOG_DATA', str(tmp_path))
  seconds = dict(zip(encoding.VARIANTS, (1.0, 2.0, 4.0, 8.0)))
  means = dict.fromkeys(encoding.VARIANTS, 0.5)

  def sample(workload, name):
    return {
      'seconds': seconds[name],
      'processor_seconds': seconds[name],
      'mean': means[name],
    }

  monkeypatch.setattr(encoding, '_sample', sample)
  options = turns.Options(2, workloads=('templates',))
  report = encoding.run(options)
  assert list(report['ratios']['templates'].values()) == [2.0, 4.0, 8.0]
  assert report['results'][0]['texts'] == 1  # both templates read a b
  means['packed rows'] = 0.6
  with pytest.raises(ValueError, match='other vectors'):
    encoding.run(options)
