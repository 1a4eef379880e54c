"""Arrival mode against drain3's own `TemplateMiner`, line by line."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.logs import formats, masking, masksets, parse
from tests import samples


def assert_same(lines, maskset, chunk=1000):
  """Every line's online cluster, and the final templates and sizes, are drain3's."""
  theirs = samples.miner(maskset)
  expected = [theirs.add_log_message(line)['cluster_id'] for line in lines]
  masked, ours = masking.mask(lines, maskset), parse.Arrival(maskset)
  found = [ours.add(masked[i : i + chunk]) for i in range(0, len(masked), chunk)]
  np.testing.assert_array_equal(np.concatenate(found), expected)
  final = {(cluster.get_template(), cluster.size) for cluster in theirs.drain.clusters}
  assert {(c.get_template(), c.size) for c in ours.clusters} == final
  assert set(ours.freeze().texts[1:]) == {text for text, _ in final}


@hypothesis.given(
  lines=samples.MASKED,
  maskset=samples.SETTINGS,
  limit=st.sampled_from([None, 1, 2, 5]),
  chunk=st.integers(1, 10),
)
def test_any_lines_and_settings(lines, maskset, limit, chunk):
  assert_same(lines * 2, dataclasses.replace(maskset, max_clusters=limit), chunk)


def test_a_line_moves_to_a_template_that_came_later_and_is_nearer():
  lines = ['a b c d e', 'a b x y z', *['a b c d e'] * 3, 'p q c d e', 'a b c d e']
  maskset = masksets.MaskSet((), sim_th=0.4)
  assert_same(lines, maskset)
  ids = parse.Arrival(maskset).add(lines)
  assert ids.tolist() == [1, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize('parser', ['default', 'paper'])
@pytest.mark.parametrize('system', samples.LOGHUB)
def test_loghub_samples(data, system, parser):
  assert_same(samples.loghub(data, system)[0], formats.FORMATS[system].masks[parser])


@pytest.mark.parametrize('system', samples.LOGHUB)
def test_loghub_samples_where_clusters_are_evicted(data, system):
  maskset = dataclasses.replace(formats.FORMATS[system].masks['paper'], max_clusters=10)
  assert_same(samples.loghub(data, system)[0], maskset)


@pytest.mark.slow
@pytest.mark.parametrize('parser', ['default', 'paper'])
def test_hdfs_file(data, parser):
  assert_same(
    samples.raw(data, 'hdfs').to_list(), formats.FORMATS['hdfs'].masks[parser]
  )
