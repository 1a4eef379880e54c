"""A few labels change what scan finds: their like, and nothing else."""

import datetime
import json
import random

import numpy as np
import pytest
from scipy import sparse

from metalog_jax.scanning import feedback, output, scan, session_scores
from tests.scanning import logs

STEPS = ['opened', 'charged', 'shipped', 'closed']
GIFTS = [i for i in range(5, 400, 33) if i % 4 != 2]  # orders that are rare, and right
REFUSED = [i for i in range(400) if i % 4 == 2]  # so many that they seem usual


@pytest.fixture(name='path', scope='module')
def fixture_path(tmp_path_factory):
  """Orders among each other."""
  draw, lines = random.Random(5), []
  for number in range(400):
    steps = STEPS[:2] + ['wrapped as a gift'] * (number in GIFTS) + STEPS[2:]
    if number in REFUSED:
      steps = ['opened', 'refused by the bank', 'closed']
    time = logs.START + datetime.timedelta(seconds=4 * number)
    for step in steps:
      time += datetime.timedelta(seconds=draw.uniform(0.5, 4))
      lines.append((time, f'INFO shop: order {number + 5000} {step}'))
  path = tmp_path_factory.mktemp('shop') / 'shop.log'
  lines = [f'{time:%Y-%m-%d %H:%M:%S.%f} {said}\n' for time, said in sorted(lines)]
  path.write_text(''.join(lines))
  return path


def odd(found):
  rows = found.windows
  return [
    int(r['id']) - 5000 for r in rows if r['unit'] == 'session' and r['anomalous']
  ]


def finding(found, word):
  return next(x for x in found if word in x.template and 'sessions' in x.why)


def test_what_is_called_normal_is_gone_and_listed_as_known(path, tmp_path):
  out = str(tmp_path)
  before = scan.scan([str(path)], scan.Options(out=out))
  assert set(GIFTS) <= set(odd(before)) and before.summary['mode'] == 'without labels'
  output.write(before, out)
  gift = finding(before, 'wrapped')
  feedback.add(out, gift.finding_id, 'normal')
  after = scan.scan([str(path)], scan.Options(out=out))
  assert set(odd(before)) - set(odd(after)) == set(GIFTS)
  assert finding(after, 'wrapped').state == 'known'
  assert after.summary['mode'] == 'adapted to 1 label'
  assert f'{len(GIFTS)} sessions are no longer odd, 0 are now' in after.warnings[0]
  assert '(1 known)' in output.terminal(after, 20, False)
  output.write(after, out)
  feedback.add(out, gift.finding_id, 'anomaly')  # who errs may say so
  assert set(GIFTS) <= set(odd(scan.scan([str(path)], scan.Options(out=out))))


@pytest.mark.parametrize('said', ['{id},anomaly', '{file}:{first}-{last}'])
def test_the_like_of_a_labelled_anomaly_is_found(path, tmp_path, said):
  lines = path.read_text().splitlines()
  rows = [i for i, line in enumerate(lines, 1) if f'order {REFUSED[40] + 5000}' in line]
  labels = tmp_path / 'labels.csv'
  labels.write_text(
    said.format(id=REFUSED[40] + 5000, file=path, first=rows[0], last=rows[-1])
  )
  before = scan.scan([str(path)], scan.Options())
  after = scan.scan([str(path)], scan.Options(labels=str(labels)))
  assert not set(REFUSED) & set(odd(before))
  assert set(odd(after)) - set(odd(before)) == set(REFUSED)
  assert after.summary['mode'] == 'adapted to 1 label'
  refused = [x for x in after if x.count == len(REFUSED) and 'sessions' in x.why]
  assert refused and refused[0].state == 'active' and 'order' in refused[0].why
  labelled = [row for row in after.windows if row['label'] is not None]
  assert labelled and after.summary['labels']['recall'] < 1  # of who had not seen them


def test_labels_of_nothing_here_change_nothing(path, tmp_path):
  labels = tmp_path / 'labels.csv'
  labels.write_text('99,anomaly\n2001-01-01,2001-01-02\n')
  before = scan.scan([str(path)], scan.Options())
  after = scan.scan([str(path)], scan.Options(labels=str(labels)))
  assert odd(after) == odd(before) and after.summary['mode'] == 'without labels'
  assert [x.finding_id for x in after] == [x.finding_id for x in before]
  assert after.summary['labels']['unmatched'] == 2


def test_many_labels_of_one_kind_leave_other_kinds_alone():
  """Their scores alone would raise the threshold above what is odd in another way."""
  rng = np.random.default_rng(0)
  bags = np.zeros((1500, 12))
  bags[:, :4] = 1 + rng.integers(0, 2, (1500, 4))
  bags[1440:1480, 8], bags[1480:, 9] = 3, 1
  scored = session_scores.score(sparse.csr_matrix(bags))
  assert scored.odd[1440:].all() and scored.odd.sum() == 60
  labels = np.full(1500, -1)
  labels[1440:1480] = 1
  adapted = session_scores.adapted(scored, labels)
  np.testing.assert_array_equal(adapted.odd, scored.odd)
  labels[1480:1485] = 0
  adapted = session_scores.adapted(scored, labels)
  assert adapted.odd[1440:1480].all() and adapted.odd.sum() == 40


def test_a_baseline_keeps_its_feedback(path, tmp_path):
  good, base = tmp_path / 'good.log', str(tmp_path / 'base')
  said = path.read_text().splitlines(keepends=True)
  good.write_text(''.join(x for x in said if 'gift' not in x))
  scan.add_to_baseline(base, [str(good)], scan.Options())
  before = scan.scan([str(path)], scan.Options(baseline=(base,)))
  new = next(x for x in before if 'wrapped' in x.template)
  feedback.add(base, new.finding_id, 'normal')
  after = scan.scan([str(path)], scan.Options(baseline=(base,)))
  assert set(odd(before)) & set(GIFTS) and not set(odd(after)) & set(GIFTS)
  assert json.dumps(after.summary)
