"""The kind of id that groups records into sessions, found."""

import random

import pytest

from metalog_jax.logs import messages, session_keys
from tests import samples


def found(lines, fields=None):
  templates = messages.Templates()
  codes = templates.add(lines)
  return session_keys.find(lines, fields or {}, templates.group()[codes])


def interleaved(steps, number=60, seed=0):
  """Lines of sessions that go on at the same time, and the session of each."""
  rng = random.Random(seed)
  waiting = [(i, iter(steps)) for i in range(number)]
  active, lines, owners = [], [], []
  while waiting or active:
    while waiting and len(active) < 5:
      active.append(waiting.pop(0))
    session = rng.choice(active)
    step = next(session[1], None)
    if step is None:
      active.remove(session)
    else:
      lines.append(step.format(id=session[0], n=rng.randint(0, 999)))
      owners.append(session[0])
  return lines, owners


@pytest.mark.parametrize(
  'steps, name',
  [
    (('Receiving blk_-77{id:06}', 'took {n} ms', 'Deleted blk_-77{id:06}'), 'blk_'),
    (('[req-{id:08x}-0000-4000-8000-00000000000a] GET',
      '[req-{id:08x}-0000-4000-8000-00000000000a] done'), 'req-'),
    (('start trace_id=ab{id:06x} go', 'end trace_id=ab{id:06x}, {n} rows'), 'trace_id'),
    (('Order 7{id:04} created', 'Order 7{id:04} paid', 'Order 7{id:04} sent'), 'order'),
    (('order ORD-{id:06} placed', 'order ORD-{id:06} paid'), 'order'),
    (('req-1{id:05} started', 'req-1{id:05} finished in {n} ms'), 'req-'),
    (('req-9a{id:06x} begin', 'req-9a{id:06x} end'), 'req-'),
    (('TXN_7Q{id:04}Z opened', 'TXN_7Q{id:04}Z settled'), 'txn_'),
    (('session: s-{id} opened', 'user asks in session: s-{id}'), 'session'),
    (('[{id:016x}] begin of it', '[{id:016x}] commit after {n}'), '['),
  ],
)  # fmt: skip
def test_finds_the_kind_and_the_sessions(steps, name):
  lines, owners = interleaved(steps)
  key = found(lines)
  assert key is not None and key.name == name
  rows, ids = key.sessions(lines, {})
  of_id = {}
  for row, value in zip(rows.tolist(), ids):
    assert of_id.setdefault(value, owners[row]) == owners[row]
  assert len(of_id) == 60


def test_a_field_groups_and_the_nearer_one_wins():
  lines, owners = interleaved(('begin the work', 'done after {n} ms', 'bye'))
  fields = {
    'request_id': [f'{owner:016x}' for owner in owners],
    'user_id': [str(owner % 25) for owner in owners],
    'span_id': [str(i) for i in range(len(owners))],
    'thread': [f'worker-{owner % 5}' for owner in owners],
  }
  key = found(lines, fields)
  assert key is not None and key.name == key.field == 'request_id'
  rows, ids = key.sessions(lines, fields)
  assert rows.tolist() == list(range(len(lines)))
  assert ids.to_list() == fields['request_id']
  del fields['request_id'], fields['user_id']
  assert found(lines, fields) is None


@pytest.mark.parametrize(
  'steps',
  [
    ('worker {id} heartbeat ok', 'cache hit ratio {n} %'),  # nothing comes back
    ('Order 7{id:04} created for c{n}',),
    ('[worker-{n}] started it', '[worker-{n}] finished it'),
    ('GET /api/{n} 200 in {n} ms', 'POST /api/{n} 200 in {n} ms'),
  ],
)
def test_plain_logs_have_none(steps):
  assert found(interleaved(steps)[0]) is None


def test_a_record_may_have_several_sessions_or_none():
  key = session_keys.SessionKey('blk_', pattern=1)
  rows, ids = key.sessions(['ask to delete blk_1111 blk_2222 blk_1111', 'no', ''], {})
  assert rows.tolist() == [0, 0] and ids.to_list() == ['1111', '2222']


def test_no_records():
  assert found([]) is None


@pytest.mark.parametrize(
  'before, is_key',
  [
    (lambda row: f'Test_{row // 100}/round_{row // 10 % 10} api ', True),
    (lambda row: f'build-{row // 10} ', True),
    (lambda row: f'node{row % 60:02} kernel ', False),  # hosts, all along
    (lambda row: 'kernel api ', False),
  ],
)
def test_runs_before_the_time_group(before, is_key):
  lines = ['begin', 'work done', 'end of it', 'bye bye now'] * 200
  fields = {'before': [before(row) for row in range(len(lines))]}
  key = found(lines, fields)
  assert (key and key.field) == ('before' if is_key else None)


@pytest.mark.parametrize(
  'system, name', [('hdfs', 'blk_'), ('openstack', 'instance'), ('bgl', None)]
)
def test_real_logs(data, system, name):
  key = found(samples.raw(data, system)[:20_000].to_list())
  assert (key and key.name) == name
