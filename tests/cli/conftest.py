"""Programs run inside the test's process: a process of its own takes seconds."""

from typing import NamedTuple

import pytest

from metalog_jax.cli import main


class Done(NamedTuple):
  code: int
  out: str
  err: str


@pytest.fixture(name='metalog')
def fixture_metalog(capsys):
  """metalog('train', '--help') -> Done."""

  def run(*arguments) -> Done:
    capsys.readouterr()
    code = main.main([str(argument) for argument in arguments])
    return Done(code, *capsys.readouterr())

  return run
