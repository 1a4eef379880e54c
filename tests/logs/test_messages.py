"""Templates of systems that nobody has described."""

import itertools
import random
import time

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax import errors
from metalog_jax.logs import field_values, grouping, messages
from tests import samples
from tests.logs import shapes

NAMES = [
  ''.join(parts)
  for parts in itertools.product(
    ('al', 'ber', 'cor', 'da', 'em'), ('mi', 'no', 'ra', 'lu'), ('ck', 'n', 'lia', 'x')
  )
]


def texts_of(lines, templates=None, **settings) -> list[str]:
  """The template of every line."""
  templates = templates or messages.Templates(**settings)
  codes = templates.add(lines)
  ids = templates.group()[codes]
  return [templates.texts[i] for i in ids]


@pytest.mark.parametrize(
  'system, least',
  [('hdfs', 0.998), ('bgl', 0.99), ('thunderbird', 0.99), ('openstack', 0.99)],
)
def test_grouping_accuracy(data, system, least):
  lines, true = samples.loghub(data, system)
  assert samples.grouping_accuracy(texts_of(lines), true) >= least


@pytest.mark.parametrize(
  'line',
  [
    '{} | cache hit for key user:{}',
    'jwt sub={} aud={}',
    'device {} joined room {}',
    '{} said "{} {} {}"',
  ],
)
def test_pairs_of_names_are_one_template(line):
  draw = random.Random(5).choice
  names = [name + end for name in NAMES for end in ('', 'a', 'o', 'son', 'y')]
  names += [f'{name}es' for name in NAMES[::2]]
  pick = lambda: [draw(names) for _ in range(4)]
  for number in (60, 900):
    lines = [line.format(*pick()) for _ in range(number)]
    lines += [line.format('james', 'alfred', 'charles', 'agnes')]
    assert len(set(texts_of(lines))) == 1


@pytest.mark.parametrize('lines', [60, 400])
@pytest.mark.parametrize('system', shapes.SYSTEMS)
def test_grouping_accuracy_in_the_manner_of_other_systems(system, lines):
  messages_, true = shapes.sample(system, lines)
  assert samples.grouping_accuracy(texts_of(messages_), true) >= 0.95


def test_an_access_log_is_a_template_a_method():
  rng = random.Random(0)
  agents = ('curl/8.4.0', '-', 'Mozilla/5.0 (X11; Linux) Gecko/1', 'Mozilla/5.0 (Mac)')
  targets = ('/', '/index.html', '/a/b?c=1', '/login')
  lines = [
    f'10.0.{i % 256}.7 - {rng.choice(("-", "ann"))} [01/Mar/2026:08:00:12 +0000] '
    f'"{rng.choice(("GET", "POST"))} {rng.choice(targets)} HTTP/1.1" '
    f'{502 if 700 <= i < 820 else 200} {i} "{rng.choice(("-", "https://x.example/"))}" '
    f'"{rng.choice(agents)}"'
    for i in range(1000)
  ]
  templates = messages.Templates()
  templates.add(lines)
  templates.group()
  assert len(templates.texts) == 2
  assert sum(values['502'] for values in templates.values()) == 120


@pytest.mark.parametrize('times', [1, 7])
@pytest.mark.parametrize(
  'line, number',
  [
    *itertools.product(
      (
        'user {} logged in',
        'mail for {} was delivered',
        'Accepted password for {} from 10.0.0.7 port 5022 ssh2',
        'request done user={} bytes=10',
        'player {}42 has left the room',
        'user {}ed logged in',
      ),
      (3, 80),
    ),
    ('scheduler picked {}', 10),  # one word beside the name says little about fewer
  ],
)
def test_names_are_one_template_whatever_their_number(line, number, times):
  lines = [line.format(name) for name in NAMES[:number]] * times
  assert len(set(texts_of(lines))) == 1


def test_two_names_that_never_repeat_are_one_template():
  lines = [f'{a} sent a parcel to {b} today' for a, b in zip(NAMES, reversed(NAMES))]
  assert set(texts_of(lines)) == {'<*> sent a parcel to <*> today'}


def test_free_text_in_quotes_is_one_template():
  rng = random.Random(0)
  lines = [
    f'search for "{" ".join(rng.choices(NAMES, k=rng.randint(2, 6)))}" took 12 ms'
    for _ in range(60)
  ]
  assert len(set(texts_of(lines))) == 1


@pytest.mark.parametrize(
  'line, values',
  [
    ('service {} on all nodes', 'started stopped restarted reloaded'),
    ('backup of volume 7 has {}', 'succeeded failed'),
    ('node 12 {} the ring again', 'joins leaves enters'),
    ('cache warm: {} after load', 'true false'),
    ('link eth0 is {} since boot', 'up down'),
    ('{} <path> served for client', 'GET POST PUT DELETE PATCH HEAD'),
    ('worker died with {} in main loop', 'IOError KeyError ValueError OSError'),
  ],
)
def test_words_of_small_vocabularies_stay_apart(line, values):
  lines = [line.format(value) for value in values.split()]
  assert len(set(texts_of(lines * 3))) == len(lines)


@pytest.mark.parametrize(
  'line, values',
  [
    ('GET /api/orders/81 {} in 59 ms', '200 404 502'),
    ('"POST /x/y HTTP/1.1" {} 1234', '200 503'),
    ('job 12 done, exit code {}', '0 1 -9 137'),
    ('upstream said status={} for 10.0.0.1', '200 502'),
    ('{{"path": "/a/b", "status": {}}}', '200 502'),
    ('call returned {} after 3 tries', '0 5'),
    ('database said ORA-{} twice', '00600 01555'),
  ],
)
def test_small_numbers_are_values_of_one_template(line, values):
  lines = [line.format(v) for v in values.split() for _ in range(3)]
  templates = messages.Templates()
  codes = templates.add(lines)
  assert set(templates.group().tolist()) == {0}
  assert len(set(codes.tolist())) == len(values.split())
  found = templates.code_values()
  assert [found[c] for c in codes[::3]] == [v for v in map(_last, lines[::3])]
  assert set(templates.values()[0].values()) == {3}


def _last(line: str) -> str:
  return next(v for v in messages.general_masks.values(messages.pl.Series([line]))[0])


def test_a_number_of_many_values_is_no_small_vocabulary():
  templates = messages.Templates()
  templates.add([f'sent state {i} to peer' for i in range(9999)])
  assert len(templates.texts) == 0 and set(templates.group().tolist()) == {0}
  assert len(templates.group()) < 100


@pytest.mark.parametrize(
  'text, form',
  [
    ('Pod api-7d9f8b6c5-x2x1z is ready', 'Pod <POD> is ready'),
    ('id 0b6f2c3e-1d2a-4b5c-8d9e-0123456789ab gone', 'id <ID> gone'),
    ('sha e3b0c44298fc1c149afbf4c8996fb924 ok', 'sha <NUM> ok'),
    ('at 0x7ffe12ab', 'at <NUM>'),
    ('open /var/log/app.log: denied', 'open <PATH>: denied'),
    ('see https://a.example/x?y=1 now', 'see <URL> now'),
    ('from 10.1.2.3:8080', 'from <HOST>'),
    ('from fe80::1ff:fe23:4567:890a down', 'from <HOST> down'),
    ('nic 0a:1b:2c:3d:4e:5f up', 'nic <HOST> up'),
    ('mail a.b@example.org sent', 'mail <HOST> sent'),
    ('took 12ms and 1.5s, 10KB', 'took <TIME> and <TIME>, <SIZE>'),
    ('on 2024-01-02T03:04:05Z', 'on <TIME>'),
    ('n=42 r=-1.5', 'n=<NUM> r=<NUM>'),
    (r'C:\Users\a b', '<PATH> b'),
  ],
)
def test_masks_by_kind(text, form):
  assert texts_of([text]) == [form]


def test_own_masks_and_what_is_kept():
  lines = ['order ord-a of zone z1', 'order ord-b of zone z2', 'order ord-c of zone z1']
  settings = {'masks': ['ORDER=ord-[a-z]'], 'keep': ['z[0-9]']}
  assert texts_of(lines, **settings) == [
    f'order <ORDER> of zone {zone}' for zone in ('z1', 'z2', 'z1')
  ]


@pytest.mark.parametrize(
  'field, values, expected',
  [
    ('status', '200 503', '200 503'),
    ('http.response.status_code', '200 -1', '200 -1'),
    ('code', '5 ERR_TIMEOUT', '5 ERR_TIMEOUT'),
    ('outcome', 'success failure', 'success failure'),
    ('event.outcome', 'ok 17', 'ok'),  # a free number
    ('method', 'GET POST', 'GET POST'),
    ('result', 'done 4f2a91cc', 'done'),
    ('zip_code', '8001 8002', ''),
    ('latency', '20 30', ''),
    ('user', 'ann bob', ''),
  ],
)
def test_fields_of_small_vocabularies_are_values(field, values, expected):
  column = values.split() * 3
  fields = {field: pl.Series(column), 'id': pl.Series([None] * len(column))}
  templates = messages.Templates()
  said = field_values.field_values(fields)
  codes = templates.add(['request'] * len(column), None, said)
  assert set(templates.group().tolist()) == {0}
  seen = {templates.code_values()[code] for code in codes.tolist()} - {''}
  assert seen == {f'{field}={value}' for value in expected.split()}


def test_a_field_of_many_values_is_none():
  templates = messages.Templates()
  column = [str(i) for i in range(500)]
  for _ in range(2):
    values = field_values.field_values({'code': pl.Series(column)})
    codes = templates.add(['request'] * 500, None, values)
  assert {templates.code_values()[code] for code in codes} == {''}


def test_levels_tell_codes_apart_but_not_templates():
  templates = messages.Templates()
  codes = templates.add(['disk slow'] * 3, ['INFO', 'ERROR', 'INFO'])
  assert codes.tolist() == [0, 1, 0] or codes.tolist() == [1, 0, 1]
  assert templates.group().tolist() == [0, 0] and templates.counts().tolist() == [3]


def test_time_and_memory_are_bounded_where_nothing_repeats():
  rng = random.Random(0)
  words = [''.join(rng.choices('bcdfghk', k=6)) for _ in range(900)]
  lines = [' '.join(rng.choices(words, k=40)) for _ in range(1500)]
  start = time.perf_counter()
  assert len(set(texts_of(lines))) == len(lines)
  assert time.perf_counter() - start < 20  # about half a second


PIECES = st.sampled_from(
  'user alice bob carol 12 10.0.0.1 failed started status=502 status=200 <NUM> <*> '
  '(a) é /var/log/x "x y" 2024-01-01 12ms \ue000 \ue001 <VAL>'.split(' ')
)
LINES = st.lists(st.lists(PIECES, max_size=7).map(' '.join), min_size=1, max_size=60)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(LINES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_blocks_order_and_repetition_do_not_matter(lines, block, rng: random.Random):
  whole = dict(zip(lines, texts_of(lines)))
  shuffled = rng.sample(lines, len(lines)) + rng.choices(lines, k=9)
  templates = messages.Templates()
  blocks = [shuffled[i : i + block] for i in range(0, len(shuffled), block)]
  codes = np.concatenate([templates.add(lines) for lines in blocks])
  ids = templates.group()[codes]
  assert [templates.texts[i] for i in ids] == [whole[line] for line in shuffled]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(LINES, LINES)
def test_a_template_matches_its_messages_and_freezing_keeps_numbers(lines, later):
  templates = messages.Templates()
  codes = templates.add(lines)
  before = templates.group()[codes].tolist()
  for code, template in zip(codes, before):
    form = templates._form_text[templates._code_form[code]]
    text = templates.texts[template]
    assert (
      grouping.Matcher([(0, text)]).match(form) == 0 or form == text or '<*>' in text
    )
  templates.freeze()
  frozen = templates.frozen
  codes = templates.add([*lines, *later])
  ids = templates.group()[codes].tolist()
  assert ids[: len(lines)] == before and frozen <= len(templates.texts)
  assert templates.counts().sum() == 2 * len(lines) + len(later)


@pytest.mark.parametrize(
  'settings, why',
  [
    ({'masks': ['x']}, '--mask=x: write NAME=REGEX'),
    ({'masks': ['X=(']}, r'--mask=X=\(: .* unclosed group'),
    ({'masks': ['X=a*']}, 'matches the empty text'),
    ({'keep': [r'(a)\1']}, r'--keep=\(a\).*backreferences are not'),
    ({'keep': ['(?:a{1000}){1000}']}, 'bounded time: Compiled regex exceeds'),
    ({'similarity': 2}, '--similarity=2'),
  ],
)
def test_wrong_settings_are_named(settings, why):
  with pytest.raises(errors.UserError, match=why):
    messages.Templates(**settings)


@pytest.mark.parametrize(
  'piece', ['a.', 'user a ', '1:', '"x" ', 'a/b/', '0a', '(a', 'a=1,']
)
def test_time_is_linear_in_length(piece):
  def seconds(length):
    lines = [f'{i} ' + (piece * length)[:length] for i in range(8)]
    start = time.perf_counter()
    texts_of(lines)
    return time.perf_counter() - start

  seconds(1000)
  assert seconds(16_000) < 200 * max(seconds(1000), 1e-3)
