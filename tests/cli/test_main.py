"""How programs begin and end: names, help, exit codes, messages."""

import importlib
import os
import pathlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from absl import logging

from metalog_jax import errors
from metalog_jax.cli import main, options, train
from metalog_jax.cli.options import Flag

ROOT = pathlib.Path(__file__).parents[2]
RESEARCH = ('bench', 'report', 'few_shot', 'meta_gradients', 'sweep')


def start(*arguments, **kwargs) -> subprocess.CompletedProcess:
  command = [sys.executable, *arguments]
  return subprocess.run(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, **kwargs)


def program(work, *flags: Flag) -> SimpleNamespace:
  return SimpleNamespace(
    __doc__='Works.', FLAGS=flags, main=lambda values, rest: work()
  )


def fail(error: BaseException):
  def work():
    raise error

  return program(work)


def test_the_name_alone_lists_the_programs(metalog):
  for arguments in ((), ('--help',), ('help',)):
    listed = metalog(*arguments)
    assert listed.code == 0 and not listed.err
    names = re.findall(r'^  (\w+)  ', listed.out, re.MULTILINE)
    assert names == list(main.PROGRAMS)


def test_the_nearest_right_program_is_named(metalog):
  wrong = metalog('trian')
  assert wrong.code == 2 and "did you mean 'train'?" in wrong.err


@pytest.mark.parametrize('arguments, message', [
  ('detect --model=m --logs=x.log --sessions=9', '--sessions goes with --follow'),
  ('detect --model=m --logs=x.log --metrics_host=h', '--metrics_host goes with --f'),
  ('scan x.log --webhook=http://h', '--webhook goes with --follow'),
  ('diff x.log -- y.log --follow', "Unknown command line flag 'follow'"),
  ('diff x.log -- y.log --metrics=m', "Unknown command line flag 'metrics'"),
  ('train --workdir=w --process=1', '--process goes with --distributed'),
  ('report w --print=csv --kinds=all', '--kinds goes with --print=markdown'),
])  # fmt: skip
def test_flags_that_would_do_nothing_are_refused(metalog, arguments, message):
  done = metalog(*arguments.split())
  assert done.code == 2 and message in done.err


@pytest.mark.parametrize('name', ['bench', 'fuzz', 'long_loops', 'volume'])
def test_what_cannot_be_written_is_refused_before_it_is_measured(name, capsys):
  module = importlib.import_module(f'experiments.{name}')
  assert main.run(module, name, ['--json=/dev/null']) == 2
  assert 'special file: give --json' in capsys.readouterr().err


@pytest.mark.parametrize('name', main.PROGRAMS)
def test_help_shows_every_flag_once(metalog, name):
  shown = metalog(name, '--help')
  assert shown.code == 0 and not shown.err
  flags = re.findall(r'^  --([\w.]+)', shown.out, re.MULTILINE)
  assert len(flags) == len(set(flags)) and {'debug'} <= set(flags)
  assert metalog(name, '-h').out == shown.out


def test_help_shows_the_chosen_detector_alone(metalog):
  shown = metalog('train', '--detector=metalog', '--help').out
  assert shown.count('\n') <= 150
  assert '--metalog.order' in shown and '--logmeta' not in shown
  default = metalog('train', '--help').out
  assert '--evidence.forgive' in default and '--metalog' not in default
  other = metalog('train', '--help', '--detector', 'logmeta').out
  assert '--logmeta.shots' in other and '--metalog.' not in other


@pytest.mark.parametrize(
  'name, heavy', [('train', 'polars pyarrow'), ('prepare', 'numpy'), ('demo', 'numpy')]
)
def test_help_imports_nothing_heavy(name, heavy):
  code = f"""
import sys
from metalog_jax.cli import main
main.main(['{name}', '--help'])
import metalog_jax
heavy = 'jax flax optax sklearn scipy gensim matplotlib {heavy}'.split()
sys.exit(str(set(heavy) & set(sys.modules)) if set(heavy) & set(sys.modules) else 0)
"""
  assert start('-c', code, stdout=subprocess.DEVNULL).stderr == ''


@pytest.mark.parametrize('error', [
  errors.UserError('x.log:3: no time'), OSError(28, 'No space left', 'x'), MemoryError()
])  # fmt: skip
def test_an_error_of_the_user_is_one_line(capsys, error):
  assert main.run(fail(error), 'p', []) == 1
  said = capsys.readouterr().err
  assert said.startswith('p: ') and said.count('\n') == 1
  assert main.run(fail(error), 'p', ['--debug']) == 1
  assert 'Traceback' in capsys.readouterr().err


@pytest.mark.parametrize('error', [ValueError('shapes'), KeyError('x'), TypeError()])
def test_a_fault_of_ours_is_called_one(capsys, error):
  """In 0.1.0 a ValueError of NumPy or jax looked like the user's."""
  assert main.run(fail(error), 'p', []) == 1
  said = capsys.readouterr().err
  assert 'Traceback' in said and 'p: internal fault' in said.splitlines()[-1]


def test_where_memory_is_short_the_message_says_how_to_give_more(capsys):
  assert main.run(fail(MemoryError('malloc of size 8')), 'p', []) == 1
  assert 'p: out of memory (malloc of size 8): raise' in capsys.readouterr().err


@pytest.mark.parametrize('said, is_shown', [('Event loop is closed', 0), ('x', 1)])
def test_what_closed_threads_of_orbax_leave_is_not_shown(
  monkeypatch, capsys, said, is_shown
):
  class Left:
    def __del__(self):
      raise RuntimeError(said)

  monkeypatch.setattr(sys, 'unraisablehook', sys.__unraisablehook__)
  main._quiet_threads()
  Left()
  assert capsys.readouterr().err.count(f'RuntimeError: {said}') == is_shown


def test_warnings_of_ours_are_shown(caplog):
  """Such as that a cache is damaged; those of Orbax come as errors."""
  work = lambda values, rest: logging.warning('not used')
  assert main.run(SimpleNamespace(FLAGS=(), main=work), 'p', []) == 0
  assert caplog.messages == ['not used']


@pytest.mark.parametrize('call', ['main.main()', "program.program('nosuch')"])
def test_a_failed_program_does_not_wait_for_threads_of_orbax(call):
  code = f"""
import sys, threading
from experiments import main as program
from metalog_jax.cli import main
class Writer(threading.Thread):
  __module__ = 'orbax.checkpoint.futures'
Writer(target=threading.Event().wait).start()
sys.argv[1:] = ['nosuch']
sys.exit({call})
"""
  done = start('-c', code, stdout=subprocess.DEVNULL, timeout=60)
  assert done.returncode == 2 and 'nosuch' in done.stderr


def test_interrupted(capsys):
  assert main.run(fail(KeyboardInterrupt()), 'p', []) == 130
  assert capsys.readouterr().err == 'p: interrupted\n'


def test_messages_are_safe_for_a_terminal(capsys):
  """Text of logs and names of files reach messages: no escapes, marks, surrogates."""
  error = errors.UserError('a\x1b[2J\u202e\x07\udcff.log:\n\tb')
  main.run(fail(error), 'p', [])
  assert capsys.readouterr().err == 'p: a\\x1b[2J\\u202e\\x07\\udcff.log:\n\tb\n'
  main.say('a\x1b]0;x\x07')
  assert capsys.readouterr().out == 'a\\x1b]0;x\\x07\n'


def test_words_of_a_flag_may_be_joined_by_dashes(tmp_path):
  (tmp_path / 'some.flags').write_text('# why\n--max-steps=3\n\n--a-list=x-y,z\n')
  given = ['--do-it', f'--flagfile={tmp_path}/some.flags', '--nodo-it', '--', '--a-b']
  expected = ['--do_it', '--max_steps=3', '--a_list=x-y,z', '--nodo_it', '--', '--a-b']
  assert options.expand(given) == expected
  given[1:2] = ['--flagfile', f'{tmp_path}/some.flags']
  assert options.expand(given) == expected


PRESETS = sorted(path.stem for path in (ROOT / 'metalog_jax/presets').iterdir())


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_found_by_name_and_parse(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  values, _ = options.parse(
    train, 'train', options.expand([f'--flagfile={name}', '--workdir=x'])
  )
  assert values.target_normals.endswith('%')
  (tmp_path / name).write_text('--target_normals=7\n')  # a file goes first
  assert options.expand([f'--flagfile={name}']) == ['--target_normals=7']


def test_a_flagfile_that_is_not_there(metalog):
  missing = metalog('train', '--flagfile=nowhere')
  assert missing.code == 2 and 'nowhere' in missing.err


def test_arguments_that_are_no_flags(metalog):
  refused = metalog('train', 'x')
  assert refused.code == 2 and 'every argument starts with --' in refused.err


def test_a_reader_that_goes_away_ends_the_program_quietly():
  read, write = os.pipe()
  os.close(read)
  try:
    done = start('-m', 'metalog_jax', 'train', '--help', stdout=write)
  finally:
    os.close(write)
  assert (done.returncode, done.stderr) == (0, '')


def test_a_full_disk_behind_the_output_is_an_error():
  with open('/dev/full', 'w') as full:
    done = start('-m', 'metalog_jax', '--help', stdout=full)
  assert done.returncode == 1 and 'No space left' in done.stderr
  assert done.stderr.count('\n') == 1


def test_experiments_are_thin_names_of_the_same_programs():
  names = ('adapt', 'detect', 'prepare', 'simulate', 'train')
  for name in names:
    lines = (ROOT / 'experiments' / f'{name}.py').read_text().splitlines()
    assert len(lines) <= 10 and f"main.program('{name}')" in lines[-1]
  shown = [
    start('-m', *words, '--help', stdout=subprocess.PIPE)
    for words in (('experiments.train',), ('metalog_jax', 'train'))
  ]
  assert [done.returncode for done in shown] == [0, 0]
  assert shown[0].stdout == shown[1].stdout


@pytest.mark.slow
@pytest.mark.parametrize('name', RESEARCH)
def test_programs_of_research_begin_and_end_alike(name):
  shown = start('-m', f'experiments.{name}', '--help', stdout=subprocess.PIPE)
  assert shown.returncode == 0 and '--debug' in shown.stdout, shown.stderr
  wrong = start('-m', f'experiments.{name}', '--nonsense')
  assert wrong.returncode == 2 and 'Traceback' not in wrong.stderr
