"""How programs of research begin and end: as `metalog NAME` does, under absl.

0 done, 1 failed with one clear message on stderr, 2 wrong flags, 130 interrupted.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from absl import app, flags

from metalog_jax.cli import main as programs


def program(name: str) -> None:
  """Runs `metalog NAME` with the arguments of this process."""
  _run(lambda arguments: programs.main([name, *arguments]))


def run(
  main: Callable[..., None],
  with_arguments: bool = False,
  detector: Callable[[Sequence[str]], str] | None = None,
) -> None:
  """Parses the flags defined in `flags.FLAGS` and calls `main()`.

  Args:
    main: takes the arguments that are no flags, if `with_arguments`.
    detector: (arguments) -> the detector whose settings are flags too.
  """
  research = SimpleNamespace(
    __doc__=sys.modules['__main__'].__doc__ or '',
    FLAGS=(),
    VALUES=flags.FLAGS,
    TAKES_ARGUMENTS=with_arguments,
    main=lambda values, rest: main(rest) if with_arguments else main(),
  )
  if detector:
    research.detector = detector
  name = pathlib.Path(sys.argv[0]).stem
  _run(lambda arguments: programs.run(research, name, arguments))


def _run(call: Callable[[list[str]], int]) -> None:
  flags.FLAGS.mark_as_parsed()  # `call` parses; absl reads some before
  app.run(lambda argv: call(argv[1:]), flags_parser=lambda argv: argv)
