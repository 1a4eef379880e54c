"""What a program asks of the machine."""

import os

import pytest

from metalog_jax import machine

FLAG = '--xla_cpu_enable_concurrency_optimized_scheduler'


@pytest.mark.parametrize(
  'given,expected',
  [
    ('', f'{FLAG}=false'),
    ('--xla_a=1', f'--xla_a=1 {FLAG}=false'),
    (f'{FLAG}=true', f'{FLAG}=true'),
  ],
)
def test_what_the_user_asks_of_xla_is_left_alone(monkeypatch, given, expected):
  monkeypatch.setenv('XLA_FLAGS', given)
  machine._schedule_for_caches()
  assert os.environ['XLA_FLAGS'] == expected
