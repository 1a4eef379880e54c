"""What a program asks of the machine."""

import contextlib
import os
import pathlib
import resource

import pytest

from metalog_jax import errors, machine

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


@pytest.mark.parametrize('limit, refused', [
  (0, True), (1000, True), (4000, False), (-1, False),
])  # fmt: skip
def test_a_limit_of_addresses_that_no_job_ends_under(monkeypatch, limit, refused):
  """With the compiler's threads it would end in a dump."""
  used = 4096 * int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  most = used + (limit << 20) if limit >= 0 else resource.RLIM_INFINITY
  monkeypatch.setattr(resource, 'getrlimit', lambda _: (most, most))
  with (
    pytest.raises(errors.UserError, match='ulimit -v leaves')
    if refused
    else contextlib.nullcontext()
  ):
    (machine.use if refused else machine._check_addresses)()
