import csv
import html.parser
import io
import json
import re
import statistics
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metalog_jax import clean, errors
from metalog_jax.report import canvas, key_values, repeats, report, results, tables
from metalog_jax.runs import record
from tests.report.conftest import change, edit

VOID = {'meta', 'source', 'img', 'br', 'wbr'}


class Checker(html.parser.HTMLParser):
  """Collects tags and addresses; knows whether tags close in order."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.links, self.balanced, self.ids = [], set(), [], True, []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.links += [v for k, v in attrs if k in ('src', 'srcset', 'href')]
    self.ids += [v for k, v in attrs if k == 'id']
    assert not [k for k, _ in attrs if k.startswith('on')]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    self.balanced &= bool(self.open) and self.open.pop() == tag


@pytest.fixture
def no_figures(monkeypatch):
  """Empty files in place of images: they take most of the time."""
  monkeypatch.setattr(canvas, 'png', lambda figure, dark=False: b'')


def test_one_run_gives_a_self_contained_page_and_its_twin_in_markdown(make_run):
  path = make_run()
  page = report.write([path], path)
  assert page == path / 'report.html'
  text = page.read_text()
  checker = Checker(text)
  assert checker.balanced and not checker.open
  assert not checker.tags & {'script', 'link', 'iframe', 'object'}
  assert all(link.startswith(('data:image/png;base64,', '#')) for link in checker.links)
  anchors = [link[1:] for link in checker.links if link.startswith('#')]
  assert anchors and set(anchors) <= set(checker.ids)
  assert 'url(' not in text and 'http' not in text.replace('http-equiv', '')
  assert 'name="viewport"' in text and 'prefers-color-scheme: dark' in text
  markdown = (path / 'report.md').read_text()
  figures = set(re.findall(r'\]\(figures/(.*?\.png)\)', markdown))
  assert figures == {file.name for file in (path / 'figures').iterdir()}
  assert {'rest_roc.png', 'rest_precision_recall.png', 'rest_scores.png'} <= figures
  assert {'training_loss.png', 'training_scores.png'} <= figures
  assert text.count('<figure') == len(figures)
  assert not list(path.rglob('*.tmp'))


def test_everything_a_reader_needs_is_said_in_both_forms(make_run, no_figures):
  path = make_run()
  report.write([path], path)
  for name in ('report.html', 'report.md'):
    text = (path / name).read_text().replace('\\', '').replace('<wbr>', '')
    for needed in (
      'SIMULATED: metalog, blockstore → supercomputer',
      'source 5,612 normal + 488 anomalous; target 2,310 normal + 6 anomalous',
      'known_anomalous_event',  # a floor
      'method.meta.inner_lr',  # a setting
      'dropped sessions',  # the split's audit
      'no timestamp',  # bad lines
      'xceiver',  # a word without a vector
      'R05-M1-N4-5',  # a session
      'false alarm',
      'more events …',  # cut in the middle
      '0.31',  # ms a session
      '0.10.2',  # the version of jax
    ):
      assert needed in text, (name, needed)


def test_only_simulated_runs_say_so(make_run, no_figures):
  path = make_run(simulated=[])
  report.write([path], path)
  assert 'simulated' not in (path / 'report.html').read_text().lower()
  assert 'simulated' not in (path / 'report.md').read_text().lower()


EVIL = '<script>alert(1)</script> | "\'` ``` ~~~ [a](javascript:b) &lt; \x1b[31m \u202e'


def test_markup_in_logs_stays_text(make_run, no_figures):
  path = make_run(EVIL.translate({ord('/'): '_'}))
  sessions = json.loads((path / 'explained.json').read_text())
  for session in sessions['rest']:
    session['session_id'] = EVIL + '\ud800'
    session['events'][0]['template'] = EVIL
  edit(path, 'explained.json', json.dumps(sessions))
  tests = json.loads((path / 'result.json').read_text())['test']
  tests[EVIL] = {**tests['rest'], 'floors': {EVIL: tests['rest']['floors']['always']}}
  change(path, source=[EVIL], simulated=[EVIL], test=tests, audit={EVIL: {EVIL: EVIL}})
  report.write([path], path)
  text = (path / 'report.html').read_text()
  checker = Checker(text)
  assert checker.balanced and 'script' not in checker.tags
  assert '&lt;script&gt;alert(1)' in text
  markdown = (path / 'report.md').read_text()
  outside = re.sub(r'^(`{4,})text\n.*?^\1$', '', markdown, flags=re.S | re.M)
  assert '````text' in markdown and '````text' not in outside
  assert not re.search(r'(?<!\\)<script', outside)
  assert not re.search(r'(?<!\\)\]\(java', outside)
  rows = [row for row in outside.splitlines() if row.startswith('| ')]
  assert rows and all(re.sub(r'\\.', '', row).endswith(' |') for row in rows)
  assert not re.search('[\x1b\u202e]', text + markdown)


def test_text_is_made_visible_and_cut():
  assert clean.text('a\x00b\tc\ud800') == 'a\\x00b c\\ud800'
  assert clean.text('é ▲ 漢') == 'é ▲ 漢'
  cut = clean.text('x' * 10_000_000)
  assert len(cut) < 500 and '9,999,600 characters' in cut


def test_floors_are_marked_where_and_only_where_they_are_above(make_run):
  path = make_run(f1=0.95)
  result = record.read(path).result
  table = tables.quality([result], 'rest', 2)
  rows = table.frame.rows()
  cells = {row[0]: row[1:] for row in rows}
  assert rows[0][0] == 'metalog' and rows[1][0] == 'tree_counts'
  assert set(cells) == {'metalog', *result['test']['rest']['floors']}
  assert cells['tree_counts'][0] == f'95.80 {results.MARK}'
  assert cells['lr_vectors'][0] == '94.90'
  assert table.marked == ['tree_counts']
  assert table.spans == [('', 1), ('all', 3), ('distinct', 3), ('unseen', 3)]
  text = report.write([path], path).with_suffix('.md').read_text()
  assert 'above the detector: tree\\_counts.' in text
  better = make_run('better', f1=0.99)
  text = report.write([better], better).with_suffix('.md').read_text()
  assert 'No floor is above the detector.' in text


def test_equal_is_not_above_and_undefined_beats_nothing():
  value = results.Value
  assert results.mark_above(value(0.9002), value(0.9001))
  assert not results.mark_above(value(0.9), value(0.9))
  assert not results.mark_above(value(float('nan')), value(0.9))
  assert not results.mark_above(value(0.9), value(float('nan')))


def test_the_console_table_is_short_plain_and_marked(make_run):
  result = record.read(make_run()).result
  text = report.table(result)
  lines = text.splitlines()
  assert text.isascii() and len(lines) <= 20 and max(map(len, lines)) <= 88
  assert lines[0].startswith('SIMULATED')
  (floor,) = [line.split() for line in lines if line.startswith('tree_counts')]
  assert floor[1] == '95.8*' and len(floor) == 10
  (undefined,) = [line.split() for line in lines if line.startswith('new_event')]
  assert undefined[-1] == '-'


def test_the_floor_picked_beforehand_stands_beside_the_best(make_run):
  result = record.read(make_run(f1=0.9)).result
  of = result['test']['rest']['floors']
  high, low = of.pop('tree_counts'), of.pop('always')
  of |= {'new_event_or_length': low}
  of |= {f'other_{n}': high for n in range(10)}
  assert results.fixed_floor([result], 'rest') == 'new_event_or_length'
  cells = results.floor_cells([result], 'rest', 'all')
  assert cells['fixed floor'].endswith(' new_event_or_length')
  assert cells['best floor'] == f'95.8 other_0 {results.MARK}'
  lines = report.table(result).splitlines()
  shown = [line for line in lines if line.startswith(('other', 'new_event_or', 'lr_'))]
  assert len(shown) == 8 and shown[-1].startswith('new_event_or_length')
  assert any('picked before the test: new_event_or_length' in line for line in lines)


def test_a_wide_name_and_full_marks_do_not_run_together(make_run):
  path = make_run(f1=0.99)
  tests = json.loads((path / 'result.json').read_text())['test']
  perfect = {
    k: {**m, 'f1': 1, 'auroc': 1, 'auprc': 1}
    for k, m in tests['rest'].items()
    if k in results.KINDS
  }
  tests['rest']['floors'] = {'known_anomalous_event': perfect}
  change(path, test=tests)
  lines = report.table(record.read(path).result).splitlines()
  (floor,) = [line for line in lines if line.startswith('known_anomalous_event ')]
  assert floor.count('100.0*') == 9


def test_csv_has_a_row_for_every_run_test_and_kind(make_run, no_figures, tmp_path):
  paths = [make_run('a', tests=('rest', 'cloud')), make_run('b', seed=1, f1=0.5)]
  report.write(paths, tmp_path / 'out')
  rows = list(csv.DictReader(io.StringIO((tmp_path / 'out/results.csv').read_text())))
  keys = [(row['run'], row['test'], row['kind']) for row in rows]
  assert keys == [
    (run, test, kind)
    for run, test in (('a', 'rest'), ('a', 'cloud'), ('b', 'rest'))
    for kind in results.KINDS
  ]
  assert float(rows[0]['f1']) == 0.954 and float(rows[6]['f1']) == 0.5
  assert rows[0]['best_floor'] == 'tree_counts'
  assert float(rows[0]['tree_counts_auprc']) == 0.958 + 0.007
  assert rows[0]['target_anomalous'] == '6' and rows[3]['new_event_auprc']
  assert rows[2]['new_event_auprc'] == ''


def test_runs_that_differ_in_seed_alone_become_a_mean(make_run):
  f1s = (0.95, 0.97, 0.91)
  paths = [make_run(f's{seed}', seed=seed, f1=f1) for seed, f1 in enumerate(f1s)]
  paths.append(make_run('wide', config={'method': {'hidden': 200}}))
  paths.append(make_run('first', order='first'))
  found = repeats.group([record.read(path) for path in paths])
  assert [group.seeds for group in found] == ['0,1,2', '0', '0']
  assert 'hidden=200' in found[1].name and 'hidden=100' in found[0].name
  assert found[2].differences == ''  # its order tells it already
  text = report.text(paths, 'markdown')
  row = next(line for line in text.splitlines() if '0,1,2' in line)
  mean, std = 100 * statistics.fmean(f1s), 100 * statistics.stdev(f1s)
  assert f'| {mean:.1f} ± {std:.1f} |' in row
  assert '95.8 tree\\_counts ▲' in row
  assert sum(line.startswith('| ') for line in text.splitlines()) == 2 + 9
  assert 'blockstore → supercomputer (simulated)' in text


def test_a_run_counts_once(make_run, tmp_path):
  path = make_run()
  (tmp_path / 'link').symlink_to(path)
  with pytest.raises(errors.UserError, match='is given twice'):
    report.text([path, tmp_path / 'link'], 'csv')


def test_kinds_choose_the_rows_of_the_readme_table(make_run):
  text = report.text([make_run()], 'markdown', ['distinct'])
  assert '| distinct |' in text and '| all |' not in text and '| unseen |' not in text


def test_several_runs_are_compared(make_run, tmp_path):
  paths = [make_run(f's{seed}', seed=seed, f1=0.9 + seed / 50) for seed in range(2)]
  report.write(paths, tmp_path / 'out')
  text = (tmp_path / 'out/report.html').read_text()
  checker = Checker(text)
  assert checker.balanced and checker.tags.isdisjoint({'script'})
  assert 'SIMULATED: 2 runs of 1 setting' in text
  assert len(list((tmp_path / 'out/figures').iterdir())) == 3


def test_the_same_runs_give_the_same_bytes(make_run, no_figures, tmp_path):
  path = make_run()
  for out in ('a', 'b'):
    report.write([path], tmp_path / out)
  for name in ('report.html', 'report.md', 'results.csv'):
    assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_long_counts_take_one_row_but_settings_are_never_cut():
  value = {'words': {f'w{i}': i for i in range(40)}, 'a_b': [1.5, {'c': None}], 'd': {}}
  (table,) = key_values.readable(value)
  rows = dict(table.frame.rows())
  assert rows['words'].startswith('w0 0, w1 1,') and rows['words'].endswith('40 in all')
  assert rows['a b[0]'] == '1.5' and rows['a b[1], c'] == '–' and rows['d'] == 'none'
  assert dict(key_values.flat(value))['words.w39'] == '39'


def test_parts_with_the_same_keys_stand_side_by_side():
  parts = {'train': {'a_b': 1, 'c': {}}, 'test': {'a_b': 2000, 'c': {'x': 3}}, 'k': 'z'}
  rest, table = key_values.readable(parts)
  assert rest.frame.rows() == [('k', 'z')]
  assert table.frame.columns == ['', 'train', 'test']
  assert table.frame.rows() == [('a b', '1', '2,000'), ('c', '', 'x 3')]


def test_zero_shot_and_unlabelled_tests_are_reported(make_run):
  path = make_run(target=None, labels_seen={'source': {'normal': 5, 'anomalous': 1}})
  table = pq.read_table(path / 'scores.parquet')
  labels = pa.array([-1] * len(table), pa.int8())
  pq.write_table(table.set_column(2, 'label', labels), path / 'scores.parquet')
  (path / 'metrics.jsonl').unlink()
  change(path)
  report.write([path], path)
  text = (path / 'report.html').read_text()
  assert 'zero-shot' in text and not (path / 'figures/rest_roc.png').exists()


def test_curves_are_of_finite_numbers(make_run):
  path = make_run()
  lines = ['{"step": 1, "loss": 3}', '{"step": 2, "loss": 2, "valid": null}']
  lines += ['{"step": 3, "loss": null}']
  edit(path, 'metrics.jsonl', '\n'.join(lines))
  steps, values = record.read(path).history['loss']
  assert (steps.tolist(), values.tolist()) == ([1, 2], [3, 2])


def test_names_from_data_drive_no_terminal_and_no_spreadsheet(make_run, no_figures):
  evil = '=cmd\x1b[2J\u202e'
  path = make_run(target=evil, simulated=[evil], detector='+x\x07')
  tests = json.loads((path / 'result.json').read_text())['test']
  tests[evil] = tests['rest']
  change(path, test=tests)
  with pytest.raises(errors.UserError) as raised:
    record.read(path / evil)
  assert '\x1b' not in clean.printable(raised.value)
  result = json.loads((path / 'result.json').read_text())
  (path / 'checksums.json').unlink()
  change(path)
  printed = [report.text([path], form) for form in ('markdown', 'csv', 'console')]
  printed.append(report.table(result))
  for text in printed:
    assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]', text)
    assert '\\x1b' in text
  rows = list(csv.DictReader(io.StringIO(printed[1])))
  assert rows[0]['detector'] == "'+x\\x07" and rows[-1]['test'].startswith("'=cmd")


def test_what_is_not_finite_is_an_empty_cell(make_run, no_figures):
  path = make_run()
  tests = json.loads((path / 'result.json').read_text())['test']
  tests['rest']['all'] |= {'f1': float('nan'), 'threshold': float('inf')}
  (path / 'checksums.json').unlink()
  result = json.loads((path / 'result.json').read_text()) | {'test': tests}
  text = tables.as_csv([record.Run(path, result, {}, {}, {}, {}, {})])
  row = next(csv.DictReader(io.StringIO(text)))
  assert row['f1'] == '' and row['threshold'] == '' and float(row['auroc']) > 0.5
  assert 'nan' not in text.lower() and 'inf' not in text.lower()


def program(*arguments):
  command = [sys.executable, '-m', 'experiments.report', *map(str, arguments)]
  return subprocess.run(command, capture_output=True, text=True)


def test_the_program_prints_tables_and_fails_in_one_line(make_run, tmp_path):
  path = make_run()
  assert program('--print=markdown', path).stdout == report.text([path], 'markdown')
  failed = program(f'--runs={tmp_path / "none"}')
  assert failed.returncode == 1 and len(failed.stderr.splitlines()) == 1
  several = program(path, path)
  assert several.returncode == 1 and '--out' in several.stderr
