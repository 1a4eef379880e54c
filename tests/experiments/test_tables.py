"""The tables of the paper as data: quotes, and flags that `train` takes."""

import itertools
import pathlib
import re
import subprocess
import sys

import pytest

from experiments.sweeps import table_files
from metalog_jax import errors

ROOT = pathlib.Path(__file__).parents[2]


def dry_run(*flags: str) -> tuple[int, str]:
  """In a process of its own: flags of two programs may bear one name."""
  command = [sys.executable, '-m', 'experiments.sweep', '--dry_run', *flags]
  done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
  return done.returncode, done.stderr


def test_train_takes_every_flag_of_every_table():
  assert dry_run(f'--table={",".join(table_files.names())}') == (0, '')


@pytest.mark.parametrize('flag', ['--metalog.ordr=first', '--metalog.order=third',
                                  '--preset=nix', 'x', '--seed=-1'])  # fmt: skip
def test_flags_that_train_has_not_are_found(flag):
  code, errors = dry_run('--table=table1', '--', flag)
  assert code == 1 and 'row a1-paper: ' in errors and 'Traceback' not in errors


@pytest.mark.parametrize('name', table_files.names())
def test_what_a_table_names_is_there(name):
  table = table_files.load(name)
  assert table.seeds in {tuple(range(3)), tuple(range(5)), tuple(range(10))}
  keys = {row.key.removesuffix(f'-{row.setting}') for row in table.rows}
  assert table.shown.get('against') in {None, *keys}


PRINTED = {  # P, R, F1: HDFS -> BGL, BGL -> HDFS (Tables 1 and 2)
  'a1': ((82.10, 67.42, 74.04), (65.86, 71.11, 68.38)),
  'a2': ((94.60, 72.95, 82.38), (100, 62.30, 76.77)),
  'b1': ((94.88, 89.62, 92.18), (96.30, 83.81, 89.62)),
  'b2': ((97.52, 91.27, 94.29), (82.54, 99.20, 90.11)),
  'c': ((66.13, 48.79, 56.16), (53.96, 34.07, 41.77)),
  'd1': ((38.80, 99.87, 55.89), (1.69, 92.85, 3.32)),
  'd2': ((39.08, 93.67, 55.15), (2.25, 62.12, 4.35)),
  'd3': ((57.23, 52.79, 54.38), (33.13, 58.04, 42.06)),
  'd4': ((27.13, 14.97, 19.29), (7.21, 10.32, 8.58)),
  'e1': ((43.33, 86.34, 57.70), (3.26, 91.37, 6.29)),
  'e2': ((37.72, 83.99, 52.06), (2.76, 65.14, 5.29)),
  'f1': ((78.01, 68.51, 72.95), (78.80, 71.22, 74.82)),
  'f2': ((74.42, 76.73, 75.56), (100, 43.30, 60.43)),
  'metalog': ((96.89, 89.28, 92.93), (89.29, 74.98, 81.51)),
}


@pytest.mark.parametrize('side', [0, 1])
def test_quotes_are_what_the_paper_prints(side):
  rows = table_files.load(f'table{side + 1}').rows
  quoted = {row.key: row.quoted for row in rows if row.quoted}
  printed = lambda of: (of['precision'], of['recall'], of['f1'])
  found = {key.removesuffix('-paper'): printed(of) for key, of in quoted.items()}
  assert found == {key: of[side] for key, of in PRINTED.items()}
  assert quoted['metalog-paper']['auroc'] == (94.8, 92.1)[side]
  minutes = {key: of['train_minutes'] for key, of in quoted.items()
             if 'train_minutes' in of}  # fmt: skip
  assert minutes == ({'a1-paper': 15, 'a2-paper': 12, 'f1-paper': 30,
                      'metalog-paper': 20} if not side else {})  # fmt: skip
  tested = {key: (of['test_seconds'], of['test_ms']) for key, of in quoted.items()
            if 'test_seconds' in of or 'test_ms' in of}  # fmt: skip
  assert tested == ({'metalog-paper': (8, 0.113)} if not side else {})


def test_both_directions_have_the_same_rows():
  rows = [{row.key: row for row in table_files.load(f'table{n}').rows} for n in (1, 2)]
  assert set(rows[0]) - set(rows[1]) == {'c_150-paper', 'c_150-scarce'}
  names = {'hdfs': 'bgl', 'bgl': 'hdfs'}
  turned = lambda flag: re.sub('hdfs|bgl', lambda found: names[found[0]], flag)
  budget = lambda flag: flag.startswith(('--target_normals', '--target_anomalies'))
  for key, row in rows[1].items():
    mine = [turned(flag) for flag in rows[0][key].flags if not budget(flag)]
    assert mine == [flag for flag in row.flags if not budget(flag)]


def test_labels_shares_and_gaps_are_what_the_paper_prints():
  found = {
    row.key: row.quoted for row in table_files.load('figure9').rows if row.quoted
  }
  assert found == {
    'hdfs_to_bgl-0.1pct': {'f1': 84.57},
    'hdfs_to_bgl-1pct': {'f1': 92.93},
    'hdfs_to_bgl-10pct': {'f1': 94.97},
    'bgl_to_hdfs-0.1pct': {'f1': 77.42},
    'bgl_to_hdfs-1pct': {'f1': 81.51},
    'bgl_to_hdfs-10pct': {'f1': 82.79},
  }
  behind = {
    n: {
      r.key: r.quoted['behind'] for r in table_files.load(f'figure{n}').rows if r.quoted
    }
    for n in (6, 7)
  }
  assert behind == {6: {'logrobust': 3, 'plelog': 5}, 7: {'logrobust': 18, 'plelog': 5}}


def test_grids_settings_and_flags_given_last(tmp_path):
  (tmp_path / 'g.toml').write_text("""
title = 'G'
flags = ['--source={systems}/a']
[settings.few]
name = 'few'
[settings.many]
name = 'many'
flags = ['--target_anomalies=9']
quotes = false
[rows.r]
name = 'R'
quoted = { f1 = 1 }
grid = { 'metalog.inner_steps' = [1, 5], seed = [3] }
[rows.s]
name = 'S'
only = ['few']
""")
  table = table_files.load(str(tmp_path / 'g.toml'), 'sys', ['--order=x'])
  assert [row.key for row in table.rows] == [
    'r-few-1-3', 'r-few-5-3', 's-few', 'r-many-1-3', 'r-many-5-3']  # fmt: skip
  last = table.rows[-1]
  assert last.flags == ('--source=sys/a', '--target_anomalies=9',
                        '--metalog.inner_steps=5', '--seed=3', '--order=x')  # fmt: skip
  assert (last.name, last.x, last.quoted) == ('R, inner_steps 5, seed 3', 5, {})
  assert table.rows[0].quoted == {'f1': 1} and table.rows[2].x is None
  (few,) = table_files.select([table], ['r-few', 's'])
  assert [row.key for row in few.rows] == ['r-few-1-3', 'r-few-5-3', 's-few']


@pytest.mark.parametrize('text, says', [
  ('title = ', 'not TOML'),
  ("title = 'x'", 'rows is missing'),
  ("title = 'x'\nrow = 1\n[rows]", "key='row'.*did you mean 'rows'"),
  ("title = 'x'\n[rows.a]\nname = 'a'\nflag = []", "rows.a.key='flag'.*'flags'"),
  ("title = 'x'\n[rows.a]\nname = 'a'\nquoted = { F1 = 1 }", "quotes='F1'.*'f1'"),
  ("title = 'x'\n[rows.a]\nname = 'a'\ngrid = { seed = [1, 1] }", 'one name: a-1'),
  ("title = 'x'\nseeds = true\n[rows.a]\nname = 'a'", 'seeds = True: .* a list of'),
  ("title = 'x'\nseeds = [0.5]\n[rows.a]\nname = 'a'", 'whole numbers'),
  ("title = 3\n[rows.a]\nname = 'a'", 'title = 3: it must be a text'),
  ("title = 'x'\nrows = [1]", 'rows = .* a table'),
  ("title = 'x'\n[rows]\na = 1", 'rows = .* tables'),
  ("title = 'x'\n[rows.a]\nname = 'a'\nflags = '--x'", 'rows.a.flags = .* a list'),
  ("title = 'x'\n[rows.a]\nname = 'a'\nquoted = { f1 = '9' }", 'rows.a.quoted = '),
  ("title = 'x'\n[rows.a]\nname = 'a'\nquoted = { f1 = nan }", 'rows.a.quoted = '),
  ("title = 'x'\n[rows.a]\nname = 'a'\ngrid = { seed = 1 }", 'rows.a.grid = '),
  ("title = 'x'\n[rows.'../a']\nname = 'a'", 'names folders'),
  ("title = 'x'\n[rows.a]\nname = 'a'\n[settings.b]", 'settings.b.name is missing'),
])  # fmt: skip
def test_damaged_tables_are_told(tmp_path, text, says):
  (tmp_path / 'd.toml').write_text(text)
  with pytest.raises(errors.UserError, match=says) as caught:
    table_files.load(str(tmp_path / 'd.toml'))
  assert 'd.toml' in str(caught.value)


def test_the_ablation_changes_attention_alone_with_the_labels_of_the_tables():
  rows = {row.key: row for row in table_files.load('ablation').rows}
  assert len(rows) == 16 and not any(row.quoted for row in rows.values())
  pairs = [('1', 'hdfs_to_bgl'), ('2', 'bgl_to_hdfs')]
  for (number, way), (setting, mine) in itertools.product(
    pairs, [('paper', ''), ('scarce', '_scarce')]
  ):
    of_table = {row.key: row for row in table_files.load(f'table{number}').rows}
    expected = set(of_table[f'metalog-{setting}'].flags) - {'--metalog.order=second'}
    flags = set(rows[f'attention-{way}{mine}'].flags)
    assert flags == expected
    more = set(rows[f'mean-{way}{mine}'].flags) - flags
    assert more == {'--metalog.attention=mean'}
