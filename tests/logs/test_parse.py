import dataclasses
import itertools
import random

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax.logs import (
  formats,
  general_masks,
  masking,
  masksets,
  parse,
  repeats,
  templates,
)
from tests import samples


def add(store, lines):
  texts, codes = repeats.encode(pl.Series(lines, dtype=pl.String))
  return store.add(texts, np.bincount(codes, minlength=len(texts)))[codes]


def canonical(lines, maskset, cuts=()):
  """Events and templates of lines that came in chunks cut at `cuts`."""
  whole, codes = parse.Distinct(), []
  for chunk in np.split(np.array(lines, object), sorted(cuts)):
    codes.append(add(whole, chunk.tolist()))
  mined = parse.mine(whole.counts, maskset)
  return mined, mined.assign(whole.texts)[0][np.concatenate(codes)]


@hypothesis.given(lines=samples.MASKED, maskset=samples.SETTINGS, data=st.data())
def test_canonical_is_the_same_for_any_order_and_chunks(lines, maskset, data):
  mined, events = canonical(lines, maskset)
  order = data.draw(st.permutations(range(len(lines))))
  cuts = data.draw(st.lists(st.integers(0, len(lines)), max_size=3))
  again, shuffled = canonical([lines[i] for i in order], maskset, cuts)
  assert again == mined
  np.testing.assert_array_equal(shuffled, events[list(order)])


@hypothesis.given(lines=samples.MASKED, maskset=samples.SETTINGS)
def test_canonical_is_drain_fed_with_the_most_frequent_first(lines, maskset):
  counts = {line: lines.count(line) for line in lines}
  core = templates.make_core(maskset)
  order = sorted(counts, key=lambda line: (-counts[line], line))
  own = {line: core.add_log_message(line)[0] for line in order}
  mined, events = canonical(lines, maskset)
  assert [mined.texts[e] for e in events] == [own[x].get_template() for x in lines]
  assert set(mined.texts[1:]) == {cluster.get_template() for cluster in core.clusters}


def test_frequent_templates_come_first_and_count_lines():
  lines = ['b x', 'b x', 'b x', 'c', 'c', 'a', 'b']
  mined, events = canonical(lines, masksets.MaskSet(()))
  assert mined.texts[1:] == ('b x', 'c', 'a', 'b')
  assert events.tolist() == [1, 1, 1, 2, 2, 3, 4]


def test_spaces_between_tokens_do_not_matter():
  mined, events = canonical(['a  b', ' a b ', 'a\tb'], masksets.MaskSet(()))
  assert mined.texts[1:] == ('a b',) and events.tolist() == [1, 1, 1]


def test_counts_add_up():
  distinct = parse.Distinct()
  assert add(distinct, ['a', 'b', 'a']).tolist() == [0, 1, 0]
  assert add(distinct, ['b', 'c']).tolist() == [1, 2]
  assert distinct.counts == {'a': 2, 'b': 2, 'c': 1}


def test_a_word_that_no_mask_knows_does_not_crowd_the_templates():
  letters = 'abcdefghijklmnopqrstuvwxyz'
  names = [f'{one}{two}' for one in letters for two in letters]
  lines = [f'{name} has arrived' for name in names] * 2 + ['a line of its own']
  mined, events = canonical(lines, masksets.MaskSet(()))
  assert set(mined.texts[1:]) == {'<*> has arrived', 'a line of its own'}
  assert 0 not in events


def test_no_lines_give_no_templates():
  assert parse.mine({}, masksets.MaskSet(())).texts == ('<unknown>',)
  assert parse.Arrival(masksets.MaskSet(())).freeze().texts == ('<unknown>',)


@pytest.fixture(scope='module')
def hdfs(data):
  maskset = formats.FORMATS['hdfs'].masks['default']
  return masking.mask(samples.raw(data, 'hdfs'), maskset).to_list(), maskset


def test_shuffled_hdfs_gives_the_same_templates(hdfs):
  lines, maskset = hdfs
  mined, events = canonical(lines, maskset)
  assert len(lines) == 222579 and len(mined.texts) == 31
  for seed in range(5):
    order = list(range(len(lines)))
    random.Random(seed).shuffle(order)
    again, shuffled = canonical([lines[i] for i in order], maskset, [1, 1000, 70000])
    assert again == mined
    np.testing.assert_array_equal(shuffled, events[order])


@pytest.mark.parametrize(
  'system, least',
  [('hdfs', 0.998), ('bgl', 0.99), ('thunderbird', 0.97), ('openstack', 0.99)],
)
def test_grouping_accuracy_of_default(data, system, least):
  assert accuracy(data, system, formats.FORMATS[system].masks['default']) >= least


def test_custom_groups_better_than_common_masks(data):
  common = masksets.MaskSet(
    tuple(
      (f'{masksets.LEFT}{pattern}{masksets.RIGHT}', name)
      for pattern, name in (
        (r'(?:[0-9]{1,3}\.){3}[0-9]{1,3}', 'IP'),
        ('0x[a-f0-9A-F]+', 'HEX'),
        ('[-+]?[0-9]+', 'NUM'),
      )
    ),
    sim_th=0.4,
    depth=4,
  )
  mean = lambda maskset: np.mean([accuracy(data, s, maskset) for s in samples.LOGHUB])
  assert mean(masksets.GENERAL['default']) >= mean(common) + 0.05


@pytest.mark.parametrize('system', samples.LOGHUB)
def test_grouping_accuracy_of_unknown_systems(data, system):
  assert accuracy(data, system, general_masks.UNKNOWN['default']) >= 0.99


@pytest.mark.parametrize('number', [3, 400, 2000])
@pytest.mark.parametrize('line', ['mail for {} was read', 'login user={} of <b>'])
def test_names_are_one_template_whatever_their_number(tmp_path, line, number):
  names = [
    ''.join(x) for x in itertools.product('abcdefghij', 'klmno', 'uvwxyz', 'pqrst')
  ]
  maskset = general_masks.UNKNOWN['default']
  lines = masking.mask([line.format(name * 2) for name in names[:number]], maskset)
  mined, events = canonical(lines.to_list(), maskset)
  assert len(mined.texts) == 2 and set(events.tolist()) == {1}
  event, how = mined.assign(masking.mask([line.format('zeno')], maskset))
  assert (event[0], templates.HOW[how[0]]) == (1, 'match')
  mined.save(tmp_path / 'templates.json')
  assert templates.Templates.load(tmp_path / 'templates.json') == mined


def accuracy(data, system: str, maskset: masksets.MaskSet) -> float:
  lines, true = samples.loghub(data, system)
  _, events = canonical(masking.mask(lines, maskset).to_list(), maskset)
  return samples.grouping_accuracy(events.tolist(), true)


def test_max_clusters_does_not_evict_in_canonical_order():
  maskset = dataclasses.replace(masksets.MaskSet(()), max_clusters=1)
  mined, events = canonical(['a', 'b c', 'd e f'], maskset)
  assert len(mined.texts) == 4 and 0 not in events
