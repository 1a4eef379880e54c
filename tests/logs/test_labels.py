"""Files of labels, and what is said of those that are wrong."""

import time

import numpy as np
import polars as pl
import pytest

from metalog_jax.logs import labels


def read(tmp_path, text):
  path = tmp_path / 'labels.csv'
  path.write_bytes(text.encode() if isinstance(text, str) else text)
  found = labels.read(str(path))
  return dict(found.table.iter_rows()), found


@pytest.mark.parametrize(
  'text',
  [
    'BlockId,Klasse\nb1,Normal\nb2,Anomaly\n',
    'BlockId,Label\nb1,Normal\nb2,Anomaly\n',
    'b1,0\nb2,1',
    '\ufeffid\tlabel\r\nb1\tnormal\r\n\r\nb2\tANOMALOUS\r\n',
    'b1 0\nb2 1\nb1 0\n',
  ],
)
def test_two_columns(tmp_path, text):
  found, whole = read(tmp_path, text)
  assert found == {'b1': 0, 'b2': 1}
  assert whole.duplicates == (3 if text.endswith('b1 0\n') else 2) - 2


def test_hadoop_list(tmp_path):
  text = (
    '### WordCount\nNormal:\n+ application_1_01\n\nMachine down:\n+ application_1_02\n'
    '### PageRank\nNormal:\n+ application_1_03\nDisk full:\n+ application_1_04\n'
  )
  assert read(tmp_path, text)[0] == {
    'application_1_01': 0, 'application_1_02': 1,
    'application_1_03': 0, 'application_1_04': 1,
  }  # fmt: skip


@pytest.mark.parametrize(
  'text, message',
  [
    ('b1,0\nb2,1\nb1,1\n', r'labels.csv:3: b1 has another label than in line 1'),
    ('b1,0\nb2,maybe\n', r"labels.csv:2: 'b2,maybe' is not an id and a label"),
    ('b1,0,x\nb2,1,y\n', r'labels.csv:1: .* is not an id and a label'),
    ('id,label\n', r'labels.csv holds no label'),
    ('', r'labels.csv holds no label'),
    ('w3,odd', r"labels.csv:1: 'w3,odd' is not .* and no header such as id,label"),
    ('w3,odd\nw4,normal\n', r'labels.csv:1: .* is not an id and a label'),
    ('david,odd\nbob,normal\n', r'labels.csv:1: .* is not an id and a label'),
    ('w3,odd\nx.log:1-2\n', r'labels.csv:1: .* is not an id and a label'),
    ('081109 203518 INFO dfs: x\n', r'labels.csv:1: .* is not an id'),
  ],
)
def test_wrong(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    read(tmp_path, text)


@pytest.mark.parametrize(
  'line, want',
  [
    ('2026-03-01 09:13:41,2026-03-01 09:15:04,db01 down', ('', 1772356421, 1)),
    ('2026-03-01T10:13:41+01:00;2026-03-01T09:15:04Z', ('', 1772356421, 1)),
    ('1772356421,1772356504,normal', ('', 1772356421, 0)),
    ('app.log:12-40', ('app.log', 12, 1)),
    ('logs/app.log:40-12, normal', ('logs/app.log', 12, 0)),
    ('"2026-03-01","2026-03-02",""', ('', 1772323200, 1)),
  ],
)
def test_ranges(tmp_path, line, want):
  ids, whole = read(tmp_path, f'start,end,what\n{line}\nb1,anomaly\n')
  (item,) = whole.ranges.ranges
  assert (item.file, item.start, item.label) == want and item.end > item.start
  assert ids == {'b1': 1}


@pytest.mark.parametrize('header', ['von,bis,was', 'start,end', 'id label'])
def test_headers_above_ranges(tmp_path, header):
  ids, whole = read(tmp_path, f'{header}\n2026-03-01,2026-03-02,db down\n')
  assert not ids and len(whole.ranges.ranges) == 1


@pytest.mark.parametrize('line', ['blk_1:2,0', '12,1', '2026-03-01,1', 'a:1-2x,1'])
def test_ids_are_no_ranges(tmp_path, line):
  assert not read(tmp_path, line)[1].ranges.ranges


def test_rows_in_ranges(tmp_path):
  text = 'a/x.log:5-9,normal\nx.log:9-12\n1772356421,1772356504\ny.log:1-2\n'
  ranges = read(tmp_path, text)[1].ranges
  table = pl.DataFrame(
    {
      'start': [None, None, 1772356500.0, 1772356505.0, None],
      'end': [None, None, 1772356600.0, 1772356600.0, None],
      'file': ['/b/a/x.log', '/b/a/x.log', 'z', 'z', '/b/xx.log'],
      'first': [1, 8, 1, 1, 9],
      'last': [5, 9, 2, 2, 9],
    }
  )
  assert ranges.label(table).tolist() == [0, 1, 1, -1, -1]
  assert ranges.unmatched == ['y.log:1-2']


def test_many_rows_in_many_ranges_of_one_file(tmp_path):
  ranges = read(tmp_path, ''.join(f'x.log:{i}-{i}\n' for i in range(600)))[1].ranges
  line = np.arange(50_000.0)
  table = pl.DataFrame({'file': ['x.log'] * len(line), 'first': line, 'last': line})
  table = table.with_columns(start=None, end=None)
  begin = time.process_time()
  assert ranges.label(table).sum() == 600
  assert time.process_time() - begin < 0.5  # name by name: 1.5


def test_outside_a_list_of_incidents_all_is_normal(tmp_path):
  ranges = read(tmp_path, 'x.log:9-12\n')[1].ranges
  table = pl.DataFrame(
    {'start': [None] * 2, 'end': [None] * 2, 'file': ['x.log'] * 2,
     'first': [1, 9], 'last': [8, 9]}
  )  # fmt: skip
  assert ranges.label(table).tolist() == [0, 1]


def test_audit(tmp_path):
  read(tmp_path, 'a,0\nb,1\nc,1\nc,1\n')
  audit = labels.Audit(str(tmp_path / 'labels.csv'))
  got = audit.of(pl.Series(['b', 'x', 'a', 'y']), pl.Series([-1, -1, 1, 1]))
  assert got.tolist() == [1, -1, 0, 1]
  report = audit.report()
  assert report['unknown_ids'] == 1 and report['first_unknown_ids'] == ['c']
  assert report['sessions_without_label'] == 1
  assert report['duplicates'] == 1 and report['labels'] == 3
  strangers = labels.Audit(str(tmp_path / 'labels.csv'))
  strangers.of(pl.Series(['z']), pl.Series([-1]))
  with pytest.raises(ValueError, match=r'none of its 3 ids \(a, \.\.\.\) is a session'):
    strangers.report()
