"""How programs of research begin and end: as `metalog NAME` does, under absl.

0 done, 1 failed with one clear message on stderr, 2 wrong flags, 130 interrupted.
"""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags

from metalog_jax import atomic
from metalog_jax.cli import main as programs


def program(name: str) -> None:
  """Runs `metalog NAME` with the arguments of this process."""
  _run(lambda arguments: programs.main([name, *arguments]))


def run() -> None:
  """Runs the module that this process was started with: see `programs.run`."""
  name = pathlib.Path(sys.argv[0]).stem
  _run(lambda arguments: programs.run(sys.modules['__main__'], name, arguments))


def check_outputs(values: Any, *names: str) -> None:
  """Refuses flags of files that cannot be written, before anything is measured."""
  for name in names:
    if path := getattr(values, name):
      atomic.check_output(path, flag=f'--{name}')


def _run(call: Callable[[list[str]], int]) -> None:
  def work(argv: list[str]) -> int:
    code = call(argv[1:])
    programs.leave(code)
    return code

  flags.FLAGS.mark_as_parsed()  # `call` parses; absl reads some before
  app.run(work, flags_parser=lambda argv: argv)
