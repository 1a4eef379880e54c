"""Merging by time, frame by frame."""

import random

import polars as pl
import pytest

from metalog_jax.logs import merge


def cut(keys: list[int], rank: int, rng: random.Random) -> list[pl.DataFrame]:
  """Frames of a file whose records have these keys."""
  frames, place = [], 0
  while place < len(keys):
    size = rng.randrange(0, 4)
    part = keys[place : place + size]
    names = [(rank, place + i) for i in range(len(part))]
    frames.append(pl.DataFrame({merge.KEY: part, 'name': map(str, names)})
                  if part else pl.DataFrame(schema={merge.KEY: pl.Int64}))  # fmt: skip
    place += size
  return frames


@pytest.mark.parametrize('seed', range(30))
def test_order_is_by_key_then_file_then_place_whatever_the_frames(seed):
  rng = random.Random(seed)
  files = [sorted(rng.choices(range(12), k=rng.randrange(1, 15))) for _ in range(5)]
  files.sort(key=lambda keys: keys[0])
  opened = [
    (keys[0], lambda keys=keys, rank=rank: iter(cut(keys, rank, rng)))
    for rank, keys in enumerate(files)
  ]
  merged = [
    name for frame in merge.merge(opened) if len(frame) for name in frame['name']
  ]
  expected = sorted(
    (key, rank, place)
    for rank, keys in enumerate(files)
    for place, key in enumerate(keys)
  )
  assert merged == [str((rank, place)) for _, rank, place in expected]


def test_files_are_opened_when_their_time_comes():
  """So that a thousand rotated files are no thousand open files."""
  alive, most = set(), []

  def read(n):
    alive.add(n)
    most.append(len(alive))
    for place in range(3):
      yield pl.DataFrame({merge.KEY: [10 * n + place], 'name': [f'{n}']})
    alive.discard(n)

  files = [(10 * n, lambda n=n: read(n)) for n in range(50)]
  assert sum(len(frame) for frame in merge.merge(files)) == 150
  assert max(most) <= 2
