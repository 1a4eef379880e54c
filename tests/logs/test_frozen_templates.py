"""Templates that stay what they are: frozen, in streams without end, in JSON."""

import json
import random

import pytest

from metalog_jax import errors
from metalog_jax.logs import messages
from tests.logs.test_messages import NAMES, texts_of


def test_frozen_templates_take_what_they_match_and_new_ones_are_numbered_after():
  templates = messages.Templates()
  templates.add([f'mail for {name} was delivered' for name in NAMES[:9]] + ['tick'])
  templates.freeze()
  assert templates.frozen == 2
  codes = templates.add(['mail for zeno was delivered', 'disk is full', 'tick'])
  assert templates.group()[codes].tolist() == [0, 2, 1]


def test_a_stream_of_names_is_not_a_stream_of_templates():
  templates = messages.Templates()
  for name in NAMES:
    templates.add([f'mail for {name} was delivered'])
    templates.freeze()
  assert len(templates.texts) == 2


def test_memory_is_bounded_and_codes_stay_valid():
  templates = messages.Templates(limit=200)
  rng = random.Random(0)
  noise = [''.join(rng.choices('bcdfgh', k=9)) + f' {i % 7 * "x"}' for i in range(4000)]
  first = templates.add(['the first message of all'] * 5)
  for i in range(0, 4000, 100):
    templates.add([*noise[i : i + 100], 'mail for zeno was delivered'])
  assert len(templates._forms) <= 301 and len(templates._codes) <= 301
  assert templates.texts[templates.group()[first[0]]] == 'the first message of all'
  assert templates.counts().sum() == 4045
  assert templates.add(['the first message of all'])[0] < len(templates.group())


def test_json_and_back():
  templates = messages.Templates(keep=['z[0-9]'])
  lines = ['GET /a/b 200 z1', 'GET /a/b 502 z1', 'tick'] * 4
  templates.add(lines)
  content = json.loads(json.dumps(templates.to_json()))
  again = messages.Templates.from_json(content, 'x.json')
  assert again.to_json() == content
  codes = again.add([*lines, 'new'])
  assert [again.texts[i] for i in again.group()[codes]] == [
    *texts_of(lines, keep=['z[0-9]']),
    'new',
  ]
  assert again.counts().tolist() == [16, 8, 1] and again.frozen == 2


@pytest.mark.parametrize('older', [False, True])
@pytest.mark.parametrize('number, values', [(3, 'names'), (80, '')])
def test_names_are_what_they_were_after_json_and_back(number, values, older):
  names = [*NAMES[: number - 1], 'helena']
  line = 'parcel of {} stored here'
  templates = messages.Templates()
  templates.add([line.format(name) for name in names])
  content = templates.to_json()
  if older:
    del content['templates'][0]['codes']
  again = messages.Templates.from_json(content, 'x.json')
  codes = again.add([line.format(name) for name in names[-2:]])
  assert again.group()[codes].tolist() == [0, 0]
  expected = names[-2:] if values else ['', '']
  assert [again.code_values()[code] for code in codes] == expected
  codes = again.add([line.format('james'), line.format('error')])
  assert (again.group()[codes] != 0).tolist() == [bool(values), True]


def test_a_stream_of_names_does_not_fill_memory():
  templates = messages.Templates()
  line = 'parcel of {} stored here'
  templates.add([line.format(name) for name in NAMES[:9]])
  templates.freeze()
  for i in range(999):
    templates.add([line.format('abcdefghij'[i // 100] + NAMES[i % 64] + 'xyz'[i % 3])])
  assert len(templates.texts) == 1 and len(templates._codes) < 90


@pytest.mark.parametrize(
  'change',
  [
    {'format': 2},
    {'templates': [{'text': 'a', 'count': 1, 'values': {}, 'codes': 'x'}]},
    {'templates': [{'text': 1, 'count': 1, 'values': {}}]},
    {'templates': [{'text': 'a', 'count': -1, 'values': {}}]},
    {'templates': [{'text': 'a', 'count': 1, 'values': {'x': 'y'}}]},
    {'templates': 3},
    {'keep': 'abc'},
    {'keep': [3]},
    {'similarity': 'x'},
    {'masks': ['X=(']},
  ],
)
def test_json_that_is_no_templates_is_refused(change):
  content = {**messages.Templates().to_json(), **change}
  with pytest.raises(errors.UserError):
    messages.Templates.from_json(content, 'x.json')
  with pytest.raises(errors.UserError, match='x.json'):
    messages.Templates.from_json([], 'x.json')
