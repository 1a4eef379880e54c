"""Templates of systems that nobody has described."""

import random

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import errors
from metalog_jax.logs import messages
from tests import samples

NAMES = [a + b for a in ('al', 'ber', 'cor', 'dan') for b in ('ice', 'ta', 'in', 'ny')]


def texts_of(lines, **settings) -> list[str]:
  """The template of every line."""
  templates = messages.Templates(**settings)
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


@pytest.mark.parametrize('number', [3, 40, 400, 5000])
def test_names_are_one_template_whatever_their_number(number):
  lines = [
    f'user {NAMES[i % 16]}{chr(97 + i // 16 % 26)} logged in' for i in range(400)
  ]
  lines = (lines * 13)[:number]
  assert len(set(texts_of(lines))) == 1


PIECES = st.sampled_from(
  'user alice bob carol 12 10.0.0.1 failed started status=502 status=200 <NUM> '
  '(a) é /var/log/x "x y" 2024-01-01 12ms'.split()
)
LINES = st.lists(st.lists(PIECES, max_size=7).map(' '.join), min_size=1, max_size=60)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(LINES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_blocks_and_order_do_not_matter(lines, block, rng: random.Random):
  whole = dict(zip(lines, texts_of(lines)))
  shuffled = rng.sample(lines, len(lines))
  templates = messages.Templates()
  blocks = [shuffled[i : i + block] for i in range(0, len(lines), block)]
  codes = np.concatenate([templates.add(lines) for lines in blocks])
  ids = templates.group()[codes]
  assert [templates.texts[i] for i in ids] == [whole[line] for line in shuffled]


@pytest.mark.parametrize(
  'settings, why',
  [
    ({'masks': ['x']}, '--mask=x: write NAME=REGEX'),
    ({'masks': ['X=(']}, r'--mask=X=\('),
    ({'masks': ['X=a*']}, 'matches the empty text'),
    ({'keep': [r'(a)\1']}, r'--keep=\(a\)'),
    ({'keep': ['(?:a{1000}){1000}']}, 'bounded time'),
  ],
)
def test_wrong_patterns_are_named(settings, why):
  with pytest.raises(errors.UserError, match=why):
    messages.Templates(**settings)
