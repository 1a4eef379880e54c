"""How every program starts and ends: exit codes, and errors without a traceback.

0 done, 1 failed with one clear message on stderr, 2 wrong flags.
"""

import functools
import pathlib
import sys
from collections.abc import Callable

from absl import app, flags, logging

from metalog_jax import errors

FLAGS = flags.FLAGS
flags.DEFINE_bool('debug', False, 'show the traceback of an error')


def run(main: Callable[..., None], with_arguments: bool = False) -> None:
  """Parses the flags and calls `main()`; `main(list)` if it is to get arguments."""
  logging.set_verbosity(logging.WARNING)  # checkpointing tells every step otherwise
  parse = functools.partial(_parse, with_arguments)
  call = lambda argv: _call(lambda: main(argv[1:]) if with_arguments else main())
  app.run(call, flags_parser=parse)


def _parse(with_arguments: bool, argv: list[str]) -> list[str]:
  try:
    rest = FLAGS(argv)[1:]
  except flags.Error as error:
    _fail(f'{error}\nPass --help to see the flags.', 2)
  except SystemExit:  # --help was asked for, and answered
    sys.exit(0)
  if rest and not with_arguments:
    _fail(f'{rest[0]} is not a flag: every argument starts with --', 2)
  return argv[:1] + rest


def _call(main: Callable[[], None]) -> None:
  try:
    main()
  except (errors.UserError, OSError) as error:
    if FLAGS.debug:
      raise
    _fail(str(error), 1)
  except KeyboardInterrupt:
    _fail('interrupted', 130)


def _fail(message: str, code: int) -> None:
  print(f'{pathlib.Path(sys.argv[0]).stem}: {message}', file=sys.stderr)
  sys.exit(code)
