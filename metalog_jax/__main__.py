"""`python -m metalog_jax NAME` is `metalog NAME`."""

import sys

from metalog_jax.cli import main

if __name__ == '__main__':
  sys.exit(main.main())
