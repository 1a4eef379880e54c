"""Dataclasses and flags say the same."""

import dataclasses
from typing import Literal

import pytest
from absl import flags

from metalog_jax import flags as config_flags


@dataclasses.dataclass(frozen=True)
class Inner:
  rate: float = config_flags.field(0.5, 'a rate')


@dataclasses.dataclass(frozen=True)
class Outer:
  inner: Inner = Inner()
  size: int = 3
  kind: Literal['a', 'b'] = 'a'
  loud: bool = False
  name: str = 'x'


def parse(*args: str, base: Outer = Outer()) -> Outer:  # noqa: B008 (frozen)
  values = flags.FlagValues()
  config_flags.define('m', Outer(), values)
  values(['program', *args])
  return config_flags.read('m', base, values)


def test_no_flag_gives_the_base_back():
  base = Outer(Inner(0.1), 7, 'b', True, 'y')
  assert parse(base=base) == base


def test_given_flags_win_over_the_base():
  base = Outer(size=7)
  got = parse('--m.inner.rate=0.25', '--m.kind=b', '--nom.loud', base=base)
  assert got == Outer(Inner(0.25), 7, 'b')


@pytest.mark.parametrize('flag', ['--m.kind=c', '--m.size=x', '--m.sizes=3'])
def test_wrong_flags_are_refused(flag):
  with pytest.raises(flags.Error):
    parse(flag)


def test_restore_is_the_inverse_of_asdict():
  config = Outer(Inner(0.1), 7, 'b', True, 'y')
  assert config_flags.restore(Outer(), dataclasses.asdict(config)) == config
  with pytest.raises(ValueError, match='colour'):
    config_flags.restore(Outer(), {'colour': 'red'})


@dataclasses.dataclass(frozen=True)
class Other:
  depth: int = 1


@dataclasses.dataclass(frozen=True)
class Either:
  part: Inner | Other = Inner()


def parse_either(*args: str, base: Either) -> Either:
  values = flags.FlagValues()
  config_flags.define('m', Either(), values)
  values(['program', *args])
  return config_flags.read('m', base, values)


def test_a_field_may_hold_one_of_several():
  assert parse_either('--m.part.rate=0.25', base=Either()) == Either(Inner(0.25))
  other = parse_either('--m.part.depth=3', base=Either(Other()))
  assert other == Either(Other(3))
  for config in (other, Either(Inner(0.25))):
    saved = dataclasses.asdict(config)
    assert config_flags.restore(Either(), saved) == config
  with pytest.raises(ValueError, match='--m.part.depth is a setting of Other'):
    parse_either('--m.part.depth=3', base=Either())
  with pytest.raises(ValueError, match='colour'):
    config_flags.restore(Either(), {'part': {'colour': 'red'}})
