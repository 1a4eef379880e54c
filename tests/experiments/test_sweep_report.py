"""The report of sweep folders: quotes, marks, what is missing, figures."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from experiments.sweeps import report, report_plots, report_tables, sweep_folder
from metalog_jax import errors
from metalog_jax.report import report as runs_report
from metalog_jax.report import results
from tests.report import conftest
from tests.report.test_plots import line, new_axes
from tests.report.test_report import Checker

fixture_make_run = conftest.fixture_make_run

QUOTED = {'precision': 81.5, 'recall': 80.0, 'f1': 80.74, 'auroc': 94.8}


def row(name, setting='', x=None, line='', **quoted):
  return {'name': name, 'flags': [], 'setting': setting, 'line': line or name, 'x': x,
          'quoted': quoted}  # fmt: skip


@pytest.fixture(name='make_sweep')
def fixture_make_sweep(make_run, tmp_path):
  """make_sweep(rows, {row: [F1 of seed 0, ...]}, **sweep.json) -> folder."""

  def make(rows, f1s, name='table1', **more) -> pathlib.Path:
    out = tmp_path / name
    (out / 'trials').mkdir(parents=True)
    saved = {'name': name, 'title': f'The {name}', 'about': 'a\nb', 'settings': {},
             'shown': {}, 'rows': rows, **more}  # fmt: skip
    (out / 'sweep.json').write_text(json.dumps(saved))
    for key, values in f1s.items():
      for seed, f1 in enumerate(values):
        run = make_run(f'{name}-{key}-{seed}', seed=seed, f1=f1)
        shutil.move(run, out / 'trials' / f'{key}-seed{seed}')
    return out

  return make


@pytest.fixture(name='table')
def fixture_table(make_sweep):
  rows = {'a': row('A', **QUOTED), 'b': row('B', behind=5), 'c': row('C')}
  shown = {'against': 'a'}
  return make_sweep(rows, {'a': [0.97, 0.95], 'b': [0.9]}, shown=shown)


def rows_of(table):
  return table.frame.to_dicts()


def test_quotes_stand_beside_ours_with_floors_marked(table):
  rows = sweep_folder.read(table).of('')
  found = report_tables.quality(rows)
  a, b = rows_of(found)
  assert (a['quoted P'], a['quoted R'], a['quoted F1']) == ('81.50', '80.00', '80.74')
  assert b['quoted F1'] == '–' and a['seeds'] == '0,1' and b['seeds'] == '0'
  assert a['ours, all F1'] == '96.0 ± 1.4' and b['ours, all F1'] == '90.0'
  assert a['ours, all best floor'] == '95.8 tree_counts'
  assert b['ours, all best floor'] == f'95.8 tree_counts {results.MARK}'
  assert a['ours, all fixed floor'] == a['ours, all best floor']
  assert b['distinct F1'] == '88.0' and b['unseen F1'] == '86.5'
  groups = [('', 1), ('quoted', 4), ('ours, all', 7), ('distinct', 3), ('unseen', 3)]
  assert found.spans == [*groups, ('', 1)]
  assert 'quoted' not in str(report_tables.quality(rows[1:]).spans)


def test_every_floor_stands_with_its_worst_seed(table):
  rows = sweep_folder.read(table).of('')
  found = rows_of(report_tables.floors(rows))
  first = found[0]
  assert first['%'] == 'tree_counts, fixed'
  assert first['F1'] == '95.8 ± 0.0' and first['F1, worst'] == '95.8'
  assert len(found) == len(rows[0].results[0]['test']['rest']['floors'])


def test_the_brief_table_has_what_decides(table):
  rows = sweep_folder.read(table).of('')
  brief, whole = report_tables.brief(rows), report_tables.quality(rows)
  a, b = rows_of(brief)
  assert (a['F1, quoted'], a['F1'], a['seeds']) == ('80.74', '96.0 ± 1.4', '0,1')
  assert (b['F1'], b['F1 distinct'], b['F1 unseen']) == ('90.0', '88.0', '86.5')
  assert b['best floor, F1'] == f'95.8 tree_counts {results.MARK}'
  auprc = [row['ours, all AUPRC'] for row in rows_of(whole)]
  assert [a['AUPRC'], b['AUPRC']] == auprc
  assert 'F1, quoted' not in report_tables.brief(rows[1:]).frame.columns
  assert 'above' not in brief.frame.columns
  above = report_tables.brief(rows, rows[0]).frame['above'].to_list()
  (difference,) = rows_of(report_tables.differences(rows, rows[0]))
  assert above == ['–', f'{difference["ours"]}, p {difference["p, Holm"]}']


def test_differences_are_told_with_what_the_paper_prints(table):
  a, b = sweep_folder.read(table).of('')
  (row,) = rows_of(report_tables.differences([a, b], a))
  assert (row[''], row['quoted'], row['seeds above']) == ('B', '+5.00', '0 of 1')
  same = (row['ours'], row['p'], row['p, Holm'])
  assert same == ('+0.0', '1.000', '1.000')  # the same scores
  assert report_tables.differences([a], a) is None
  b = b._replace(quoted={'f1': 70.0})
  assert rows_of(report_tables.differences([a, b], a))[0]['quoted'] == '+10.74'


def test_what_a_reader_has_to_know_of_a_row_is_told(table):
  assert report_tables.notes(sweep_folder.read(table).of('')) == ''
  for name in ('a-seed1', 'b-seed0'):
    conftest.change(table / 'trials' / name, note='reads x')
  assert (
    report_tables.notes(sweep_folder.read(table).of('')) == 'A: reads x. B: reads x.'
  )
  report.write([table], table)
  assert 'B: reads x.' in (table / 'report.md').read_text()
  runs_report.write([table / 'trials/b-seed0'], table / 'one')
  assert 'metalog: reads x.' in (table / 'one/report.md').read_text()


def test_times_stand_beside_those_of_the_paper(table):
  a, b = sweep_folder.read(table).of('')
  quoted = {'train_minutes': 20, 'test_seconds': 8, 'test_ms': 0.113}
  times = report_tables.times([a._replace(quoted=quoted), b])
  assert times.spans == [('', 1), ('ours', 5), ('quoted', 3)]
  first, second = rows_of(times)
  printed = ('train min', 'test s', 'ms a session')
  assert [first[f'quoted {name}'] for name in printed] == ['20', '8', '0.113']
  assert [second[f'quoted {name}'] for name in printed] == ['–'] * 3
  result = a.runs[0].result
  assert first['ours train s'] == f'{result["seconds"]["train"]:.1f}'
  assert first['ours test s'] == f'{result["seconds"]["test"]:.1f}'
  ms = results.number(result['test_ms_per_session'])
  assert first['ours ms a session'] == ms
  assert report_tables.times([b]).frame.width == 6


def test_the_page_of_a_sweep(table):
  page = report.write([table], table)
  text = page.read_text()
  checker = Checker(text)
  assert checker.balanced and not checker.tags & {'script', 'link'}
  assert 'SIMULATED' in text and 'Not run yet: c.' in text
  assert '94.80' in text
  figures = {f'table1_{kind}.png' for kind in results.KINDS}
  assert {file.name for file in (table / 'figures').iterdir()} == figures
  assert text.count('<figure') == 3
  assert '81.50' in (table / 'report.md').read_text()
  assert (table / 'results.csv').read_text().count('\n') == 1 + 3 * 3


def test_several_sweeps_settings_and_empty_ones(table, make_sweep, tmp_path):
  rows = {
    'a-few': row('A', 'few'),
    'a-many': row('A', 'many'),
    'b-few': row('B', 'few'),
  }
  settings = {'few': 'few labels', 'many': 'many labels'}
  other = make_sweep(
    rows, {'a-few': [0.9]}, 'table2', settings=settings, shown={'against': 'a'}
  )
  empty = make_sweep({'a': row('A')}, {}, 'figure9')
  report.write([table, other, empty], tmp_path / 'out')
  text = (tmp_path / 'out/report.md').read_text()
  assert 'table1, table2, figure9: 4 runs' in text
  first, second = text.split('### few labels')[1].split('### many labels')
  assert 'Not run yet: b.' in first and 'Not run yet: a.' in second.split('##')[0]
  assert 'The figure9' in text
  assert text.count('Simulated logs:') == 1 + 2, 'of the page and of each table'
  printed = report.text([table, other], 'markdown')
  assert printed.count('| A |') == 4 and '![' not in printed  # quality and times
  brief = report.text([table, other, empty], 'brief')
  assert brief.count('| A |') == 2 and brief.count('###') == 2
  assert '| A | 80.74 |' in brief and 'figure9' not in brief
  assert brief.count('Simulated logs:') == 2, 'beside every table'
  assert brief.count('Per cent; mean ± sample') == 1 and 'Not run yet: c.' in brief
  with pytest.raises(errors.UserError, match='no sweep folder'):
    report.text([table / 'trials/a-seed0'], 'brief')
  with pytest.raises(errors.UserError, match='no sweep folder'):
    report.write([table, table / 'trials/a-seed0'], tmp_path / 'out')


def test_a_grid_becomes_curves(make_sweep):
  rows = {f'r-{x}': row(f'R, share {x}', x=x, line='R', f1=80 + x) for x in (1, 10)}
  rows['r-1']['quoted'] = {}
  out = make_sweep(
    rows, {'r-1': [0.8, 0.9], 'r-10': [0.95]}, 'figure9', shown={'x': 'share'}
  )
  report.write([out], out)
  assert {f.name for f in (out / 'figures').iterdir()} == {
    f'figure9_curve_{kind}.png' for kind in results.KINDS}  # fmt: skip


def test_a_curve_has_means_seeds_and_quotes():
  ax = new_axes()
  means = np.array([[0.1, 0.85, np.nan], [1, 0.95, 0.9]])
  report_plots.over(ax, [('R', means, np.array([[0.1, 0.8], [0.1, 0.9]]))], 'share')
  np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.1, 85], [1, 95]])
  np.testing.assert_allclose(ax.lines[1].get_ydata(), [80, 90])
  np.testing.assert_allclose(line(ax, 'R, quoted')[1], [np.nan, 90])
  assert ax.get_xscale() == 'linear' and ax.get_xlabel() == 'share'


@pytest.mark.parametrize('content', [b'{"name": ', b'\xff'])
def test_a_damaged_sweep_file_is_named(table, content):
  (table / 'sweep.json').write_bytes(content)
  with pytest.raises(ValueError, match='sweep.json is not what'):
    report.write([table], table)
