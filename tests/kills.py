"""Followers that end wherever they are, again and again, while a log is written."""

import pytest

from metalog_jax.scanning import follow, scan


class Killed(BaseException):
  """Ends a follower wherever it is, as a kill does."""


def lives(path, lines, piece, turn, calls):
  """Writes lines piece by piece, and gives what ends the process that reads each.

  The file has become another one when the lines from `turn` on were written, and is
  empty then. What is given raises Killed when it was called more than `calls()` times.
  """
  for start in range(0, len(lines), piece):
    with open(path, 'a') as file:
      file.writelines(lines[start : start + piece])
    if start == turn:
      path.rename(f'{path}.1')
      path.touch()
    left = iter(range(calls()))

    def die(*_, left=left):
      if next(left, None) is None:
        raise Killed

    yield die


def kill_followers(monkeypatch, path, out, deaths, tell, **options):
  """A `follow.follow` for each of `lives`; notes, beats and ends of windows kill it."""
  close = follow.Follower._close
  for die in deaths:
    with monkeypatch.context() as patch, pytest.raises(Killed):
      patch.setattr(follow.Follower, '_close', lambda *a, **k: (die(), close(*a, **k)))  # noqa: B023
      follow.follow([str(path)], scan.Options(out=str(out), **options), tell, bool, die)
