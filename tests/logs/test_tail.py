"""Files that are copied and truncated, before all of them was read."""

import os
import shutil
import socket

import pytest

from metalog_jax.logs import streams, tail


def read(followed):
  """Messages of the records that have come."""
  said = []
  for frame in followed.poll(last=True):
    said += frame['message'].to_list()
    followed.count(frame)
  return said


def lines(first, last):
  return [
    f'2026-05-04 09:{i // 60:02}:{i % 60:02} INFO web: step {i}\n'
    for i in range(first, last)
  ]


@pytest.mark.parametrize('killed', [False, True])
@pytest.mark.parametrize('seen', [0, 30])
def test_copied_and_truncated(tmp_path, monkeypatch, killed, seen):
  """What was not read stands in the copy; with and without a new process."""
  monkeypatch.setattr(tail, 'PATIENCE', 0.0)
  path, options = tmp_path / 'app.log', streams.Options()
  path.write_text(''.join(lines(0, seen)))
  os.utime(path, ns=(1, 1))
  follower = tail.Tail(str(path), 0, options)
  follower.begin()
  said = read(follower) if seen else []
  position = follower.position
  with open(path, 'a') as file:
    file.writelines(lines(seen, 50))
  for turn in (1, 2):  # a second time, while nobody looks
    shutil.copy(path, f'{path}.{turn}')
    os.utime(f'{path}.{turn}', ns=(turn + 1, turn + 1))
    os.truncate(path, 0)
    with open(path, 'a') as file:
      file.writelines(lines(50 * turn, 50 * turn + 50))
  if killed or not seen:
    follower = tail.Tail(str(path), 0, options)
    follower.go_on(position)
  said += read(follower)
  assert [int(text.split()[-1]) for text in said] == list(range(150))
  assert not any('lost' in note for note in follower.notes)


def test_a_slow_log_is_not_kept_waiting_for_a_sample(tmp_path, monkeypatch):
  """It never rests, and a sample would take it minutes."""
  now = [0.0]
  monkeypatch.setattr(tail.time, 'monotonic', lambda: now[0])
  path, came = tmp_path / 'app.log', []
  path.touch()
  follower = tail.Tail(str(path), 0, streams.Options())
  for number in range(40):
    now[0] += 0.1
    with open(path, 'a') as file:
      file.writelines(lines(number, number + 1))
    came += [len(frame) for frame in follower.poll()]
  assert sum(came) >= 38 and len(came) > 15


@pytest.mark.parametrize('turns', [[0, 1, 2], [1, 0], [1, 1, 0, 0], [0, 0], [1, 1]])
@pytest.mark.parametrize('killed', [False, True])
def test_several_turns_between_two_looks(tmp_path, monkeypatch, killed, turns):
  """Renamed (0), copied and truncated (1), and a file of another name that changes."""
  monkeypatch.setattr(tail, 'PATIENCE', 0.0)
  path, options = tmp_path / 'app.log', streams.Options()
  path.write_text(''.join(lines(0, 20)))
  os.utime(path, ns=(1, 1))
  follower = tail.Tail(str(path), 0, options)
  said, clock = read(follower), 2
  position = follower.position
  for i, turn in enumerate(turns):
    other = tmp_path / f'app.log.{i + 1}'
    if turn:
      shutil.copy(path, other)
      os.truncate(path, 0)
    else:
      path.rename(other)
    os.utime(other, ns=(clock, clock))
    with open(path, 'a') as file:
      file.writelines(lines(20 * i + 20, 20 * i + 40))
    os.utime(path, ns=(clock + 1, clock + 1))
    (tmp_path / 'app.log.position').write_text('step: none')
    os.utime(tmp_path / 'app.log.position', ns=(clock + 1, clock + 1))
    clock += 2
  if killed:
    follower = tail.Tail(str(path), 0, options)
    follower.go_on(position)
  said += read(follower)
  assert said == [f'step {i}' for i in range(20 * len(turns) + 20)]


@pytest.fixture(name='followed')
def fixture_followed(tmp_path, monkeypatch):
  """A log's path, its follower, and the 20 messages that it read of it."""
  monkeypatch.setattr(tail, 'PATIENCE', 0.0)
  path = tmp_path / 'app.log'
  path.write_text(''.join(lines(0, 20)))
  os.utime(path, ns=(1, 1))
  follower = tail.Tail(str(path), 0, streams.Options())
  return path, follower, read(follower)


def test_what_was_compressed_before_it_was_read_is_named(tmp_path, followed):
  path, follower, _ = followed
  path.rename(tmp_path / 'app.log.2')
  for name, when in (('app.log.1.gz', 2), ('app.log.3.gz', 1), ('app.log.md5.gz', 2)):
    (tmp_path / name).write_bytes(b'')
    os.utime(tmp_path / name, ns=(when, when))
  path.write_text(''.join(lines(20, 40)))
  assert read(follower)[-1] == 'step 39'
  (note,) = follower.notes
  assert note.startswith(f'{path}.1.gz changed after') and 'not read' in note


BESIDE = {
  '.d': os.mkdir,
  '.fifo': os.mkfifo,
  '.sock': lambda path: socket.socket(socket.AF_UNIX).bind(path),
  '.1.md5': lambda path: os.symlink('sums', path),
  '.0.lck': lambda path: os.symlink('sums', path),
  '.1.zip': lambda path: os.symlink('sums', path),
}


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('name', BESIDE)
def test_what_is_no_log_beside_one(tmp_path, monkeypatch, name, turned, followed):
  """Folders, pipes, sockets, sums, locks and archives stay unread; none ends it."""
  monkeypatch.chdir(tmp_path)  # a socket's path is short
  path, follower, said = followed
  (tmp_path / 'sums').write_text('d41d8cd98f00b204e9800998ecf8427e  app.log.1\n')
  os.utime('sums', ns=(3, 3))
  BESIDE[name](f'app.log{name}')
  if turned:
    path.rename('app.log.2')
  else:
    os.truncate(path, 0)
  with open(path, 'a') as file:
    file.writelines(lines(20, 30))
  said += read(follower)
  assert said == [f'step {i}' for i in range(30)]


def test_what_is_left_is_read_where_the_last_file_is_gone(tmp_path, followed):
  """Two turns while nobody looked, and the first of them was compressed."""
  path, follower, said = followed
  position = follower.position
  (tmp_path / 'app.log.1').write_text(''.join(lines(20, 40)))
  (tmp_path / 'new').write_text(''.join(lines(40, 60)))
  (tmp_path / 'new').rename(path)
  follower = tail.Tail(str(path), 0, streams.Options())
  follower.go_on(position)
  said += read(follower)
  assert said == [f'step {i}' for i in range(60)]
  assert 'app.log.1 and this one are read' in follower.notes[0]


@pytest.mark.parametrize('killed', [False, True])
def test_who_writes_is_late_to_go_over(tmp_path, monkeypatch, killed):
  """logrotate makes the new file before it says so to a server."""
  monkeypatch.setattr(tail, 'PATIENCE', 0.0)
  path, other = tmp_path / 'app.log', tmp_path / 'app-1.log'
  path.write_text(''.join(lines(0, 20)))
  follower = tail.Tail(str(path), 0, streams.Options())
  said = read(follower)
  path.rename(other)
  path.touch()
  said += read(follower)
  if killed:
    position = follower.position
    follower = tail.Tail(str(path), 0, streams.Options())
    follower.go_on(position)
  with open(other, 'a') as file:
    file.writelines(lines(20, 30))
  said += read(follower)
  follower.look()
  assert follower.file == str(other)
  path.write_text(''.join(lines(30, 40)))
  said += read(follower)
  assert follower.file == str(path)
  assert said == [f'step {i}' for i in range(40)]


@pytest.mark.parametrize('killed', [False, True])
def test_a_file_that_begins_alike_is_no_copy(tmp_path, monkeypatch, killed):
  """A server that prints a banner, and begins its file anew when it is started."""
  monkeypatch.setattr(tail, 'PATIENCE', 0.0)
  path, other, banner = tmp_path / 'app.log', tmp_path / 'app.log.1', '=' * 300 + '\n'
  other.write_text(banner + ''.join(lines(500, 600)))
  os.utime(other, ns=(1, 1))
  path.write_text(banner + ''.join(lines(0, 30)))
  follower = tail.Tail(str(path), 0, streams.Options())
  said = read(follower)
  position = follower.position
  path.write_text(banner + ''.join(lines(30, 35)))
  if killed:
    follower = tail.Tail(str(path), 0, streams.Options())
    follower.go_on(position)
  said += read(follower)
  assert [x for x in said if 'step' in x] == [f'step {i}' for i in range(35)]


@pytest.mark.parametrize('form', [None, streams.Options()])
def test_a_line_without_an_end_is_cut(tmp_path, form):
  """It was kept whole, and copied once for each piece that came."""
  path = tmp_path / 'app.log'
  path.write_text(''.join(lines(0, 3)))
  follower = tail.Tail(str(path), 0, form)
  frames = [*follower.poll(last=True)]
  with open(path, 'ab') as file:
    for _ in range(4):
      file.write(b'x' * 1_000_000)
      file.flush()
      frames += follower.poll(last=True)
    assert len(follower._rest) <= tail.files.MAX_LINE + 1
    file.write(b'\n' + ''.join(lines(3, 6)).encode())
  frames += follower.poll(last=True)
  assert [n for frame in frames for n in frame['.line']][-3:] == [5, 6, 7]
  for frame in frames:
    follower.count(frame)
  assert follower.position['size'] == path.stat().st_size
  assert follower.entry.bytes == path.stat().st_size


@pytest.mark.parametrize('refused', ['app.log', 'app.log.1'])
def test_a_file_that_may_not_be_read_is_told_and_holds_up_nothing(
  tmp_path, monkeypatch, refused
):
  path, opened = tmp_path / 'app.log', os.open

  def refuse(name, *how, **names):
    if os.path.basename(name) == refused:
      raise PermissionError(13, 'Permission denied')
    return opened(name, *how, **names)

  path.write_text(''.join(lines(0, 3)))
  monkeypatch.setattr(os, 'open', refuse)
  follower = tail.Tail(str(path), 0, streams.Options())
  said = read(follower) + read(follower)
  for number in (2, 1):
    path.rename(f'{path}.{number}')
    path.write_text(''.join(lines(10 * number, 10 * number + 3)))
  said += read(follower) + read(follower) + read(follower)
  told = [note for note in follower.notes if 'cannot be read: Permission' in note]
  assert told == [f'{tmp_path / refused} cannot be read: Permission denied']
  if refused == 'app.log':
    monkeypatch.setattr(os, 'open', opened)
    said += read(follower)
  assert said[-1].endswith(' 12') and len(said) == (6 if refused == 'app.log.1' else 3)
