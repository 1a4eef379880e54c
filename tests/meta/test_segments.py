"""Inner loops in segments: the same gradient, with the memory of a square root."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from metalog_jax import meta
from metalog_jax.meta import inner, rules
from tests import grids
from tests.meta import problems

STEPS = 7  # two segments of three, and one of one
CONFIG = meta.MetaConfig(inner_lr=0.2, inner_steps=STEPS, query_weight=2.0)
PROBLEM = problems.regression(STEPS)
SPLIT = jax.tree.map(lambda x: x[0], PROBLEM.task)
SHARED = SPLIT._replace(support=jax.tree.map(lambda x: x[0], SPLIT.support))
RULES = {
  'descent': None,
  'momentum': optax.sgd(0.1, momentum=0.9),
  'adam': rules.named('adam', 0.05),
  'learned': rules.learned(STEPS),
  'parts': rules.only(rules.sgd(0.2), ('v',)),
}


def gradient(rule, task=SHARED, **change):
  config = dataclasses.replace(CONFIG, rule=RULES[rule], **change)
  params = PROBLEM.params
  if rule == 'learned':
    params = rules.with_rates(params, 0.1, STEPS)
  take = lambda p, t: meta.value_and_meta_grad(PROBLEM.loss_fn, p, t, config)
  return jax.jit(take)(params, task)


@pytest.mark.parametrize('rule', RULES)
def test_the_gradient_is_that_of_reverse(rule):
  exact = gradient(rule, gradient='reverse')
  modes = ('remat', 'mixed', 'linearized') if rule == 'momentum' else ('mixed',)
  for mode in modes:
    assert grids.difference(gradient(rule, gradient=mode, segments=3), exact) < 1e-10


@pytest.mark.parametrize(
  'change',
  [
    {'anneal': 5},
    {'support_per_step': True, 'support_weight': 1.0},
    {'gradient': 'truncated', 'truncate': 5},
    {'proximal': 0.3},
    {'segments': 99},
  ],
)
def test_in_every_form_of_the_objective(change):
  task = SPLIT if 'support_per_step' in change else SHARED
  exact = gradient('learned', task, **change | {'segments': 1})
  ours = gradient('learned', task, **{'segments': 3} | change)
  assert grids.difference(ours, exact) < 1e-12


def test_segments_are_the_fewest_that_fit():
  assert inner.num_segments(100, carry=1, kept=1, memory=100) == 1
  assert inner.num_segments(100, carry=1, kept=1, memory=52) == 2
  assert inner.num_segments(100, carry=1, kept=1, memory=1) == 10
  assert inner.num_segments(10_000, carry=1, kept=4, memory=1) == pytest.approx(
    200, 0.1
  )


def temporary_bytes(**change):
  config = dataclasses.replace(CONFIG, inner_steps=900, **change)
  take = lambda p, t: meta.meta_grad(PROBLEM.loss_fn, p, t, config)
  compiled = jax.jit(take).lower(PROBLEM.params, SHARED).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_root_and_auto_keeps_to_its_budget():
  state = sum(np.size(x) * 8 for x in jax.tree.leaves(PROBLEM.params))
  whole = temporary_bytes(segments=1)
  assert whole > 900 * state
  assert temporary_bytes(segments=30) < whole / 8
  assert temporary_bytes() == whole  # within the budget
  budget = 150 * state
  assert temporary_bytes(memory=budget) < 1.5 * budget
  assert temporary_bytes(gradient='reverse', memory=budget) < whole
