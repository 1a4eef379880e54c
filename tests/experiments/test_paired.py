"""Methods and floors beside a reference: what is paired, and what a page then says."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from experiments import sweep as program
from experiments.studies import markdown
from experiments.sweeps import (
  floor_scores,
  page_record,
  paired,
  report,
  significance,
  sweep_folder,
)
from metalog_jax import errors
from metalog_jax.cli import main as programs
from metalog_jax.detectors import evidence
from metalog_jax.runs import record, run
from tests.experiments import test_sweep_report
from tests.experiments.test_significance import f1, judged, small
from tests.report import conftest
from tests.runs import test_run

fixture_root = test_run.fixture_root
fixture_make_run = conftest.fixture_make_run
fixture_make_sweep = test_sweep_report.fixture_make_sweep


def interval(pairs) -> tuple[float, float]:
  return significance.compare(pairs, intervals=True).interval


def weighted_f1(weight, labels, says) -> float:
  hits = (weight * labels * says).sum()
  return 2 * hits / ((weight * labels).sum() + (weight * says).sum())


def drawn_again(cases, rounds=4000):
  """The interval by drawing sessions one by one, for all seeds at once."""
  rng, means = np.random.default_rng(1), []
  for _ in range(rounds):
    weight = rng.standard_exponential(len(cases[0][0]))
    each = [
      weighted_f1(weight, labels, a > 0.5) - weighted_f1(weight, labels, b > 0.5)
      for labels, a, b in cases
    ]
    means.append(np.mean(rng.choice(each, len(each))))
  return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize('seeds', [(0,), (1, 2)])
def test_the_interval_is_that_of_drawing_clusters_and_seeds(seeds):
  cases = [small(seed, 30) for seed in seeds]
  labels = cases[0][0]
  cases = [(labels, a, b) for _, a, b in cases]
  pairs = [(judged(labels, a), judged(labels, b)) for _, a, b in cases]
  low, high = interval(pairs)
  expected = drawn_again(cases)
  np.testing.assert_allclose([low, high], expected, atol=0.05)
  mean = np.mean([f1(labels, a > 0.5) - f1(labels, b > 0.5) for _, a, b in cases])
  assert low < mean < high
  back = interval([pair[::-1] for pair in pairs])
  np.testing.assert_allclose(back, [-high, -low], atol=0.05)


def test_repeats_are_drawn_together_and_seeds_share_what_is_drawn():
  labels, a, b = small(3, 30)
  once = [(judged(labels, a), judged(labels, b))]
  many = [np.repeat(x, 20) for x in (labels, a, b)]
  often = [(judged(many[0], many[1]), judged(many[0], many[2]))]
  same = interval(once)
  np.testing.assert_allclose(interval(often), same, atol=0.04)
  np.testing.assert_allclose(interval(once * 5), same, atol=0.04)


@pytest.fixture(name='sweep')
def fixture_sweep(make_sweep):
  """Two cells; a floor's verdicts are kept, so that no System is read."""
  row = test_sweep_report.row
  rows = {
    'a-few': row('A', 'few'),
    'b-few': row('B', 'few'),
    'c-few': row('C', 'few'),
    'a-many': row('A', 'many'),
  }
  settings = {'few': 'few labels', 'many': 'many labels'}
  out = make_sweep(
    rows,
    {'a-few': [0.97, 0.95], 'b-few': [0.9], 'a-many': [0.8]},
    settings=settings,
    shown={'against': 'a'},
  )
  return out


@pytest.fixture(name='verdicts')
def fixture_verdicts(monkeypatch):
  """Floors whose verdicts are those of the run, but for every second session."""

  def floors(run, test):
    threshold = run.result['test'][test]['all']['threshold']
    ids, labels, scores = run.scores[test][:3]
    scores = np.where(np.arange(len(ids)) % 2, 1 - scores, scores)
    verdict = significance.Judged(ids, labels, scores, threshold)
    return dict.fromkeys(run.result['test'][test]['floors'], verdict)

  monkeypatch.setattr(floor_scores, 'judged', floors)


def renewed(folders, tmp_path) -> str:
  """The text of a page that has just been renewed; its record stays."""
  page = tmp_path / 'page.md'
  if not page.exists():
    page.write_text('above\n{}\nold\n{}\nbelow\n'.format(*markdown.MARKS))
  report.renew(folders, page)
  return page.read_text()


def test_every_method_and_two_floors_stand_beside_the_reference(
  sweep, verdicts, tmp_path
):
  every = paired.adjusted(paired.entries(sweep_folder.read(sweep)))
  few = [entry for entry in every if entry.setting == 'few labels']
  assert [entry.method for entry in few] == ['A', 'B', 'C', paired.FIXED, paired.BEST]
  assert [entry.seeds for entry in few] == [2, 1, 0, 2, 2]
  assert few[0].difference is None and few[2].difference is None
  assert few[3].rule == few[4].rule == 'tree_counts'
  b, floor = few[1].difference, few[3].difference
  assert b.low <= b.mean <= b.high and b.adjusted >= b.p
  assert floor.mean > 0.1 and floor.low > 0
  tests = [entry.difference for entry in few if entry.difference]
  raw = [test.p for test in tests]
  assert [test.adjusted for test in tests] == significance.holm(raw) != raw
  floors = paired.floors(every).frame.rows()[0][1:]
  figures = [float(cell) for cell in floors if cell != '–']
  assert len(set(figures)) > 1 and figures == sorted(figures, reverse=True)
  text = renewed([sweep], tmp_path)
  assert '| few labels | A | 2 | 96.0 ± 1.4 | 95.0 |' in text
  assert 'Not run yet: C: few labels.' in text and '| C |' not in text
  assert text.count('| many labels |') == 2  # once with floors as columns
  assert '| best floor, picked afterwards | 2 |' in text


def test_the_summary_counts_cells_above_and_below_and_the_sure_ones():
  every = []
  for setting, theirs, p in (('x', 0.8, 0.01), ('y', 0.7, 0.2), ('z', 0.95, 0.3)):
    test = paired.Difference(0.9 - theirs, 0.0, 0.0, p, p)
    every.append(paired.Entry(setting, 'ours', 1, [0.9], [0.0] * 3))
    every.append(paired.Entry(setting, 'theirs', 1, [theirs], [0.0] * 3, '', test))
  [row] = paired.summary(every, 'ours').frame.to_dicts()
  assert (row['it is above in'], row['below in']) == ('1 (0)', '2 (1)')
  assert (row['cells'], row['F1 of it'], row['ours, same cells']) == (
    '3',
    '81.7',
    '90.0',
  )


def test_what_has_no_reference_is_shown_without_differences(make_sweep, tmp_path):
  row = test_sweep_report.row
  out = make_sweep({'a': row('A'), 'b': row('B')}, {'b': [0.9]}, shown={'against': 'a'},
                   settings={'': 'the cell'})  # fmt: skip
  text = renewed([out], tmp_path)
  assert '| the cell | B | 1 | 90.0 |' in text and 'Not run yet: A: any cell.' in text


def test_floors_are_fitted_again_and_kept(root, tmp_path, monkeypatch):
  job = test_run.make_job(root)
  method = evidence.Config(embedding=job.method.embedding)
  job = dataclasses.replace(job, detector='evidence', method=method)
  run.start(job, tmp_path / 'trials/e-seed0', lambda text: None)
  done = record.read(tmp_path / 'trials/e-seed0')
  verdicts = floor_scores.judged(done, 'rest')  # raises where F1 is another
  assert set(verdicts) == set(done.result['test']['rest']['floors'])
  assert sorted(verdicts['always'].ids) == sorted(done.scores['rest'].ids)
  monkeypatch.setattr(floor_scores, '_write', None)
  assert floor_scores.judged(done, 'rest').keys() == verdicts.keys()
  done.result['test']['rest']['floors']['always']['all']['f1'] += 0.1
  with pytest.raises(errors.UserError, match='always has another F1'):
    floor_scores.judged(done, 'rest')
  monkeypatch.undo()
  shutil.rmtree(tmp_path / 'floors')
  done.config['systems'] = {}
  with pytest.raises(errors.UserError, match='have changed since'):
    floor_scores.judged(done, 'rest')


def test_a_sweep_renews_a_page(sweep, verdicts, tmp_path):
  page = tmp_path / 'page.md'
  page.write_text('above\n{}\nold\n{}\nbelow\n'.format(*markdown.MARKS))
  program._report([sweep], tmp_path, str(page))
  text = page.read_text()
  assert text.startswith('above\n') and text.endswith('below\n') and 'old' not in text
  assert '### All cells together' in text and not (tmp_path / 'report.html').exists()


def test_a_page_keeps_what_was_run_elsewhere(sweep, verdicts, tmp_path):
  first = renewed([sweep], tmp_path)
  assert report.text([sweep], 'paired') in first
  record = tmp_path / 'page.jsonl'
  lines = record.read_text()
  for trial in (*sweep.glob('trials/b-*'), *sweep.glob('trials/a-few-seed1')):
    shutil.rmtree(trial)
  assert renewed([sweep], tmp_path) == first and record.read_text() == lines
  assert '| B |' not in report.text([sweep], 'paired')  # what these folders have
  shutil.rmtree(sweep / 'trials')
  assert renewed([sweep], tmp_path) == first
  saved = json.loads((sweep / 'sweep.json').read_text())
  saved['rows'].pop('b-few')
  (sweep / 'sweep.json').write_text(json.dumps(saved))
  assert '| B |' not in renewed([sweep], tmp_path)  # no longer of the table


def test_a_page_that_cannot_be_renewed_is_told_before_anything_runs(
  sweep, verdicts, tmp_path, capsys
):
  renewed([sweep], tmp_path)
  page, text = tmp_path / 'page.md', (tmp_path / 'page.jsonl').read_text()
  report.check_page(page, ['table1', 'another'])
  with pytest.raises(errors.UserError, match='would be lost: add table1 to --table'):
    report.check_page(page, ['another'])
  for name, says in (('page.md', 'add table1'), ('none.md', 'is no file')):
    flags = [f'--out={tmp_path}/runs', '--table=cells', f'--page={tmp_path / name}']
    assert programs.run(program, 'sweep', flags) == 1
    assert says in capsys.readouterr().err
  assert not (tmp_path / 'runs').exists()
  page.write_text('no place')
  with pytest.raises(errors.UserError, match='has not the lines'):
    report.renew([sweep], page)
  assert (tmp_path / 'page.jsonl').read_text() == text


def entry(method, f1, difference=None, **more):
  if difference is not None:
    difference = paired.Difference(difference, 0.0, 0.1, 0.01, 0.02)
  others = [0.5, math.nan, 0.25]
  return paired.Entry('x', method, len(f1), f1, others, '', difference, **more)


def test_a_record_is_read_as_it_was_written(tmp_path):
  every = [entry('ours', [0.9], floors={'always': 0.25}), entry('a', [0.7, 0.6], 0.2)]
  page_record.write(tmp_path / 'p.jsonl', {'t': [*every, entry('not run', [])]})
  [found] = page_record.read(tmp_path / 'p.jsonl').values()
  assert [e._replace(difference=None, others=[]) for e in found] == [
    e._replace(difference=None, others=[]) for e in every
  ]
  assert found[1].difference[:4] == every[1].difference[:4]
  assert math.isnan(found[1].others[1]) and found[1].others[2] == 0.25
  assert page_record.read(tmp_path / 'none.jsonl') == {}


def test_more_seeds_stand_and_a_changed_reference_ends_differences():
  ours = entry('ours', [0.9, 0.8], floors={'always': 0.2})
  kept = [ours, entry('a', [0.7, 0.6], 0.2), entry('b', [0.5], 0.4)]
  new = [entry('ours', []), entry('a', [0.3], 0.6), entry('b', [0.4], 0.5)]
  assert page_record.merge(new, kept, 'ours') == [ours, kept[1], new[2]]
  changed = ours._replace(f1=[0.9, 0.81, 0.7], seeds=3)
  elsewhere = [e._replace(setting='y') for e in kept]
  also = [e._replace(setting='y') for e in new]
  found = page_record.merge([changed, *new[1:], *also], kept + elsewhere, 'ours')
  assert found[:3] == [changed, kept[1]._replace(difference=None), new[2]]
  assert found[3:] == [*elsewhere[:2], also[2]]  # of another setting: as it was
  again = ours._replace(f1=[0.9001, 0.7999])
  assert page_record.merge([again, *new[1:]], kept, 'ours')[1] == kept[1]
  found = page_record.merge(
    [entry('a', []), entry('b', []), entry('ours', [])], kept, 'a'
  )
  assert [e.difference for e in found] == [e.floors for e in found] == [None] * 3


@pytest.mark.parametrize(
  'change',
  [
    lambda line: '{',
    lambda line: '[]',
    lambda line: '{"table": "t"}',
    lambda line: line.replace('"rule"', '"rules"'),
    lambda line: line.replace('[0.9]', '["ab"]'),
    lambda line: line.replace('[0.9]', 'null'),
    lambda line: line.replace('0.25', '"x"'),
  ],
)
def test_a_damaged_record_is_told(tmp_path, change):
  path = tmp_path / 'p.jsonl'
  page_record.write(path, {'t': [entry('ours', [0.9])]})
  path.write_text(change(path.read_text()))
  with pytest.raises(errors.UserError, match='line 1 is not of the record of a page'):
    page_record.read(tmp_path / 'p.jsonl')
