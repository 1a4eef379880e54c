"""The report of sweep folders: quotes, marks, what is missing, figures."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from metalog_jax.report import published, report, results, sweep_plots, sweeps
from metalog_jax.report.document import elements
from tests.report.test_plots import line, new_axes
from tests.report.test_report import Checker

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
  shown = {'against': 'a', 'roc': ['a', 'b']}
  return make_sweep(rows, {'a': [0.97, 0.95], 'b': [0.9]}, shown=shown)


def test_quotes_stand_beside_ours_with_floors_marked(table):
  rows = sweeps.read(table).of('')
  found = published.quality(rows)
  assert sum(columns for _, columns in found.groups) == len(found.head)
  names = [f'{group} {head}'.strip() for (group, head) in zip(
    [text for text, columns in found.groups for _ in range(columns)], found.head)
  ]  # fmt: skip
  a, b = (dict(zip(names, cells, strict=True)) for cells in found.rows)
  assert (a['quoted P'], a['quoted R'], a['quoted F1']) == ('81.50', '80.00', '80.74')
  assert b['quoted F1'] == '–' and a['seeds'] == '0,1' and b['seeds'] == '0'
  assert a['ours, all F1'] == '96.0 ± 1.4' and b['ours, all F1'] == '90.0'
  assert a['ours, all best floor'] == '95.8 tree_counts'
  assert b['ours, all best floor'] == f'95.8 tree_counts {elements.MARK}'
  assert b['distinct F1'] == '88.0' and b['unseen F1'] == '86.5'
  assert 'Quoted:' in found.caption and len(found.caption) < 400
  assert 'quoted' not in str(published.quality(rows[1:]).groups)


def test_the_brief_table_has_what_decides(table):
  rows = sweeps.read(table).of('')
  found, whole = published.brief(rows), published.quality(rows)
  a, b = (dict(zip(found.head, cells, strict=True)) for cells in found.rows)
  assert (a['F1, quoted'], a['F1'], a['seeds']) == ('80.74', '96.0 ± 1.4', '0,1')
  assert (b['F1'], b['F1 distinct'], b['F1 unseen']) == ('90.0', '88.0', '86.5')
  assert b['best floor, F1'] == f'95.8 tree_counts {elements.MARK}'
  auprc = whole.head.index('AUPRC')
  assert [a['AUPRC'], b['AUPRC']] == [cells[auprc] for cells in whole.rows]
  assert 'F1, quoted' not in published.brief(rows[1:]).head
  assert 'above' not in found.head
  held = published.brief(rows, rows[0])
  told = [cells[held.head.index('above')] for cells in held.rows]
  _, _, mean, _, _, p = published.differences(rows, rows[0]).rows[0]
  assert told == ['–', f'{mean}, p {p}']


def test_differences_are_told_with_what_the_paper_prints(table):
  a, b = sweeps.read(table).of('')
  found = published.differences([a, b], a)
  ((name, quoted, ours, above, p, adjusted),) = found.rows
  assert (name, quoted, above) == ('B', '+5.00', '0 of 1')
  assert (ours, p, adjusted) == ('+0.0', '1.000', '1.000')  # the same scores
  assert len(found.caption) < 400
  assert published.differences([a], a) is None
  told = b._replace(quoted={'f1': 70.0})
  assert published.differences([a, told], a).rows[0][1] == '+10.74'


def test_what_a_reader_has_to_know_of_a_row_is_told(table):
  assert published.notes(sweeps.read(table).of('')) == ''
  for name in ('a-seed1', 'b-seed0'):
    path = table / 'trials' / name / 'result.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'note': 'reads x'}))
  assert published.notes(sweeps.read(table).of('')) == 'A: reads x. B: reads x.'
  report.write(table, table)
  assert 'B: reads x.' in (table / 'report.md').read_text()
  report.write(table / 'trials/b-seed0', table / 'one')
  assert 'metalog: reads x.' in (table / 'one/report.md').read_text()


def test_times_stand_beside_those_of_the_paper(table):
  a, b = sweeps.read(table).of('')
  quoted = {'train_minutes': 20, 'test_seconds': 8, 'test_ms': 0.113}
  found = published.times([a._replace(quoted=quoted), b])
  assert sum(columns for _, columns in found.groups) == len(found.head)
  assert found.groups[1:] == [('ours', 5), ('quoted', 3)]
  assert found.head[3:] == ['train s', 'test s', 'ms a session'] + [
    'train min', 'test s', 'ms a session']  # fmt: skip
  first, second = (row[1:] for row in found.rows)
  assert first[5:] == ['20', '8', '0.113'] and second[5:] == ['–'] * 3
  result = a.runs[0].result
  assert first[2] == f'{result["seconds"]["train"]:.1f}'
  assert first[3] == f'{result["seconds"]["test"]:.1f}'
  assert first[4] == results.number(result['test_ms_per_session'])
  assert '2080 Ti' in found.caption and len(found.caption) < 400
  plain = published.times([b])
  assert len(plain.head) == 6 and '2080' not in plain.caption


def test_a_method_without_scores_is_not_compared(table):
  (table / 'trials/b-seed0/scores.parquet').unlink()
  a, b = sweeps.read(table).of('')
  assert published.differences([a, b], a) is None


def test_the_page_of_a_sweep(table):
  page = report.write(table, table)
  text = page.read_text()
  checker = Checker(text)
  assert checker.balanced and not checker.tags & {'script', 'link'}
  assert 'SIMULATED' in text and 'Not run yet: c.' in text
  assert 'AUROC of A quoted: 94.8 %' in text
  figures = {f'table1_{kind}.png' for kind in (*results.KINDS, 'roc')}
  assert {file.name for file in (table / 'figures').iterdir()} == figures
  assert text.count('<figure') == 4
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
  assert brief.count(published.BRIEF[:40]) == 1 and 'Not run yet: c.' in brief
  with pytest.raises(ValueError, match='sweep folders'):
    report.text([table / 'trials/a-seed0'], 'brief')
  with pytest.raises(ValueError, match='do not go into one report'):
    report.write([table, table / 'trials/a-seed0'], tmp_path / 'out')


def test_a_grid_becomes_curves(make_sweep):
  rows = {f'r-{x}': row(f'R, share {x}', x=x, line='R', f1=80 + x) for x in (1, 10)}
  rows['r-1']['quoted'] = {}
  out = make_sweep(
    rows, {'r-1': [0.8, 0.9], 'r-10': [0.95]}, 'figure9', shown={'x': 'share'}
  )
  report.write(out, out)
  assert {f.name for f in (out / 'figures').iterdir()} == {
    f'figure9_curve_{kind}.png' for kind in results.KINDS}  # fmt: skip


def test_a_curve_has_means_seeds_and_quotes():
  ax = new_axes()
  means = np.array([[0.1, 0.85, np.nan], [1, 0.95, 0.9]])
  sweep_plots.over(ax, [('R', means, np.array([[0.1, 0.8], [0.1, 0.9]]))], 'share')
  np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.1, 85], [1, 95]])
  np.testing.assert_allclose(ax.lines[1].get_ydata(), [80, 90])
  np.testing.assert_allclose(line(ax, 'R, quoted')[1], [np.nan, 90])
  assert ax.get_xscale() == 'linear' and ax.get_xlabel() == 'share'


def test_a_damaged_sweep_file_is_named(table):
  (table / 'sweep.json').write_text('{"name": ')
  with pytest.raises(ValueError, match='sweep.json is not what'):
    report.write(table, table)
