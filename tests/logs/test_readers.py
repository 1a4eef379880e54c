"""Every format, line by line, against what the data sets say of themselves."""

import csv
import gzip
import io
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.logs import accounts, files, formats, readers
from tests import samples

LINES = {
  'hdfs': (
    '081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_-16 src: /1',
    ('Receiving block blk_-16 src: /1', 'blk_-16', 1226262918.0, -1),
  ),
  'bgl': (
    'KERNDTLB 1118536327 2005.06.11 R30-M0 2005-06-11-17.32.07.581048 R30-M0 RAS '
    'KERNEL FATAL data TLB error interrupt',
    ('data TLB error interrupt', 'R30-M0', 1118536327.0, 1),
  ),
  'thunderbird': (
    '- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: '
    'session closed for user root',
    ('session closed for user root', 'dn228', 1131566461.0, 0),
  ),
  'spirit': (
    '- 1104566461 2005.01.01 sn209 Jan 1 00:01:01 sn209/sn209 ACPI: no component: x',
    ('no component: x', 'sn209', 1104566461.0, 0),
  ),
  'openstack': (
    'nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:04.500 2931 INFO '
    'nova.compute.manager [req-3ea4 - -] [instance: '
    'b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started',
    ('[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started',
     'b9000564-fe1a-409b-b8cc-1e88b294cd1d', 1494892804.5, -1),
  ),
  'hadoop': (
    '2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMas'
    'ter: Created MRAppMaster for application appattempt_1445144423722_0020_000001',
    ('Created MRAppMaster for application appattempt_1445144423722_0020_000001',
     'application_1445144423722_0020', 1445191307.978, -1),
  ),
}  # fmt: skip


def parse(text, system, path='a.log', group=''):
  data = text if isinstance(text, bytes) else text.encode()
  format = system if isinstance(system, formats.Format) else formats.FORMATS[system]
  return readers.parse(files.Chunk(data, path, 1, 1, b''), format, group)


def read(paths, format, group='', chunk_bytes=0):
  """All lines of some files as plain values."""
  bad = accounts.Account('100%', format)
  lines = list(samples.read([str(p) for p in paths], format, bad, group, chunk_bytes))
  content = [text for part in lines for text in part.content]
  number = np.concatenate([part.number for part in lines])
  time = np.concatenate([part.time for part in lines])
  label = np.concatenate([part.label for part in lines])
  owned = [
    (int(part.number[owner]), name)
    for part in lines
    for owner, name in zip(part.owner, part.entity)
  ]
  return content, number.tolist(), owned, time, label.tolist(), bad


@pytest.mark.parametrize('system', LINES)
def test_a_line(system):
  line, (content, entity, time, label) = LINES[system]
  for end in ('\n', '\r\n'):
    lines = parse(line + end, system)
    assert lines.content.to_list() == [content]
    assert lines.entity.to_list() == [entity]
    assert lines.time.tolist() == [time]
    assert lines.label.tolist() == [label]
    assert not lines.tally.bad and not lines.tally.skipped


def test_every_system_is_tried():
  assert set(LINES) == set(formats.FORMATS)


@pytest.mark.parametrize('system', LINES)
def test_no_format_takes_the_line_of_another(system):
  takers = formats.guess([LINES[system][0]])
  assert takers == (
    ['thunderbird', 'spirit'] if system in ('thunderbird', 'spirit') else [system]
  )


def test_openstack_without_name_and_time():
  text = (
    '  INFO os_vif [req-58492fc1-52] Successfully plugged vif\n'
    'INFO nova.service [-] Starting compute node\n'
    'WARNING oslo_config.cfg [req-1] Deprecated: (\n'
    'live_migration_uri is deprecated\n'
    '\n'
    'INFO nova.x [req-2] [instance: 11760334-ac63-4cc8-9086-578422af8c99] Creating\n'
  )
  lines = parse(text, 'openstack')
  assert lines.owner.tolist() == [0, 2, 3]
  assert lines.entity.to_list() == [
    'req-58492fc1-52', 'req-1', '11760334-ac63-4cc8-9086-578422af8c99'
  ]  # fmt: skip
  assert lines.tally.skipped == {'blank': 1, 'continuation': 1}
  assert np.isnan(lines.time).all()
  by_request = parse(text, 'openstack', group='request')
  assert by_request.entity.to_list() == ['req-58492fc1-52', 'req-1', 'req-2']


def test_lines_above_the_first_record_are_bad_even_at_a_chunk_border(tmp_path):
  path = tmp_path / 'a.log'
  record = 'INFO nova.x [req-1] message\n'
  path.write_text('no head\n' + record + 'below\n' * 5)
  for chunk_bytes in (1, 30, 1000):
    content, *_, bad = read([path], formats.OPENSTACK, chunk_bytes=chunk_bytes)
    assert content == ['message']
    assert bad.skipped == {'continuation': 5}
    assert bad.num_bad == 1
    assert bad.reasons[accounts.NO_FIT]['first'] == [
      {'file': str(path), 'line': 1, 'text': 'no head'}
    ]


def test_hdfs_line_of_several_blocks():
  head = '081109 203518 143 INFO dfs.X: '
  lines = parse(f'{head}ask blk_2 blk_-1 blk_2\n{head}none\n{head}blk_2\n', 'hdfs')
  assert lines.owner.tolist() == [0, 0, 2]
  assert lines.entity.to_list() == ['blk_2', 'blk_-1', 'blk_2']


def test_hadoop_by_path():
  line = '2015-10-18 18:01:47,978 INFO [main] a.B: hello\n\tat trace\n'
  path = 'logs/application_14_07/container_14_07_01_000002.log'
  assert parse(line, 'hadoop', path).entity.to_list() == ['application_14_07']
  lines = parse(line, 'hadoop', path, 'container')
  assert lines.entity.to_list() == ['container_14_07_01_000002']
  assert lines.tally.skipped == {'continuation': 1}
  path = 'logs/container_14_07_01_000002.log'
  assert parse(line, 'hadoop', path).entity.to_list() == ['application_14_07']


def test_custom():
  format = formats.custom(
    r'^(?P<time>\S+) (?P<session>\w*) (?P<label>\w*)\|(?P<content>.*)'
  )
  text = (
    '2024-01-02T00:00:01.5Z s1 normal|a\n'
    '1704153601 s2 Anomaly|b\n'
    '1704153601500 s1 |c\n'
    'yesterday  fail|d\n'
    '1704153601 s1 perhaps|e\n'
  )
  lines = parse(text, format)
  assert lines.content.to_list() == ['a', 'b', 'c', 'd']
  assert list(zip(lines.owner, lines.entity)) == [(0, 's1'), (1, 's2'), (2, 's1')]
  assert lines.label.tolist() == [0, 1, -1, 1]
  np.testing.assert_array_equal(
    lines.time, [1704153601.5, 1704153601, 1704153601.5, np.nan]
  )
  assert lines.tally.bad[readers.LABEL][1] == [(5, '1704153601 s1 perhaps|e')]


@pytest.mark.parametrize(
  'time',
  (
    '2026-03-01T08:00:02.750Z',
    '2026-03-01T08:00:02.750000000Z',
    '2026-03-01T10:00:02.750+02:00',
    '2026-03-01T10:00:02,750000123+0200',
    '2026-03-01 03:30:02.75 -0430',
    '2026-03-01 08:00:02.75',
  ),
)
def test_offsets_of_times_are_moved_to_utc(time):
  format = formats.custom(r'^(?P<time>[^|]+)\|(?P<content>.*)$')
  lines = parse(f'{time}|x\n2026-03-01T08:00:03Z|y\nsoon|z\n', format)
  utc = [1772352002.75, 1772352003, np.nan]
  np.testing.assert_array_equal(lines.time, utc)
  assert lines.tally.bad_times == ['soon']


def test_custom_time_format():
  pattern = r'^\[(?P<time>[^]]*)\] (?P<content>.*)'
  format = formats.custom(pattern, '%d/%m/%y %H:%M:%S,%f')
  assert parse('[02/01/24 00:00:01,250] x\n', format).time.tolist() == [1704153601.25]


def test_custom_regex_that_only_python_knows():
  """Look-behinds make the fast engine refuse; the result is the same."""
  text = 's1 one\ns2 two\nbad\n'
  fast = parse(text, formats.custom(r'^(?P<session>s\d) (?P<content>.*)'))
  slow = parse(text, formats.custom(r'^(?P<session>s\d) (?<=s\d )(?P<content>.*)'))
  for name in ('content', 'entity'):
    assert getattr(fast, name).to_list() == getattr(slow, name).to_list()
  assert fast.tally.bad == slow.tally.bad


@pytest.mark.parametrize(
  'pattern, message',
  [('(?P<content', 'not a regular expression'), ('(?P<text>.*)', 'name the group')],
)
def test_custom_refuses(pattern, message):
  with pytest.raises(ValueError, match=message):
    formats.custom(pattern)


word = st.text('abZ09-.:[]/\t é', min_size=0, max_size=6)


@hypothesis.given(
  system=st.sampled_from(['hdfs', 'bgl', 'thunderbird']), data=st.data()
)
def test_splitting_at_spaces_is_what_the_regex_says(system, data):
  """The fast way for column formats, on lines near the format."""
  format = formats.FORMATS[system]
  fields = LINES[system][0].split(' ')
  for _ in range(data.draw(st.integers(0, 3))):
    fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(word)
  line = ' '.join(fields)
  lines = parse(line + '\n', system)
  match = re.search(format.line, line)
  if not line.strip():
    assert lines.tally.skipped == {'blank': 1}
  elif match is None:
    assert list(lines.tally.bad) == [accounts.NO_FIT]
  else:
    content = re.sub(format.head, '', match['content'] or '', count=1)
    assert lines.content.to_list() == [content]
    if format.alert:
      assert lines.label.tolist() == [int(match['label'] != '-')]


def test_bytes_that_are_not_text():
  head = b'081109 203518 143 INFO dfs.X: '
  utf8, latin = 'blk_1 naïve'.encode(), 'blk_2 naïve'.encode('latin-1')
  zero = b'blk_3 \0'
  lines = parse(
    head + utf8 + b'\n' + head + latin + b'\r\n' + head + zero + b'\n', 'hdfs'
  )
  assert lines.content.to_list() == ['blk_1 naïve', 'blk_2 na\\xefve']
  assert lines.tally.escaped == 1
  assert list(lines.tally.bad) == [readers.BINARY]


def test_a_long_line_is_bad_and_the_next_is_not():
  head = '081109 203518 143 INFO dfs.X: '
  lines = parse(f'{head}blk_1 {"x" * files.MAX_LINE}\n{head}blk_2\n', 'hdfs')
  assert lines.entity.to_list() == ['blk_2']
  ((count, ((line, text),)),) = lines.tally.bad.values()
  assert (count, line, len(text)) == (1, 1, accounts.TEXT)


@pytest.mark.parametrize('chunk_bytes', [1, 300])
def test_chunks_change_nothing(tmp_path, chunk_bytes):
  path = tmp_path / 'a.log'
  text = ''.join(f'{LINES["bgl"][0]} {i}\n' for i in range(9)) + 'odd\n\n'
  path.write_text(text * 3)
  whole = read([path, path], formats.BGL)
  parts = read([path, path], formats.BGL, chunk_bytes=chunk_bytes)
  assert whole[:3] == parts[:3]
  assert whole[1][-1] == 2 * 3 * 11 - 2
  assert parts[-1].report() == whole[-1].report()


def test_ten_bad_lines_of_a_reason_are_kept(tmp_path):
  path = tmp_path / 'a.log'
  path.write_text('odd\n' * 25)
  *_, bad = read([path, path], formats.BGL, chunk_bytes=20)
  (kept,) = bad.reasons.values()
  assert kept['count'] == 50
  assert [shown['line'] for shown in kept['first']] == list(range(1, 11))


def test_structured_rows_that_do_not_fit(tmp_path):
  path = tmp_path / 'x_structured.csv'
  path.write_text(
    'LineId,Label,Timestamp,Node,Content\n1,-,5,n1,"a, ""b"""\n2,-,6,n1\n'
    '3,-,7,n1,c,too many\n4,X,8,n2,d\n5,-,9,n2,"open\n'
  )
  for chunk_bytes in (1, 1 << 20):
    content, number, owned, time, label, bad = read(
      [path], formats.BGL, chunk_bytes=chunk_bytes
    )
    assert content == ['a, "b"', 'd']
    assert owned == [(2, 'n1'), (5, 'n2')]
    assert (time.tolist(), label) == ([5, 8], [0, 1])
    assert bad.reasons[readers.COLUMNS]['count'] == 3


def test_structured_without_content(tmp_path):
  path = tmp_path / 'x_structured.csv'
  path.write_text('LineId,Label,Message\n1,-,x\n')
  with pytest.raises(ValueError, match='no column Content'):
    read([path], formats.BGL)
  path.write_text('LineId,Label,Content\n1,-,x\n')
  with pytest.raises(ValueError, match='no column node to group lines by'):
    read([path], formats.BGL)


@pytest.mark.parametrize('system', samples.LOGHUB)
def test_loghub_samples(data, system):
  """Raw and structured files of a sample say the same; so do loghub's columns."""
  stem = data / f'loghub/{samples.LOGHUB[system]}_2k.log'
  format = formats.FORMATS[system]
  raw = read([f'{stem}.gz'], format)
  table = read([f'{stem}_structured.csv.gz'], format)
  assert raw[-1].num_bad == table[-1].num_bad == 0
  assert len(raw[0]) == len(table[0]) == 2000
  np.testing.assert_array_equal(raw[3], table[3])
  assert raw[4] == table[4]
  assert [name for _, name in raw[2]] == [name for _, name in table[2]]
  different = sum(a.strip() != b.strip() for a, b in zip(raw[0], table[0]))
  # loghub lets a component hold spaces, and so takes "Kernel command line:" for one.
  assert different == (9 if system == 'thunderbird' else 0)
  with gzip.open(f'{stem}_structured.csv.gz') as file:
    rows = list(csv.DictReader(io.TextIOWrapper(file, 'utf-8')))
  assert table[0] == [row['Content'] for row in rows]
  if format.alert:
    assert table[4] == [int(row['Label'] != '-') for row in rows]


@pytest.mark.parametrize(
  'system, lines, events', [('hdfs', 222579, 222579), ('openstack', 25659, 25393)]
)
def test_raw_logs_have_no_bad_line(data, system, lines, events):
  content, *_, bad = read([data / samples.RAW[system]], formats.FORMATS[system])
  assert (bad.num_lines, len(content), bad.num_bad) == (lines, events, 0)
