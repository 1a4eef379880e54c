"""Files as they lie on disks: encodings, damage, folders, many of them, growing old."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys

import numpy as np
import pytest
import zstandard

from metalog_jax import errors
from metalog_jax.logs import encodings, files, keyed, records, streams
from metalog_jax.scanning import scan
from tests.logs.test_records import whole

LINES = ''.join(f'2026-01-02 15:04:{n:02} INFO shop: {{}} {n}\n' for n in range(20))


@pytest.mark.parametrize('text,encoding,found', [
  ('plain words', 'ascii', 'utf-8'),
  ('Größe überschritten', 'utf-8', 'utf-8'),
  ('Größe überschritten', 'utf-8-sig', 'utf-8-sig'),
  ('Größe überschritten', 'utf-16', 'utf-16'),
  ('plain words', 'utf-16-be', 'utf-16-be'),
  ('plain words', 'utf-16-le', 'utf-16-le'),
  ('Größe überschritten', 'utf-32', 'utf-32'),
  ('Größe überschritten für Benutzer Müller', 'latin-1', 'cp1252'),
  ('l’utilisateur a dépassé “la limite”', 'cp1252', 'cp1252'),
  ('错误: 连接数据库失败，请重试', 'gbk', 'gb18030'),
  ('用户登录成功', 'gb18030', 'gb18030'),
  ('Ошибка подключения к базе данных', 'cp1251', 'cp1251'),
  ('Ошибка подключения к базе данных', 'koi8_r', 'koi8_r'),
  ('Größe', 'latin-1', 'cp1252'),
  ('ÄÖÜ äöü ß', 'latin-1', 'cp1252'),
  ('使用者登入失敗', 'big5', 'big5'),
  ('ファイルを開けませんでした。', 'shift_jis', 'shift_jis'),
  ('データベース接続に失敗しました', 'euc_jp', 'euc_jp'),
  ('데이터베이스 연결 실패: 시간 초과', 'euc_kr', 'euc_kr'),
  ('資料庫連線失敗, 伺服器逾時', 'big5', 'big5'),
])  # fmt: skip
def test_encodings(tmp_path, text, encoding, found):
  path = tmp_path / 'a.log'
  path.write_bytes(LINES.format(*[text] * 20).encode(encoding))
  columns, reader = whole(path)
  assert reader.inputs[0].encoding == found
  assert columns['message'] == [f'{text} {n}' for n in range(20)]
  assert reader.inputs[0].num_damaged == 0


def test_an_encoding_that_is_given(tmp_path):
  path = tmp_path / 'a.log'
  path.write_bytes('2026-01-02 15:04:05 ошибка\n'.encode('koi8-r'))
  assert whole(path, encoding='koi8-r')[0]['message'] == ['ошибка']
  for wrong in ('klingon', 'hex', 'rot13'):
    with pytest.raises(errors.UserError, match=f'--encoding={wrong}'):
      records.read(path, encoding=wrong)


def test_bytes_that_are_damaged_are_kept_and_counted(tmp_path):
  data = LINES.format(*['über'] * 20).encode().splitlines(keepends=True)
  data[3] = data[3].replace(b'\xc3', b'\xff')
  data[4] = b'\0\0' + data[4]
  (tmp_path / 'a.log').write_bytes(b''.join(data))
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['message'][3:5] == [r'\xff\xbcber 3', 'über 4']
  assert reader.inputs[0].num_damaged == 2 and reader.inputs[0].fitted == 1


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_line_ends(tmp_path, end):
  (tmp_path / 'a.log').write_bytes(LINES.replace('\n', end).encode())
  columns, _ = whole(tmp_path / 'a.log')
  assert columns['line'] == list(range(1, 21)) and columns['message'][19] == '{} 19'


def test_colours_are_off(tmp_path):
  (tmp_path / 'a.log').write_text(
    '\x1b[2m2026-01-02T15:04:05Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mshop\x1b[0m: paid\n'
  )
  columns, _ = whole(tmp_path / 'a.log')
  assert columns['message'] == ['paid'] and columns['level'] == ['INFO']
  assert columns['text'] == ['2026-01-02T15:04:05Z  INFO shop: paid']


def test_a_long_line_is_cut(tmp_path):
  lines = LINES.splitlines(keepends=True)
  lines[5] = lines[5].replace('{}', 'x' * 3_000_000)
  (tmp_path / 'a.log').write_text(''.join(lines))
  columns, reader = whole(tmp_path / 'a.log')
  assert [len(t) for t in columns['text']][5] == streams.LONGEST_LINE
  assert columns['line'] == list(range(1, 21)) and reader.inputs[0].num_damaged == 1


@pytest.mark.parametrize('line', [
  'a ' * 30_000, '=' * 60_000, '"' * 60_000, '[' * 60_000, 'a=' * 30_000, '(' * 60_000,
  '2026-01-02 15:04:05 ' * 3000, 'a.' * 30_000, 'a::' * 20_000, '\\' * 60_000,
  '-' * 60_000,
  '<1>1 2026-01-02T15:04:05Z a b c d ' + '[a ' * 20_000, '0' * 60_000, '1:' * 30_000,
  '10.0.0.1 - - [02/Jan/2026:15:04:05 +0000] "' + '\\"' * 30_000, '{"a":' * 10_000,
  'k="' + '\\"' * 30_000, '2026-01-02 15:04:05 [1] ' + 'a ' * 30_000, ',' * 60_000,
  'Caused by: ' + 'a.' * 30_000, ' ' * 60_000 + 'x', '\tat ' + 'a.b(' * 15_000,
])  # fmt: skip
def test_no_line_costs_more_than_its_length(tmp_path, line):
  """A quadratic expression would take minutes for these."""
  path = tmp_path / 'a.log'
  path.write_text('\n'.join([line, *[line] * 20, f'x\n{line}']))
  columns, _ = whole(path)
  assert sum(columns['lines']) == 23


@pytest.mark.parametrize('name,compress', [
  ('a.log', bytes), ('a.log.gz', gzip.compress), ('a.log.bz2', bz2.compress),
  ('a.log.xz', lzma.compress), ('a.log.zst', zstandard.ZstdCompressor().compress),
])  # fmt: skip
def test_compressed_files_within_a_folder(tmp_path, name, compress):
  inside = tmp_path / 'deep' / 'er'
  inside.mkdir(parents=True)
  (inside / name).write_bytes(compress(LINES.encode()))
  (tmp_path / '.hidden').write_text('x')
  columns, reader = whole(tmp_path)
  assert len(columns['line']) == 20
  assert [entry.path for entry in reader.inputs] == [str(inside / name)]


def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
  data = gzip.compress(os.urandom(200_000).hex().encode() + b'\n' + LINES.encode())
  (tmp_path / 'a.log.gz').write_bytes(data[:-30])
  columns, reader = whole(tmp_path / 'a.log.gz')
  assert columns['line'] and 'cut short' in reader.inputs[0].skipped


def test_patterns(tmp_path):
  for name in ('a.log', 'b.log', 'c.txt'):
    (tmp_path / name).write_text(LINES)
  _, reader = whole([tmp_path / '*.log', tmp_path / 'a.log'])
  assert [os.path.basename(i.path) for i in reader.inputs] == ['a.log', 'b.log']
  with pytest.raises(errors.UserError, match='does not exist'):
    records.read(tmp_path / '*.gone')


def test_standard_input(monkeypatch):
  stdin = type('In', (), {'buffer': io.BytesIO(LINES.encode())})
  monkeypatch.setattr(sys, 'stdin', stdin)
  columns, reader = whole('-')
  assert len(columns['line']) == 20 and reader.inputs[0].path == '-'


def test_rotated_files_without_times(tmp_path):
  for name, text in (('a.log', 'new'), ('a.log.1', 'old'), ('a.log.10', 'oldest')):
    (tmp_path / name).write_text(text + '\n')
  assert whole(tmp_path)[0]['message'] == ['oldest', 'old', 'new']


def test_clocks_that_run_back_stay_in_their_place_and_are_counted(tmp_path):
  (tmp_path / 'a').write_text(
    '2026-01-02 15:00:00 a1\n2026-01-02 15:00:09 a2\n2026-01-02 15:00:01 late\n'
    'no time\n2026-01-02 15:00:10 a3\n'
  )
  (tmp_path / 'b').write_text(
    '2026-01-02 15:00:05 b1\n2026-01-02 15:00:09 b2\n2026-01-02 15:00:11 b3\n'
  )
  columns, reader = whole(tmp_path)
  said = ['a1', 'b1', 'a2', 'late', 'b2', 'a3', 'b3']
  assert columns['message'] == said
  assert str(columns['time'][3]) == '2026-01-02T15:00:01.000000'
  assert [entry.num_late for entry in reader.inputs] == [1, 0]


def test_more_files_than_are_open_at_once(tmp_path, monkeypatch):
  monkeypatch.setattr(records.merge, 'OPEN', 3)
  for n in range(12):
    text = ''.join(f'2026-01-02 {n // 2:02}:00:{i:02} f{n}\n' for i in range(5))
    (tmp_path / f'{n:02}').write_text(text)
  opened = []
  read_blocks = files.read_blocks
  monkeypatch.setattr(
    files, 'read_blocks', lambda *args: opened.append(args[0]) or read_blocks(*args)
  )
  columns, _ = whole(tmp_path)
  assert len(columns['time']) == 60
  assert (np.diff(columns['time']) >= np.timedelta64(0)).all()


def test_a_second_pass_gives_the_same(tmp_path):
  (tmp_path / 'a.log').write_text(LINES)
  reader = records.read(tmp_path)
  first = [block.message.to_list() for block in reader]
  assert [block.message.to_list() for block in reader] == first
  assert [entry.records for entry in reader.inputs] == [20]


def test_inputs_as_json(tmp_path):
  (tmp_path / 'a.log').write_text(LINES + 'x\n')
  _, reader = whole(tmp_path)
  [entry] = json.loads(json.dumps([i.as_json() for i in reader.inputs]))
  assert entry == {
    'path': str(tmp_path / 'a.log'), 'format': 'iso time, level, logger',
    'encoding': 'utf-8', 'bytes': len(LINES) + 2, 'lines': 21, 'records': 20,
    'num_fitted': 20, 'num_times': 20, 'num_late': 0, 'num_damaged': 0, 'skipped': '',
    'notes': [], 'fitted': 1.0, 'times': 1.0,
  }  # fmt: skip


@pytest.mark.parametrize('format', ['nonsense', '(?P<time>x)', '(?P<message>'])
def test_a_format_that_is_none(tmp_path, format):
  (tmp_path / 'a.log').write_text(LINES)
  with pytest.raises(errors.UserError, match='--format'):
    records.read(tmp_path, format=format)


def test_a_format_that_is_given(tmp_path):
  (tmp_path / 'a.log').write_text('7;2026-01-02 15:04:05;who;what\n')
  pattern = r'^\d;(?P<time>[^;]*);(?P<user>[^;]*);(?P<message>.*)$'
  [block] = records.read(tmp_path, format=pattern)
  assert block.message.to_list() == ['what']
  assert [*block.fields] == ['user'] and block.fields['user'].to_list() == ['who']
  assert str(block.time[0]) == '2026-01-02T15:04:05.000000'


def test_date_and_time_of_a_format_that_is_given(tmp_path):
  (tmp_path / 'a.log').write_text('2026-01-02;15:04:05;what\n')
  pattern = r'^(?P<date>[^;]*);(?P<time>[^;]*);(?P<content>.*)$'
  [block] = records.read(tmp_path, format=pattern)
  assert str(block.time[0]) == '2026-01-02T15:04:05.000000'


def test_the_day_is_in_the_name_of_the_file(tmp_path):
  for day in ('2026-01-01', '2026-01-02'):
    text = '09:00:00 up\n23:59:59 late\n' + '00:00:01 later\n' * (day == '2026-01-02')
    (tmp_path / f'app-{day}.log').write_text(text)
  columns, _ = whole(tmp_path)
  assert [str(time)[:13] for time in columns['time']] == [
    '2026-01-01T09', '2026-01-01T23', '2026-01-02T09', '2026-01-02T23', '2026-01-03T00'
  ]  # fmt: skip


def test_tables_with_columns_twice_and_damage(tmp_path):
  (tmp_path / 'x_structured.csv').write_text(
    'LineId,Time,Time,Content\n1,2026-01-02 15:04:05,a,blk_1 x, y\n2,broken\n'
    '3,2026-01-02 15:04:06,a,"two\nlines"\n4,2026-01-02 15:04:07,a,"open\n'
  )
  columns, reader = whole(tmp_path)
  assert columns['message'] == ['blk_1 x, y', '2,broken', 'two', columns['text'][3]]
  assert columns['lines'] == [2, 1, 2, 1]
  assert (reader.inputs[0].num_fitted, reader.inputs[0].num_times) == (2, 2)


@pytest.mark.parametrize('line', [
  '{"when": "2026-01-02T15:04:05Z", "What": "x", "msg": 1}', 'when,What,msg\n{},x,1',
  'when=2026-01-02T15:04:05Z What=x msg=1', 'when:2026-01-02T15:04:05Z\tWhat:x\tmsg:1',
  '{"log": "{\\"when\\": \\"a\\", \\"What\\": \\"x\\"}\\n", '
  '"time": "2026-01-02T15:04:05Z"}',
])  # fmt: skip
def test_keys_that_are_named(tmp_path, line):
  (tmp_path / 'a.log').write_text(line.replace('{},', '2026-01-02T15:04:05Z,') + '\n')
  keys = keyed.chosen(['time=when', 'message=what'])
  reader = records.read(tmp_path, keys=keys)
  [block] = reader
  assert block.message.to_list() == ['x'] and not np.isnat(block.time[0])
  assert not reader.inputs[0].notes


@pytest.mark.parametrize('second', [False, True])
@pytest.mark.parametrize('line', ['{"when": 1, "what": "x"}', 'plain words'])
def test_a_key_that_is_not_there_is_told(tmp_path, line, second):
  (tmp_path / 'a.log').write_text(f'{line}\n' * 3)
  if second:  # which layouts are found from a sample of each
    (tmp_path / 'b.log').write_text('{"text": "2026"}\n')
  found = scan.scan([str(tmp_path)], scan.Options(key=('message=text',)))
  told = [text for text in found.warnings if '--key=message=text' in text]
  assert told == [
    "a.log: its first lines have no key 'text', which --key=message=text names"
  ]


@pytest.mark.parametrize('key', ['.inside', '.file', '.line', '.key', 'level', 'Time'])
def test_a_key_cannot_be_taken_for_a_column_of_ours(tmp_path, key):
  """With `.inside` all lines but the first were hidden in its record."""
  row = {'ts': '2026-01-02T15:04:05Z', 'msg': 'step', 'severity': 'INFO', key: '1'}
  (tmp_path / 'a.log').write_text(f'{json.dumps(row)}\n' * 5)
  [block] = records.read(tmp_path, keys={'level': 'severity', 'time': 'ts'})
  assert block.line.tolist() == [1, 2, 3, 4, 5] and set(block.level) == {'INFO'}
  assert '1' in [column[4] for column in block.fields.values()]


@pytest.mark.parametrize('text', ['message', 'message=', 'host=x', ''])
def test_a_key_of_no_role_is_refused(text):
  with pytest.raises(errors.UserError, match=f'--key={text}: write ROLE=NAME'):
    scan.Options(key=(text,))


def test_a_hole_at_the_beginning(tmp_path):
  (tmp_path / 'a.log').write_bytes(bytes(300_000) + LINES.encode())
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['message'][0] == '{} 0' and reader.inputs[0].num_damaged == 1


def test_detection_of_binary_files():
  assert encodings.detect(bytes(range(256)) * 20) == 'binary'
  assert encodings.detect(b'\x7fELF' + bytes(500)) == 'binary'
  assert encodings.detect(LINES.encode() + bytes(4096)) == 'utf-8'  # a crash's tail
