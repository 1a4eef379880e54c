"""Logs of our own making, with what is to be found at known lines."""

import datetime
import json
import random

START = datetime.datetime(2026, 5, 4, 9)
USUAL = (
  ('INFO', 'web', 'GET /api/items/{n} 200 in {m} ms', 10),
  ('INFO', 'shop', 'Basket {n} paid by customer c{m}', 6),
  ('DEBUG', 'cache', 'hit ratio {m}.{d} % over {n} keys', 4),
  ('INFO', 'beat', 'heartbeat ok', 4),
  ('INFO', 'jobs', 'job sync-{word} finished in {m} s', 2),
  ('WARNING', 'web', 'slow request /api/report took {n} ms', 0.4),
)
NAMES = ('ann', 'bruno', 'carol', 'dav', 'erin', 'frank', 'grace', 'heid', 'iv', 'jud')
WORDS = ('north', 'south', 'east', 'west')


class Log:
  """Records at random times, of which some are put in place of others."""

  def __init__(self, seed=0, records=2000, usual=USUAL, gap=2.0):
    self.random = random.Random(seed)
    self.time, self.gap, self.usual = START, gap, usual
    self.records = []
    for _ in range(records):
      self.usually()

  def usually(self):
    weights = [item[3] for item in self.usual]
    self.say(*self.random.choices(self.usual, weights)[0][:3])

  def say(self, level, logger, text, gap=None):
    self.time += datetime.timedelta(
      seconds=self.random.expovariate(1 / self.gap) if gap is None else gap
    )
    self.records.append((self.time, level, logger, self.fill(text)))

  def fill(self, text):
    draw = self.random.randint
    return text.format(
      n=draw(1, 99999), m=draw(10, 99), d=draw(0, 9), word=self.random.choice(WORDS)
    )

  def put(self, row, level, logger, text):
    """In place of the record at a row."""
    self.records[row] = (self.records[row][0], level, logger, self.fill(text))

  def outage(self, first, last):
    """Connections refused, retries and failed orders between two rows."""
    texts = (
      ('ERROR', 'db', 'connect to db{m}:5432 failed: connection refused'),
      ('ERROR', 'shop', 'Basket {n} not paid: no database'),
      ('WARNING', 'db', 'retry {d} in {m} s'),
    )
    for row in range(first, last):
      self.put(row, *self.random.choice(texts))

  def lines(self, form='app'):
    return [FORMS[form](*record) for record in self.records]

  def write(self, path, form='app'):
    path.write_text('\n'.join(self.lines(form)) + '\n')
    return path


def _app(time, level, logger, text):
  stamp = f'{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03d}'
  return f'{stamp} {level:8} [main] app.{logger}: {text}'


def _json(time, level, logger, text):
  values = {'ts': time.isoformat(timespec='milliseconds') + 'Z', 'level': level.lower()}
  return json.dumps(values | {'logger': logger, 'msg': text})


def _plain(time, level, logger, text):
  return f'{level} {logger}: {text}'


FORMS = {'app': _app, 'json': _json, 'plain': _plain}


def access(seed=0, records=3000, broken=(1500, 1620)):
  """An access log; between two rows the upstream is down."""
  draw = random.Random(seed)
  time, lines = START, []
  for row in range(records):
    time += datetime.timedelta(seconds=draw.expovariate(2))
    status = 200 if draw.random() < 0.96 else draw.choice((304, 404))
    if broken[0] <= row < broken[1]:
      status = 502
    path = draw.choice(('/', '/cart', '/item/{}', '/static/app.css', '/api/v1/user/{}'))
    lines.append(
      f'10.{draw.randint(0, 3)}.{draw.randint(0, 255)}.{draw.randint(1, 254)} - - '
      f'[{time:%d/%b/%Y:%H:%M:%S} +0000] "GET {path.format(draw.randint(1, 9999))} '
      f'HTTP/1.1" {status} {draw.randint(100, 90000)} "-" "Mozilla/5.0"'
    )
  return lines
