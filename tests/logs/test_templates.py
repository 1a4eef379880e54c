import json

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.logs import masksets, parse, templates
from tests import samples

ANYTHING = st.text(max_size=20) | st.lists(samples.WORDS, max_size=6).map(' '.join)
MASKSET = masksets.MaskSet((), sim_th=0.5)


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  return tmp_path_factory.mktemp('templates') / 'templates.json'


@hypothesis.given(lines=samples.MASKED, maskset=samples.SETTINGS)
def test_every_training_line_gets_its_own_template_after_loading(path, lines, maskset):
  core = templates.make_core(maskset)
  order = sorted(set(lines), key=lambda line: (-lines.count(line), line))
  own = {line: core.add_log_message(line)[0] for line in order}
  parse.mine({line: lines.count(line) for line in lines}, maskset).save(path)
  loaded = templates.Templates.load(path)
  events, _ = loaded.assign(lines)
  assert [loaded.texts[e] for e in events] == [own[x].get_template() for x in lines]


@hypothesis.given(lines=samples.MASKED, maskset=samples.SETTINGS)
def test_arrival_gives_training_lines_what_drain3_matches(lines, maskset):
  miner = parse.Arrival(maskset)
  miner.add(lines)
  frozen = miner.freeze()
  events, _ = frozen.assign(lines)
  core = templates.make_core(maskset)
  for line in lines:
    core.add_log_message(line)
  for line, event in zip(lines, events):
    cluster = core.match(line)
    if cluster is not None:
      assert frozen.texts[event] == cluster.get_template()


@hypothesis.given(
  lines=samples.MASKED, maskset=samples.SETTINGS, unseen=st.lists(ANYTHING)
)
def test_assignment_is_total_and_says_how(lines, maskset, unseen):
  frozen = parse.mine(dict.fromkeys(lines, 1), maskset)
  events, how = frozen.assign(pl.Series(unseen, dtype=pl.String))
  assert events.dtype == np.int32 and len(events) == len(how) == len(unseen)
  for line, event, way in zip(unseen, events, how):
    assert 0 <= event < len(frozen.texts)
    assert (event == 0) == (templates.HOW[way] == 'unknown')
    if templates.HOW[way] == 'match':
      pairs = zip(frozen.texts[event].split(), line.split(), strict=True)
      assert all(want in ('<*>', token) for want, token in pairs)


def mined() -> templates.Templates:
  counts = {'a b c d': 9, 'a b c e': 8, 'x y z w': 7, 'one': 1}
  return parse.mine(counts, MASKSET)


def test_match_then_nearest_then_unknown():
  frozen = mined()
  assert frozen.texts == ('<unknown>', 'a b c <*>', 'x y z w', 'one')
  lines = ['a b c new', 'a b new c', 'x y z v', 'q r s t', 'one', 'never seen', '']
  events, how = frozen.assign(lines)
  assert events.tolist() == [1, 1, 2, 0, 3, 0, 0]
  ways = 'match nearest nearest unknown match unknown unknown'.split()
  assert [templates.HOW[way] for way in how] == ways


def test_a_full_match_beats_a_nearer_template():
  texts = {'a b c d': 2, 'a b <*> <*>': 1}
  frozen = templates.freeze(MASKSET, texts, {})
  events, how = frozen.assign(['a b c x'])
  assert frozen.texts[events[0]] == 'a b <*> <*>' and how[0] == templates.MATCH


def test_exceptions_are_only_the_lines_that_searching_misplaces():
  own = {'a b c d': 'a b c d', 'a b c x': 'a b <*> <*>', 'a b c y': 'a b c d'}
  frozen = templates.freeze(MASKSET, {'a b c d': 2, 'a b <*> <*>': 1}, own)
  assert frozen.exceptions == {'a b c y': 1}
  events, how = frozen.assign(['a  b c y', 'a b c z'])
  assert events.tolist() == [1, 2]
  assert how.tolist() == [templates.EXACT, templates.MATCH]


def test_a_line_has_its_event_alone_and_among_others():
  lines = [f'a b c {n}' for n in range(9)] + ['one', 'q', 'x y z 1'] * 3
  whole, _ = mined().assign(lines)
  alone = [mined().assign([line])[0][0] for line in lines]
  np.testing.assert_array_equal(whole, alone)


def test_the_file_is_the_same_for_the_same_templates(tmp_path):
  one, two = tmp_path / 'one.json', tmp_path / 'two.json'
  mined().save(one)
  templates.Templates.load(one).save(two)
  assert one.read_bytes() == two.read_bytes()
  assert sorted(p.name for p in tmp_path.iterdir()) == ['one.json', 'two.json']


def test_hashes_follow_content():
  one = mined()
  other = parse.mine({'a b c d': 1}, MASKSET)
  stricter = parse.mine({'a b c d': 1}, masksets.MaskSet((), sim_th=0.6))
  assert one.hash == mined().hash != other.hash != stricter.hash


@pytest.mark.parametrize(
  'damage',
  [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace('x y z w', 'x y z v'),
    lambda text: text.replace('"sim_th": 0.5', '"sim_th": 0.6'),
    lambda text: text.replace('"exceptions": {}', '"exceptions": {"q": 1}'),
    lambda text: '{}',
    lambda text: '[]',
    lambda text: json.dumps({**json.loads(text), 'settings': {'depth': 4}}),
    lambda text: json.dumps({**json.loads(text), 'settings': []}),
    lambda text: json.dumps({**json.loads(text), 'exceptions': 5}),
    lambda text: json.dumps({**json.loads(text), 'templates': 5}),
    lambda text: json.dumps({**json.loads(text), 'hash': None}),
  ],
)
def test_damaged_files_are_refused(tmp_path, damage):
  path = tmp_path / 'templates.json'
  mined().save(path)
  path.write_text(damage(path.read_text()))
  with pytest.raises(ValueError, match='templates.json'):
    templates.Templates.load(path)


def test_extended_templates_keep_every_event():
  maskset = masksets.HDFS['default']
  own = templates.Templates(maskset, (types.UNKNOWN_TEMPLATE, 'a b', 'c'), {'x y': 1})
  more = templates.Templates(maskset, (types.UNKNOWN_TEMPLATE, 'd e f'), {'g': 1})
  both = own.extended(more)
  assert both.texts == (types.UNKNOWN_TEMPLATE, 'a b', 'c', 'd e f')
  events, _ = both.assign(['a b', 'c', 'x y', 'd e f', 'g', 'nothing like it at all'])
  assert events.tolist() == [1, 2, 1, 3, 3, 0]
