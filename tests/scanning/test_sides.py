"""Hosts and files that fall silent, numbers that become larger, sessions that lack."""

import datetime
import random
import tracemalloc

import numpy as np
import polars as pl
import pytest

from metalog_jax.logs import quantities
from metalog_jax.scanning import scan, sides

START = datetime.datetime(2026, 3, 2, 8)


def moments(count, step=2.0, seed=1):
  """Times of records that come at random, so many seconds apart."""
  rng, now = random.Random(seed), START
  for index in range(count):
    now += datetime.timedelta(seconds=rng.expovariate(1 / step))
    yield index, now, rng


def findings(path, lines, **options):
  path.write_text('\n'.join(lines) + '\n')
  return scan.scan([str(path)], scan.Options(**options))


def syslog(silent=(0, 0), hosts=5, count=3000):
  for i, now, rng in moments(count):
    host = rng.randrange(hosts)
    while host == 3 and silent[0] <= i < silent[1]:
      host = rng.randrange(hosts)
    yield f'{now:%b %d %H:%M:%S} web{host} app[{rng.randint(1, 999)}]: served {i}'


@pytest.mark.parametrize('end', [1600, 3000])
def test_one_host_of_several_falls_silent(tmp_path, end):
  [item] = findings(tmp_path / 'x.log', syslog((1000, end)))
  assert item.kind == 'drop' and item.template.endswith('[host=web3]')
  assert 1000 <= item.first.line <= 1050 and item.count <= 3
  assert ('does not come back' in item.why) == (end == 3000)


def test_a_host_of_the_baseline_is_not_there(tmp_path):
  good = tmp_path / 'good.log'
  good.write_text('\n'.join(syslog()) + '\n')
  [item] = findings(tmp_path / 'x.log', syslog((0, 3000)), baseline=(str(good),))
  assert (item.kind, item.count) == ('missing', 0) and 'web3' in item.template
  other = (line.replace('web', 'pod') for line in syslog())  # all have other names
  assert not len(findings(tmp_path / 'y.log', other, baseline=(str(good),)))


@pytest.mark.parametrize('silent,named', [(True, 1), (False, 0)])
def test_a_file_that_ends_early_unless_another_takes_over(tmp_path, silent, named):
  lines = [[], []]
  for i, now, rng in moments(2000):
    file = rng.randrange(2) if i < 1000 else 0
    if not silent:
      file = int(i >= 1000)  # rotated
    lines[file].append(f'{now:%Y-%m-%dT%H:%M:%SZ} INFO served {i}')
  for number, text in enumerate(lines):
    (tmp_path / f'{number}.log').write_text('\n'.join(text) + '\n')
  found = scan.scan([str(tmp_path)], scan.Options())
  assert len([x for x in found if '1.log' in x.template]) == len(found) == named


@pytest.mark.parametrize('pods,named', [('abb', 0), ('ab', 0), ('aba', 1)])
def test_pods_of_a_new_version_take_over(tmp_path, pods, named):
  """One that ends is no finding where another begins, unless that was there before."""
  each = 2400 // len(pods)
  lines = (
    f'{{"ts": "{now:%Y-%m-%dT%H:%M:%SZ}", "msg": "served", "pod": '
    f'"{rng.choice("cde" + pods[i // each] * 3)}"}}'
    for i, now, rng in moments(2400)
  )
  found = findings(tmp_path / 'x.log', lines)
  assert len([x for x in found if '[pod=' in x.template]) == named


def requests(slow, factor=20.0, text='GET /items/{n} 200 in {ms:.0f} ms'):
  for i, now, rng in moments(4000):
    ms = rng.lognormvariate(3.5, 0.5) * (factor if slow(i) else 1)
    yield f'{now:%Y-%m-%dT%H:%M:%SZ} INFO ' + text.format(n=i % 97, ms=ms, s=ms / 1000)


TEXTS = (
  'GET /items/{n} 200 in {ms:.0f} ms', 'sync {n} took {s:.3f}s',
  'done latency={ms:.1f}',
  'queue depth {ms:.0f}', 'done duration_ms={ms:.0f} n={n}',
)  # fmt: skip


@pytest.mark.parametrize('text', TEXTS)
@pytest.mark.parametrize('begin,end', [(2000, 2200), (1500, 4000)])
def test_a_number_becomes_larger(tmp_path, text, begin, end):
  lines = requests(lambda i: begin <= i < end, text=text)
  [item] = findings(tmp_path / 'x.log', lines)
  assert item.kind == 'value' and item.template.endswith('or more]')
  assert begin <= item.first.line <= begin + 60
  assert 0.6 * (end - begin) <= item.count and item.expected < 0.1 * item.count


ACCESS = (
  '10.0.0.7 - - [{t:%d/%b/%Y:%H:%M:%S} +0000] "GET /item/{n} HTTP/1.1" 200 512 "-" '
  '"curl/8"'
)
TIMED = (  # what is written at the end of a line, or in a field of its own
  (ACCESS + ' {s:.3f}', 'request_time'),
  (ACCESS + ' rt={s:.3f} uct="0.000"', 'request_time'),
  (ACCESS + ' "-" "example.org" {s:.3f}', 'request_time'),
  ('{{"ts": "{t:%Y-%m-%dT%H:%M:%SZ}", "msg": "served", "latency_ms": {ms:.0f}}}',
   'latency_ms'),
  ('time={t:%Y-%m-%dT%H:%M:%SZ} level=info msg=served response_time={ms:.1f}ms',
   'response_time'),
)  # fmt: skip


def timed(form, slow, seed=1):
  for i, now, rng in moments(3000, seed=seed):
    ms = rng.lognormvariate(3.5, 0.5) * (20 if slow(i) else 1)
    yield form.format(t=now, n=i % 97, ms=ms, s=ms / 1000)


@pytest.mark.parametrize('form,field', TIMED)
def test_a_slow_upstream_is_seen_in_a_field(tmp_path, form, field):
  good, saved = tmp_path / 'good.log', str(tmp_path / 'saved')
  good.write_text('\n'.join(timed(form, lambda i: False, seed=2)) + '\n')
  scan.scan([str(good)], scan.Options(save_baseline=saved))
  for options in ({}, {'baseline': (saved,)}):
    lines = timed(form, lambda i: 1500 <= i < 1700)
    [item] = findings(tmp_path / 'x.log', lines, **options)
    assert item.kind == 'value' and f'[{field} ' in item.template
    assert item.template.endswith('or more]') and 1490 < item.first.line < 1540


def test_a_number_beside_a_baseline(tmp_path):
  good = tmp_path / 'good.log'
  good.write_text('\n'.join(requests(lambda i: False)) + '\n')
  saved = str(tmp_path / 'saved')
  scan.scan([str(good)], scan.Options(save_baseline=saved))
  for baseline in (str(good), saved):
    slow = requests(lambda i: True, factor=10)
    [item] = findings(tmp_path / 'x.log', slow, baseline=(baseline,))
    assert item.kind == 'value' and item.template.endswith('[100 ms or more]')
    same = (line.replace('T08', 'T11') for line in requests(lambda i: False))
    assert not len(findings(tmp_path / 'y.log', same, baseline=(baseline,)))


@pytest.mark.parametrize('seed', range(4))
def test_ordinary_numbers_and_counters_are_no_findings(tmp_path, seed):
  def lines():
    for i, now, rng in moments(4000, seed=seed):
      ms, kind = rng.lognormvariate(4, 1.2), rng.randrange(4)
      hour = 1 + (i // 700) % 2  # somewhat slower, now and then
      said = (
        f'GET /a/{i} in {ms * hour:.0f} ms', f'up for {i * 2} s', 'retry in 30 s',
        f'heap used {rng.randint(40, 70)}%',
      )[kind]  # fmt: skip
      yield f'{now:%Y-%m-%dT%H:%M:%SZ} INFO {said}'

  assert not len(findings(tmp_path / 'x.log', lines()))


def orders(odd, events=('placed', 'paid', 'packed', 'shipped'), count=300):
  lines = []
  for i, now, rng in moments(count, 9.0):
    for step, event in enumerate(odd(i, [*events])):
      when = now + datetime.timedelta(seconds=step * 5 + rng.random())
      lines.append(f'{when:%Y-%m-%d %H:%M:%S.%f} INFO order ORD-{10000 + i} {event}')
  return sorted(lines)


@pytest.mark.parametrize('kind,change', [
  ('missing', lambda events: [x for x in events if x != 'paid']),
  ('missing', lambda events: events[:1]),
  ('burst', lambda events: [events[0], *events]),
])  # fmt: skip
def test_a_session_that_lacks_what_all_others_have(tmp_path, kind, change):
  lines = orders(lambda i, events: change(events) if i == 150 else events)
  found = findings(tmp_path / 'x.log', lines)
  assert [(x.kind, x.windows) for x in found] == [(kind, ['ORD-10150'])]
  assert found[0].p_value <= 0.01


def test_sessions_that_the_ends_of_the_log_cut_lack_nothing(tmp_path):
  lines = orders(lambda i, events: events)
  assert not len(findings(tmp_path / 'x.log', lines[7:-7]))


@pytest.mark.parametrize('message,expected', [
  ('GET /x 200 in 41 ms', [('in', 'ms', 41)]), ('took 1.5s', [('took', 'ms', 1500)]),
  ('cpu 95%', [('cpu', '%', 95)]), ('sync took 5 min', [('took', 'ms', 3e5)]),
  ('elapsed=45', [('elapsed', '', 45)]), ('latency_ms=12', [('latency', 'ms', 12)]),
  ('queue depth 1200', [('queue depth', '', 1200)]), ('user 12 logged in', []),
  ('at 10:00:05 something', []), ('retry 3s5', []),
  ('heap used 900 MB gc 5 ms', [('heap used', 'MB', 900), ('gc', 'ms', 5)]),
  ('took=5 wait=8 elapsed=6, cpu: 7%', [
    ('took', '', 5), ('elapsed', '', 6), ('cpu', '%', 7)]),
  ('gc_ms=5 render_time_us: 7', [('gc', 'ms', 5), ('render_time', 'ms', 0.007)]),
  ('parse 1 ms plan 2 ms run 3 ms', [
    ('parse', 'ms', 1), ('plan', 'ms', 2), ('run', 'ms', 3)]),
  ('a 1 ms b 2 ms c 3 ms d 4 ms e 5 ms', [
    ('a', 'ms', 1), ('b', 'ms', 2), ('c', 'ms', 3), ('d', 'ms', 4)]),
  ('read latency=5 write latency=9', [('latency', '', 5), ('latency', '', 9)]),
  ('cpu 5% cpu 7% cpu 9%', [('cpu', '%', 5), ('cpu', '%', 7), ('cpu', '%', 9)]),
  ('gc_ms=5 gc_ms=6', [('gc', 'ms', 5), ('gc', 'ms', 6)]),
  ('pool 3 pool 4 pool 5', [('pool', '', 3), ('pool', '', 4), ('pool', '', 5)]),
  ('queue depth 7 depth 9', [('queue depth', '', 7), ('depth', '', 9)]),
])  # fmt: skip
def test_numbers_of_messages(message, expected):
  text, read = pl.Series([message]), []
  for slot in quantities.slots(message):
    [value], [kind] = quantities.of_messages(text, slot.pattern)
    read.append((slot.name, quantities.KINDS[kind], value))
  assert read == expected and quantities.has_any(text)[0] == bool(expected)


def test_a_message_of_many_numbers_takes_little_memory():
  tracemalloc.start()
  try:
    assert len(quantities.slots('step 1 ms ' * 2000)) == quantities.MOST
    assert tracemalloc.get_traced_memory()[1] < 4e6
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize('number,text', [
  (0, 'heap used'), (1, 'gc'), (2, 'wait'), (3, 'workers'),
])  # fmt: skip
@pytest.mark.parametrize('is_field', [False, True])
def test_each_number_of_a_message_is_followed(tmp_path, number, text, is_field):
  """Whichever grows, and the finding says which."""
  form = 'heap used {0:.0f} MB, gc {1:.0f} ms, wait {2:.1f}s, 8 workers {3:.0f} ms'
  if is_field:
    form = (
      '{{"ts": "{t}", "msg": "state", "heap_used": {0:.0f}, "gc_ms": {1:.0f}, '
      '"lag": {2:.1f}, "cpu_load": {3:.0f}}}'
    )
  lines = []
  for i, now, rng in moments(3000):
    values = [rng.lognormvariate(3.5, 0.4) for _ in range(4)]
    values[number] *= 20 if 1500 <= i < 1700 else 1
    time = f'{now:%Y-%m-%dT%H:%M:%SZ}'
    line = form.format(*values, t=time)
    lines.append(line if is_field else f'{time} INFO state: {line}')
  [item] = findings(tmp_path / 'x.log', lines)
  text = ('heap_used', 'gc_ms', 'lag', 'cpu_load')[number] if is_field else text
  assert item.kind == 'value' and f'[{text} ' in item.template
  assert 1490 < item.first.line < 1540


def test_numbers_of_one_message_grow_at_two_places(tmp_path):
  """Each is said; a third that only rises, as a time since the start does, is not."""
  lines = []
  for i, now, rng in moments(3000):
    read, write = (rng.lognormvariate(3, 0.4) for _ in range(2))
    read *= 20 if 1000 <= i < 1200 else 1
    write *= 20 if 2200 <= i < 2400 else 1
    text = f'state: elapsed={i} read latency={read:.0f} write latency={write:.0f}'
    lines.append(f'{now:%Y-%m-%dT%H:%M:%SZ} INFO {text}')
  items = sorted(findings(tmp_path / 'x.log', lines), key=lambda x: x.first.line)
  assert [item.template.partition('[')[2][:16] for item in items] == [
    'latency number 2', 'latency number 3'
  ]  # fmt: skip


@pytest.mark.parametrize('words,said', [
  (['gc', 'run'], ['gc', 'run']), (['alice', 'run'], ['number 1', 'run']),
  (['gc', 'gc'], ['gc number 1', 'gc number 2']),
])  # fmt: skip
def test_a_number_is_called_by_a_word_that_stays(words, said):
  state = sides.Sides()
  state._words[0] = words
  assert state.words(np.array([0]), ['gc <NUM> run <NUM>']) == {0: said}


@pytest.mark.parametrize('kind,values,said', [
  ('ms', [1999.0, 2000.0], ['1 s or more', '2 s or more']),
  ('ms', [41.0], ['20 ms or more']), ('%', [97.0], ['95 % or more']),
  ('', [1200.0], ['1,000 or more']),
])  # fmt: skip
def test_thresholds_in_words(kind, values, said):
  kinds = np.full(len(values), quantities.KINDS.index(kind))
  places = quantities.place(np.array(values), kinds)
  assert [quantities.said(kind, place) for place in places.tolist()] == said
