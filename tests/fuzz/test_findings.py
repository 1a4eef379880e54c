"""What `experiments.fuzz` has found, each as small as it gets."""

import json
import socket
import time

import numpy as np
import polars as pl
import pytest

from experiments.fuzzing import texts
from metalog_jax import errors, types
from metalog_jax.embeddings import pretrained
from metalog_jax.logs import label_ranges, labels, manifests, messages, records, store
from metalog_jax.scanning import baseline, feedback, scan, sinks

LINE = '2026-01-02 15:04:{:02} INFO shop: paid {}\n'
LOG = ''.join(LINE.format(i % 60, i) for i in range(200))


@pytest.mark.parametrize('head', [
  'date time 1\u00e1b', 'date time ' + '9' * 300, 'date message time', 'date \u00aa',
  ' '.join(f'f{i}' for i in range(5000)),
], ids=range(5))  # fmt: skip
def test_names_of_fields_that_no_expression_takes(tmp_path, head):
  (tmp_path / 'a.log').write_text(f'#Fields: {head}\n2026-01-02 15:04:05 x\n')
  reader = records.read(tmp_path / 'a.log')
  assert sum(block.lines.sum() for block in reader) == 2 == reader.inputs[0].lines


def test_lines_of_labels_beyond_every_number(tmp_path):
  path = tmp_path / 'labels.csv'
  path.write_text(f'x.log:5-{"9" * 400}\n')
  with pytest.raises(errors.UserError, match=r'labels.csv:1: '):
    labels.read(str(path))


@pytest.mark.parametrize(
  'text', ['0001-01-01T00:00:00+14:00', '9999-12-31T23:59:00-05:00']
)
def test_times_that_are_in_no_year_in_utc(text):
  assert label_ranges.seconds(text) is None


@pytest.mark.parametrize('name', ['feedback.jsonl', 'findings.jsonl'])
@pytest.mark.parametrize('line', [
  b'\xed\xa0\x80', b'[]', b'{"finding_id": 1.5}', b'{"finding_id": []}', b'5', b'',
  b'[' * 99_999, b'{"verdict": "normal"}',
], ids=range(8))  # fmt: skip
def test_damaged_feedback_is_named(tmp_path, name, line):
  whole = json.dumps({'finding_id': 'a', 'verdict': 'normal'}).encode()
  (tmp_path / 'findings.jsonl').write_bytes(whole)
  (tmp_path / name).write_bytes(whole + b'\n' + line + b'\n')
  with pytest.raises(errors.UserError, match=f'{name}:2 is no '):
    feedback.add(str(tmp_path), 'a', 'normal')


@pytest.mark.parametrize('window', ['1s', 'baseline'])
@pytest.mark.parametrize('stray', ['1970-01-01', '9998-12-31'])
def test_a_time_of_another_century_costs_nothing(tmp_path, window, stray):
  """One line made a row of billions of windows: gigabytes, and minutes."""
  (tmp_path / 'good.log').write_text(LOG)
  lines = LOG.splitlines(keepends=True)
  lines[100] = lines[100].replace('2026-01-02', stray)
  (tmp_path / 'a.log').write_text(''.join(lines))
  good = (str(tmp_path / 'good.log'),)
  options = {'baseline': good} if window == 'baseline' else {'window': window}
  begin = time.process_time()
  found = scan.scan([str(tmp_path / 'a.log')], scan.Options(**options))
  assert time.process_time() - begin < 20
  assert found.summary['records'] == 200 and found.summary['windows'] < 300_000


ANSWERS = {  # of a webhook; the second try is answered well
  'no HTTP': b'HTTP/9 (\r\n',
  'nothing': b'',
  'too many headers': b'HTTP/1.1 200 OK\r\n' + b'A: b\r\n' * 200 + b'\r\n',
  'another place': b'HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\n\r\n',
}


@pytest.mark.parametrize('answer', ANSWERS.values(), ids=ANSWERS)
def test_no_answer_of_a_webhook_ends_its_thread(answer):
  """One that is no HTTP did: no finding was sent after it, without a word."""
  good = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
  with socket.create_server(('127.0.0.1', 0)) as server:
    hook = sinks.Webhook(f'http://127.0.0.1:{server.getsockname()[1]}/', pause=0.001)
    hook.put({'a': 1})
    requests = []
    for text in (answer, good):
      there, _ = server.accept()
      with there:
        requests.append(there.recv(1 << 16).split(b' ')[0])
        there.sendall(text)
    hook.close()
  assert (hook.sent, hook.dropped, requests) == (1, 0, [b'POST'] * 2)


def saved(tmp_path):
  rows = [
    f'2026-01-02 15:{i // 60:02}:{i % 60:02} INFO shop: session_id=ab{i // 4:06} '
    f'{("paid", "shipped", "sent")[i % 3]} in {i % 9} ms host=db{i % 3}\n'
    for i in range(400)
  ]
  (tmp_path / 'good.log').write_text(''.join(rows))
  scan.add_to_baseline(
    str(tmp_path / 'b'), [str(tmp_path / 'good.log')], scan.Options()
  )
  return tmp_path / 'b'


def seal(folder):
  manifest = json.loads((folder / 'baseline.json').read_text())
  manifest['sha256'] = {
    name: manifests.file_hash(folder / name) for name in manifest['sha256']
  }
  (folder / 'baseline.json').write_text(json.dumps(manifests.sealed(manifest)))


@pytest.mark.parametrize('table, column, value', [
  ('cells', 'template', 10**6), ('cells', 'value', None), ('cells', 'count', -1),
  ('cells', 'window', 'x'), ('bags', 'session', 2**40), ('bags', 'code', -1),
  ('order', 'after', 10**6), ('sides', 'name', '#ms:'), ('sides', 'name', '#%:9999'),
  ('sides', 'window', 10**9), ('cells', 'severity', 9),
])  # fmt: skip
def test_values_that_no_baseline_has(tmp_path, table, column, value):
  """Checksums keep accidents out, and nobody who makes new ones."""
  folder = saved(tmp_path)
  seal(folder)
  baseline.load(str(folder))
  path = folder / f'{table}.parquet'
  frame = pl.read_parquet(path)
  assert len(frame)
  frame.with_columns(pl.lit(value).alias(column)).write_parquet(path)
  seal(folder)
  with pytest.raises(errors.UserError, match='is a damaged baseline'):
    baseline.load(str(folder))


@pytest.mark.parametrize('key, value', [
  ('width', [0, True]), ('width', [2**63 - 1, True]), ('width', None),
  ('records', 'x'), ('summary', []),
  ('key', {'name': 1}), ('key', {'name': 'a', 'pattern': 99}),
])  # fmt: skip
def test_a_manifest_that_no_baseline_has(tmp_path, key, value):
  path = saved(tmp_path) / 'baseline.json'
  changed = json.loads(path.read_text()) | {key: value}
  path.write_text(json.dumps(manifests.sealed(changed)))
  with pytest.raises(errors.UserError, match='is a damaged baseline'):
    baseline.load(str(path.parent))


@pytest.mark.parametrize('column, value', [
  ('events', [5, 10**6]), ('events', [-1]), ('events', None), ('session_id', None),
  ('label', 7), ('first_line', 'x'),
])  # fmt: skip
def test_values_that_no_system_has(tmp_path, column, value):
  sessions = types.Sessions(
    ids=np.array(['a', 'b'], object), times=np.zeros(2), events=np.array([1, 1, 1]),
    offsets=np.array([0, 1, 3]), labels=np.zeros(2, np.int8),
    first_lines=np.ones(2, int), last_lines=np.ones(2, int))  # fmt: skip
  about = {'inputs': []}
  system = types.System('x', ('?', 'a'), np.array([0, 3]), sessions, about)
  folder = store.save(system, tmp_path / 'system')
  path = folder / store.SESSIONS
  frame = pl.read_parquet(path).with_columns(pl.Series(column, [value] * 2))
  frame.write_parquet(path)
  manifests.write(folder, json.loads((folder / manifests.NAME).read_text()))
  with pytest.raises(errors.UserError, match='sessions.parquet is damaged'):
    store.load(folder)


@pytest.mark.parametrize('row', [
  {'codes': 'x'}, {'codes': []}, {'codes': ''}, {'count': 10**30}, {'values': {'a': -1}}
])  # fmt: skip
def test_counts_that_no_templates_have(row):
  templates = messages.Templates()
  templates.add(['a b'])
  templates.group()
  content = templates.to_json()
  messages.Templates.from_json(content, 'x.json')
  content['templates'][0] |= row
  with pytest.raises(errors.UserError, match='x.json: no templates'):
    messages.Templates.from_json(content, 'x.json')


def test_a_size_of_an_encoder_that_no_machine_has(tmp_path):
  sizes = dict.fromkeys(pretrained._SIZES.values(), 2)
  config = {'model_type': 'bert', **sizes, 'num_hidden_layers': 2**40}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with pytest.raises(errors.UserError, match='config.json: .* layers'):
    pretrained.read_form(tmp_path)


@pytest.mark.parametrize('text, lines, bare', [
  ('[{"a": "x"},\n{"a": "y"}]\n\n', 3, 1),  # one after the last object
  ('[\n{"a": "x"},\n{"a": "y"}\n]\n', 4, 2),
  ('[{"a": "x"},[{"a": "x"},\n{"a": "y"}]\n', 3, 0),  # two objects on a line
  ('{"a": "x"}\n\n{"a": "y"}\n\n', 4, 0),
  ('x\n\n[]\n', 3, 0),
])  # fmt: skip
def test_what_lines_of_arrays_are_counted_as(tmp_path, text, lines, bare):
  """As the docstring of `logs.json_arrays` has it; the campaign took two for lost."""
  path = tmp_path / 'a.log'
  path.write_text(text)
  reader = records.read(path)
  total = sum(int(block.lines.sum()) for block in reader)
  [entry] = reader.inputs
  assert (entry.lines, entry.lines - total) == (lines, bare)
  assert bare <= texts.bare_lines(text.encode())
  texts.all_lines_counted(text.encode(), entry)
  for wrong in (-2, *[1] * (not entry.notes)):
    entry.lines = lines + wrong
    with pytest.raises(texts.Broken):
      texts.all_lines_counted(text.encode(), entry)


def test_lines_that_are_no_brackets_may_not_be_lost():
  assert texts.bare_lines(b'[\n{"a": 1},\nx\n\n]\n') == 3
  assert texts.bare_lines(b'x\n[\n\n]\n') == 0
