"""What people said of findings and windows moves findings like them."""

import json
import types

import pytest

from metalog_jax import errors
from metalog_jax.logs import labels as labels_lib
from metalog_jax.scanning import alike, feedback, labelled, output, scan
from tests.scanning import logs

OUTAGE = range(1000, 1040)


def outage(path, seed, without=''):
  """An outage, and one fatal record; of the outage's messages one may lack."""
  log = logs.Log(seed)
  log.outage(OUTAGE[0], OUTAGE[-1])
  log.put(1600, 'CRITICAL', 'disk', 'volume {m} is full')
  lines = log.lines()
  kept = [x for x in lines if not without or without not in x]
  path.write_text('\n'.join(kept) + '\n')
  return str(path)


def by_word(found):
  """The finding about the outage, and about the disk."""
  words = ('refused', 'not paid', 'retry')
  return next(x for x in found if any(w in x.template for w in words)), next(
    x for x in found if 'volume' in x.template
  )


@pytest.mark.parametrize('verdict', ['normal', 'anomaly'])
def test_feedback_moves_findings_that_are_alike(tmp_path, verdict):
  """One that begins with another message of the same cause has another id."""
  out = str(tmp_path / 'out')
  first = scan.scan([outage(tmp_path / 'x', 0)], scan.Options(out=out))
  output.write(first, out)
  before, _ = by_word(first)
  feedback.add(out, before.finding_id, verdict)
  lead = next(x for x in ('refused', 'not paid', 'retry') if x in before.template)
  path = outage(tmp_path / 'y', 1, lead)
  plain, _ = by_word(scan.scan([path], scan.Options()))
  found = scan.scan([path], scan.Options(out=out))
  after, disk = by_word(found)
  assert after.finding_id != before.finding_id and disk.state == 'active'
  assert before.finding_id in after.reason and not disk.reason
  if verdict == 'normal':
    assert after.state == 'known' and '0 rank higher and 1 lower' in found.warnings[0]
  else:
    assert after.score == plain.score + 3 and found[0] is after
    assert '1 ranks higher and 0 lower' in found.warnings[0]


@pytest.mark.parametrize('reason', ['seen by two', ''])
def test_a_finding_is_not_said_to_be_like_itself(tmp_path, reason):
  out = str(tmp_path / 'out')
  first = scan.scan([outage(tmp_path / 'x', 0)], scan.Options(out=out))
  output.write(first, out)
  before, _ = by_word(first)
  feedback.add(out, before.finding_id, 'anomaly', reason=reason)
  after, _ = by_word(scan.scan([str(tmp_path / 'x')], scan.Options(out=out)))
  assert after.score == before.score + 3
  assert after.reason == (reason or 'called an anomaly')


@pytest.mark.parametrize(
  'templates', ['x', None, [1], [{'kind': 'new'}], [{'kind': 'new', 'template': 5}]]
)
def test_templates_that_are_none_are_refused(tmp_path, templates):
  line = {'finding_id': 'abc', 'verdict': 'normal', 'templates': templates}
  (tmp_path / feedback.FILE).write_text(json.dumps(line) + '\n')
  with pytest.raises(errors.UserError, match='jsonl:1 is no feedback: its templates'):
    feedback.read([str(tmp_path)])


@pytest.mark.parametrize('label', ['normal', 'anomaly'])
def test_windows_that_are_labelled_move_their_findings(tmp_path, label):
  path, labels = outage(tmp_path / 'x', 0), tmp_path / 'labels.csv'
  before, disk = by_word(scan.scan([path], scan.Options()))
  labels.write_text(''.join(f'{name},{label}\n' for name in before.windows))
  found = scan.scan([path], scan.Options(labels=str(labels)))
  after, other = by_word(found)
  assert (other.state, other.score) == ('active', disk.score)
  assert after.state == ('known' if label == 'normal' else 'active')
  assert (after.score > before.score) == (label == 'anomaly')
  rows = [row for row in found.windows if row['id'] in before.windows]
  assert all(row['anomalous'] == (label == 'anomaly') for row in rows)


@pytest.mark.parametrize('label,said', [
  ('normal', 'are normal and none is an anomaly'),
  ('anomaly', 'are anomalies and none is normal'),
])  # fmt: skip
@pytest.mark.parametrize('whole', [False, True])
def test_labels_of_one_kind_get_a_sentence(tmp_path, label, said, whole):
  path, labels = outage(tmp_path / 'x', 0), tmp_path / 'labels.csv'
  text = f'w3,{label}\nw9,{label}\n'
  if whole:
    text = f'2026-05-01T00:00:00,2026-05-09T00:00:00,{label}\n'
  labels.write_text(text)
  summary = scan.scan([path], scan.Options(labels=str(labels))).summary
  [sentence] = [text for text in summary['warnings'] if said in text]
  assert f'all {summary["labels"]["judged"]:,} labelled windows' in sentence
  assert (summary['labels']['recall'] is None) == (label == 'normal')
  json.dumps(summary, allow_nan=False)
  labels.write_text(f'w3,{label}\nw9,normal\nw11,anomaly\n')
  summary = scan.scan([path], scan.Options(labels=str(labels))).summary
  assert not any('none is' in text for text in summary['warnings'])


def finding(name, *templates, windows=(), kind='burst'):
  """What is moved: its id, and texts of its templates."""
  parts = [{'template': text, 'kind': kind} for text in templates]
  return types.SimpleNamespace(
    finding_id=name, kind=kind, templates=parts, windows=list(windows),
    state='active', score=8.0, reason='',
  )  # fmt: skip


@pytest.mark.parametrize('item,state,score', [
  (finding('b', 'x'), 'known', 8.0), (finding('b', 'x', 'y'), 'active', 4.0),
  (finding('b', 'y'), 'active', 8.0), (finding('b', 'x', kind='drop'), 'active', 8.0),
])  # fmt: skip
def test_what_is_like_a_normal_one_moves_by_its_share(item, state, score):
  said = alike.said([finding('a', 'x')], [], {'a': 0})
  _, text = alike.apply([item], said)
  assert (item.state, item.score) == (state, score)
  assert bool(text) == (score < 8 or state == 'known')


@pytest.mark.parametrize('labels,label', [
  ({'w1': 0}, []), ({'w1': 0, 'w2': 0}, [0]), ({'w1': 0, 'w2': 0, 'w3': 1}, [1]),
  ({'w1': 1}, [1]), ({'w9': 1}, []), ({'w1': None, 'w2': None}, []),
])  # fmt: skip
def test_half_the_windows_of_a_normal_finding_are_normal(labels, label):
  rows = [{'id': name, 'label': value} for name, value in labels.items()]
  item = finding('a', 'x', windows=['w1', 'w2', 'w3', 'w4'])
  assert [one.label for one in alike.said([item], [], {}, rows)] == label


@pytest.mark.parametrize('verdict,until,label', [
  ('normal', None, [0]), ('anomaly', None, [1]), ('suppress', None, []),
  ('suppress', '2999-01-01', []), ('normal', '2001-01-01', []),
])  # fmt: skip
def test_what_is_suppressed_or_over_moves_nothing(tmp_path, verdict, until, label):
  line = {'finding_id': 'a', 'verdict': verdict, 'until': until}
  line['templates'] = [{'template': 'x', 'kind': 'new'}]
  (tmp_path / feedback.FILE).write_text(json.dumps(line) + '\n')
  assert [one.label for one in alike.said([], [str(tmp_path)], {})] == label


def test_outside_a_list_of_incidents_nothing_is_vouched_for(tmp_path):
  rows = [{'id': f'w{i}', 'label': int(i == 1)} for i in range(3)]
  path = tmp_path / 'labels.csv'
  path.write_text('2026-05-01T00:00:00,2026-05-02T00:00:00\nw2,normal\n')
  assert labelled.vouched(labels_lib.read(str(path)), rows) == rows[1:]
  path.write_text('w1,anomaly\nw2,normal\n2026-05-01,2026-05-02,normal\n')
  assert labelled.vouched(labels_lib.read(str(path)), rows) == rows
