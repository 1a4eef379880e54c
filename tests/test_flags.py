"""Dataclasses and flags say the same."""

import dataclasses
from typing import Literal

import pytest
from absl import flags

from metalog_jax import errors
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


@dataclasses.dataclass(frozen=True)
class Rates(config_flags.Settings):
  rate: float = config_flags.field(0.5, 'a rate', most=1)
  lost: float = config_flags.field(0.0, 'a share', below=1)
  order: Literal['first', 'second'] = config_flags.field('first', 'an order')


@dataclasses.dataclass(frozen=True)
class Grouped(config_flags.Settings):
  rates: Rates = config_flags.group(Rates())
  depth: int = config_flags.field(3, 'a depth', least=1)
  below: int = config_flags.field(-1, 'may be negative')


def parse_grouped(*args: str) -> Grouped:
  values = flags.FlagValues()
  config_flags.define('m', Grouped(), values)
  values(['program', *args])
  return config_flags.read('m', Grouped(), values)


def test_fields_of_groups_have_short_names():
  assert parse_grouped('--m.order=second', '--m.depth=2') == Grouped(
    Rates(order='second'), 2
  )
  shown = config_flags.describe('m', Grouped())
  assert [s.flag for s in shown] == [
    'm.rate',
    'm.lost',
    'm.order',
    'm.depth',
    'm.below',
  ]
  assert shown[2].choices == ('first', 'second') and shown[2].help == 'an order'
  changed = config_flags.replace(Grouped(), rate=0.25, depth=5)
  assert changed == Grouped(Rates(0.25), 5)
  assert config_flags.get(changed, 'rate') == 0.25
  assert config_flags.get(changed, 'nothing', 7) == 7
  with pytest.raises(TypeError, match='nothing'):
    config_flags.replace(Grouped(), nothing=1)


def test_two_fields_with_one_flag_are_an_error_of_the_class():
  @dataclasses.dataclass(frozen=True)
  class Twice(config_flags.Settings):
    rates: Rates = config_flags.group(Rates())
    rate: float = 0.1

  with pytest.raises(TypeError, match='rate'):
    Twice()


WRONG = [
  ('order', 'secnd', "did you mean 'second'"),
  ('rate', float('nan'), 'finite'),
  ('rate', 1.5, 'at most 1'),
  ('rate', -0.5, 'at least 0'),
  ('lost', 1.0, 'must be below 1'),
  ('depth', 0, 'at least 1'),
  ('depth', 10**20, 'at most 2147483647'),
]


@pytest.mark.parametrize('name,value,message', WRONG)
def test_wrong_values_are_refused_wherever_they_come_from(name, value, message):
  with pytest.raises(errors.UserError, match=f'{name}=.*{message}'):
    config_flags.replace(Grouped(), **{name: value})
  with pytest.raises(flags.Error, match=f'm.{name}=.*{message}'):
    parse_grouped(f'--m.{name}={value}')
  with pytest.raises(errors.UserError, match=f'{name}=.*{message}'):
    saved = (
      {'rates': {name: value}} if name in ('rate', 'lost', 'order') else {name: value}
    )
    config_flags.restore(Grouped(), saved)


@pytest.mark.parametrize('name,value', [('depth', 2.5), ('depth', True), ('rate', '1')])
def test_wrong_types_are_refused(name, value):
  with pytest.raises(errors.UserError, match=name):
    config_flags.replace(Grouped(), **{name: value})


def test_a_config_is_restored_and_one_of_0_1_0_is_refused():
  config = Grouped(Rates(0.25, order='second'), 2)
  assert config_flags.restore(Grouped(), dataclasses.asdict(config)) == config
  with pytest.raises(errors.UserError, match='rate=0.25.*make the run again'):
    config_flags.restore(Grouped(), {'rate': 0.25, 'order': 'second', 'depth': 2})
