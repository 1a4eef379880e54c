"""What `experiments.fuzz` has found, each as small as it gets."""

import json
import time

import pytest

from metalog_jax import errors
from metalog_jax.logs import label_ranges, labels, records
from metalog_jax.scanning import feedback, scan

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
