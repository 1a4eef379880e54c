"""Records of several lines: whose they are, what they say, and that none is lost."""

import random

import pytest

from metalog_jax.logs import records, streams
from tests.logs.test_records import whole

HEAD = '2026-01-02 15:04:0{n} {level} shop.cart: {text}\n'
TRACES = {
  'Python': (
    """\
Traceback (most recent call last):
  File "/srv/shop.py", line 8, in run
    total = price / count
            ~~~~~~^~~~~~~
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop.py", line 10, in run
    raise shop.errors.CartError('no total') from None
shop.errors.CartError: no total
""",
    'shop.errors.CartError',
  ),
  'Python without a known ending': (
    """\
Traceback (most recent call last):
  File "<string>", line 1, in <module>
requests.Timeout
""",
    'requests.Timeout',
  ),
  'Java': (
    """\
java.lang.IllegalStateException: cannot pay
\tat com.example.Cart.pay(Cart.java:5) ~[shop.jar:1.0]
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.sql.SQLException: closed
\tat com.example.Db.get(Db.java:7)
\t... 2 common frames omitted
\tSuppressed: java.io.IOException: late
\t\tat com.example.Db.close(Db.java:9)
Caused by: java.net.ConnectException: Connection refused (Connection refused)
\t... 12 more
""",
    'java.net.ConnectException',
  ),
  'Go panic': (
    """\
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Cart).Pay(0xc000012345, 0x5)
\t/src/main.go:12 +0x1d
main.main()
\t/src/main.go:20 +0x25
exit status 2
""",
    'panic: runtime error: index out of range [5] with length 3',
  ),
  '.NET': (
    """\
System.InvalidOperationException: cannot pay
 ---> System.Net.Sockets.SocketException (111): Connection refused
   at System.Net.Sockets.Socket.Connect(EndPoint remote)
   --- End of inner exception stack trace ---
   at Shop.Cart.Pay() in /src/Cart.cs:line 12
""",
    'System.Net.Sockets.SocketException',
  ),
  'Node': (
    """\
TypeError: Cannot read properties of undefined (reading 'id')
    at pay (/srv/cart.js:12:5)
    at async Promise.all (index 0) {
  code: 'E_PAY'
}
""",
    'TypeError',
  ),
  'Ruby': (
    """\
ActiveRecord::ConnectionNotEstablished (connection refused):

app/models/cart.rb:12:in `pay'
app/controllers/cart.rb:3:in `show'
""",
    '',
  ),
  'wrapped': ('and the rest of it\n  goes on here\n\n', ''),
  'JSON': ('{\n  "code": 3,\n  "items": [\n    1\n  ]\n}\n', ''),
  'SQL': ('SELECT *\nFROM carts\nWHERE id = 5;\n', ''),
}


@pytest.mark.parametrize('name', TRACES)
@pytest.mark.parametrize('last', [False, True])
def test_lines_below_belong_to_the_record(tmp_path, name, last):
  trace, thrown = TRACES[name]
  lines = [HEAD.format(n=n, level='INFO', text=f'step {n}') for n in range(5)]
  lines[2] = HEAD.format(n=2, level='ERROR', text='failed')
  text = ''.join([*lines[:3], trace, *([] if last else lines[3:])])
  (tmp_path / 'a.log').write_text(text)
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['lines'][2] == 1 + trace.count('\n')
  assert columns['message'][2] == f'failed {thrown}'.rstrip()
  assert '\n'.join(columns['text']) == text[:-1]
  assert reader.inputs[0].fitted == 1


@pytest.mark.parametrize('name', ['Python', 'Java', 'Go panic', '.NET', 'Node'])
def test_traces_in_plain_text(tmp_path, name):
  trace, thrown = TRACES[name]
  text = f'all is well\nit failed\n{trace}going on\nand on\n'
  if name in ('Java', '.NET', 'Node', 'Go panic'):
    text = f'all is well\n{trace}going on\nand on\n'
  (tmp_path / 'a.log').write_text(text)
  columns, _ = whole(tmp_path / 'a.log')
  assert len(columns['line']) == 4
  assert thrown in columns['message'][1]


def test_what_a_container_throws_is_one_record(tmp_path):
  trace = TRACES['Python'][0]
  text = ''.join(
    f'2026-01-02T15:04:05.{n:09}Z stderr F {line}\n'
    for n, line in enumerate(f'it failed\n{trace}going on'.split('\n'))
  )
  (tmp_path / 'a.log').write_text(text)
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['message'] == ['it failed shop.errors.CartError', 'going on']
  assert reader.inputs[0].format == 'cri: plain'


def test_a_stack_within_json(tmp_path):
  (tmp_path / 'a.log').write_text(
    '{"message":"failed","time":1767366245,"error":{"stack_trace":'
    '"java.lang.E: x\\n\\tat a.b(C.java)\\nCaused by: java.net.ConnectException: y"}}\n'
  )
  columns, _ = whole(tmp_path / 'a.log')
  assert columns['message'] == ['failed java.net.ConnectException']


def test_other_formats_in_one_file_are_records(tmp_path):
  text = (
    ''.join(HEAD.format(n=n, level='INFO', text='fine') for n in range(6))
    + '{"level":"error","msg":"no disk","time":"2026-01-02T15:04:07Z"}\n'
    + '[02/Jan/2026:15:04:08 +0000] ERROR bad gateway\n'
    + 'FATAL: out of memory\n'
    + 'some words of it\n'
    + HEAD.format(n=9, level='INFO', text='fine')
  )
  (tmp_path / 'a.log').write_text(text)
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['message'][6:] == ['no disk', 'bad gateway', 'out of memory', 'fine']
  assert columns['level'][6:] == ['ERROR', 'ERROR', 'FATAL', 'INFO']
  assert columns['lines'][8] == 2
  [entry] = reader.inputs
  assert (entry.records, entry.num_fitted, entry.num_times) == (10, 7, 9)


def test_two_formats_taking_turns(tmp_path):
  text = ''.join(
    f'Jan  2 15:04:{n:02} host app[1]: step {n}\n'
    f'10.0.0.1 - - [02/Jan/2026:15:04:{n:02} +0000] "GET /{n} HTTP/1.1" 502 0\n'
    for n in range(20)
  )
  (tmp_path / 'a.log').write_text(text)
  columns, reader = whole(tmp_path / 'a.log')
  assert columns['lines'] == [1] * 40
  assert {'step 3', 'step 19'} <= set(columns['message'])
  assert (
    sum('"GET /' in message and '502' in message for message in columns['message'])
    == 20
  )
  assert reader.inputs[0].num_times == 40


def test_a_record_has_an_end(tmp_path):
  text = HEAD.format(n=1, level='INFO', text='x') + ' more\n' * 2500
  (tmp_path / 'a.log').write_text(text)
  columns, _ = whole(tmp_path / 'a.log')
  assert columns['lines'] == [1000, 1000, 501]


def soup(rng: random.Random) -> bytes:
  """Lines of every kind, whole and damaged, with every line end."""
  pieces = [
    *(HEAD.format(n=n, level='INFO', text='x').encode()[:-1] for n in range(3)),
    *(line.encode() for trace, _ in TRACES.values() for line in trace.split('\n')),
    *(trace.encode() for trace, _ in TRACES.values() for _ in range(4)),
    b'{"level":"error","msg":"no","time":1767366245}', b'{"broken', b'', b'   ', b'\t',
    b'a,b\n"c', b'"', b'time=5 level=info msg="x', b'\0\0\0', b'\xff\xfe\x80',
    b'\x1b[31mred\x1b[0m', b'\x1b]0;title\x07', b'x' * 300, b'<34>1 - - - - - -',
    b'Jan  2 15:04:05 host app[1]: x', b'99/99/9999 99:99:99 x', b'\xe2\x82', b'}',
    b'2026-01-02T15:04:05Z stdout P a', b'2026-01-02T15:04:05Z stdout F b',
    '錯誤'.encode('big5'), b'LineId,Time,Content', b'1,2,"x', b'\r', b'a\rb',
  ]  # fmt: skip
  lines = [rng.choice(pieces) for _ in range(rng.randrange(1, 60))]
  ends = rng.choice([[b'\n'], [b'\r\n'], [b'\n', b'\r\n']])
  data = b''.join(line + rng.choice(ends) for line in lines)
  return data if rng.random() < 0.8 else data.rstrip(b'\n')


def pieces(data: bytes, size: int, format: str = 'auto', encoding: str = ''):
  """The frames of a stream that is given `size` bytes at a time."""
  entry = streams.Input('x', encoding=encoding)
  stream = streams.Stream(entry, 0, streams.Options(format), anchor=0)
  parts = [data[i : i + size] for i in range(0, len(data), size)]
  frames = [stream.feed(part) for part in parts]
  frames.append(stream.feed(b'', last=True))
  rows = [row for f in frames if f is not None for row in f.rows(named=True)]
  return rows, entry


@pytest.mark.parametrize('seed', range(15))
@pytest.mark.parametrize('format', ['auto', 'json', 'table', 'cri', 'syslog', 'plain'])
def test_every_line_belongs_to_one_record(seed, format, monkeypatch):
  """Whatever the bytes, the format and the pieces in which they come."""
  monkeypatch.setattr(streams, 'SAMPLE', 1 << 30)
  data = soup(random.Random(seed))
  if format == 'table':
    data = b'LineId,Time,Content\n' + data
  rows, entry = pieces(data, 1 << 30, format)
  if entry.skipped:
    assert entry.skipped == 'binary'
    return
  line = 1
  for row in rows:
    assert row['.line'] == line and row['.lines'] > 0
    line += row['.lines']
    assert row['message'] is not None and row['level'] is not None
  assert line - 1 == entry.lines == data.count(b'\n') + (data[-1:] != b'\n')
  assert entry.records == len(rows)


@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize('format', ['json', 'cri', 'syslog', 'plain', 'dotnet'])
def test_records_do_not_depend_on_the_pieces(seed, format, monkeypatch):
  monkeypatch.setattr(streams, 'SAMPLE', 1)
  monkeypatch.setattr(streams.choosing, 'choose', lambda *_: streams.layouts.PLAIN)
  data = soup(random.Random(seed))
  expected, _ = pieces(data, 1 << 30, format, 'utf-8')
  rows, _ = pieces(data, 40, format, 'utf-8')
  names = ['.line', '.lines', 'level', 'message', '.text', 'time']
  assert [[r[n] for n in names] for r in rows] == [
    [r[n] for n in names] for r in expected
  ]


@pytest.mark.parametrize('lines,said', [
  (['[INFO] 04-05-2026 08:00:01 - up'] * 9, ['04-05-2026 were read as month day year']),
  (['03/04/2026 08:00:01 up', '04/04/2026 08:00:01 up'], ['read as day month year']),
  (['03/04/2026 08:00:01 up', '13/04/2026 08:00:01 up'], []),
  (['04.05.2026 08:00:01 up'], []), (['2026-05-04 08:00:01 up'], []),
  (['08:00:01 up'], ['times of day without a date: the last is taken for 2026-06-07']),
  (['2026-05-04 INFO 08:00:01 up'], ['like a date was not read']),
  (['4 mai 2026 08:00:01 up'], ['like a date was not read']),
  (['{"date":"x 2026:05:04","time":"08:00:01","msg":"up"}'], ['like a date']),
])  # fmt: skip
def test_what_is_guessed_of_times_is_said(tmp_path, lines, said):
  path = tmp_path / 'a-2026-06-07.log'
  path.write_text('\n'.join(lines * 5) + '\n')
  reader = records.read(path)
  list(reader)
  [entry] = reader.inputs
  assert len(entry.notes) == len(said)
  for note, part in zip(entry.notes, said):
    assert part in note
