"""Sentences with a count read well where it is one."""

import itertools
import re

import pytest

from metalog_jax.logs import labels
from metalog_jax.scanning import findings, output, scan, statistics
from tests.scanning import test_follow

fixture_impatient = test_follow.fixture_impatient

_NOUNS = 'record line window session label id range template finding time file'.split()
_WRONG = re.compile(rf'(?<![\d.,])1 (?:are|rank|(?:\w+ )?(?:{"|".join(_NOUNS)})s)\b')
LINE = '2026-05-04 09:00:00,000 INFO web: started\n'


def check(*texts):
  """Holds texts against the plural of one."""
  for text in texts:
    assert not _WRONG.search(text), text


def test_what_is_wrong_is_noticed():
  for text in (
    '1 records',
    'where 1 are expected',
    '1 more times',
    'all 1 labelled windows',
  ):
    with pytest.raises(AssertionError):
      check(f'({text})')
  check('1 record, 21 records and 0.1 records in 1 of 20 windows of 1 min; 1 is')


@pytest.fixture(name='path')
def fixture_path(tmp_path):
  path = tmp_path / 'x.log'
  path.write_text(LINE)
  return path


@pytest.mark.parametrize('given', ['w0,normal', 'w0,anomaly', 'w9,normal'])
def test_a_log_of_one_line(path, tmp_path, given):
  words = tmp_path / 'labels'
  words.write_text(f'{given}\n')
  options = scan.Options(labels=str(words), save_baseline=str(tmp_path / 'good'))
  found = scan.scan([str(path)], options)
  beside = scan.scan([str(path)], scan.Options(baseline=(str(tmp_path / 'good'),)))
  for item in found, beside:
    check(output.terminal(item, 20, False), output.report(item), *item.warnings)
    check(repr(item), *(row['title'] for row in output._bars(item.window_rows)))
  said = {'w0': 'the one labelled window is', 'w9': '1 of 1 label matches no window'}
  assert any(said[given[:2]] in text for text in found.warnings)


def test_labels_of_nothing(tmp_path):
  for line, what in (('x,normal', '1 id '), ('a.log:1-2', '1 range ')):
    (tmp_path / 'labels').write_text(line)
    with pytest.raises(Exception, match=what):
      labels.Audit(str(tmp_path / 'labels')).report()


def test_a_followed_line(path, impatient):
  _, notes, _ = test_follow.run(path, [])
  check(*notes)
  assert any('1 of the 20 windows of 1 min' in note for note in notes)


def test_findings_of_one(path):
  """Of every kind and detail, with one record where one is expected."""
  options = scan.Options(window='1')
  counter = scan.Counter(*scan.templates_and_width(options))
  scan.count(counter, [str(path)], options)
  counted, _ = scan._counts(counter, None, [str(path)])
  details = ['', 'baseline', 'late', 'lasting', 'seldom', 'ends', 'every 1 d, but not']
  details += [statistics.KNOWN]
  for kind, detail in itertools.product(findings.KINDS, details):
    item = statistics.Surprise(kind, 0, 3.0, [0], 1, 1.0, detail)
    check(*(found.why for found in findings.build(counted, [item])))
