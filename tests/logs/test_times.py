"""Times as people write them, in UTC."""

import datetime
import random
import re

import numpy as np
import polars as pl
import pytest

from metalog_jax.logs import times

ANCHOR = int(np.datetime64('2026-01-10T12:00', 'us').astype(np.int64))


def read(texts, anchor=ANCHOR, **options):
  reader = times.Reader(anchor, **options)
  return [str(t) for t in reader.read(pl.Series(texts)).view('datetime64[us]')]


SAME = '2026-01-02T15:04:05.000000'
WRITTEN = [
  '2026-01-02T15:04:05Z', '2026-01-02 15:04:05', '2026-01-02T17:04:05+02:00',
  '2026-01-02T17:04:05+0200', '2026-01-02 17:04:05 +0200', '2026-01-02 17:04:05 +02',
  '2026-01-02 10:04:05 EST', '2026-01-02 15:04:05 UTC', '2026-01-02T15:04:05.000Z',
  '2026-01-02 15:04:05,000', '2026-01-02T15:04:05.000000000Z', '2026/01/02 15:04:05',
  '2026.01.02 15:04:05', '2026-1-2 15:04:05', '2026-01-02_15:04:05',
  '2026-01-02 03:04:05 PM', '2026-01-02T20:34:05+05:30', '2026-01-02T07:04:05-08:00',
  '02/Jan/2026:15:04:05 +0000', '02/Jan/2026:16:04:05 +0100', '02-Jan-2026 15:04:05',
  '2 Jan 2026 15:04:05', 'Fri, 02 Jan 2026 15:04:05 GMT', 'Jan 2, 2026 3:04:05 PM',
  'Fri Jan  2 15:04:05 2026', 'Fri Jan 2 15:04:05 UTC 2026', 'Jan  2 15:04:05',
  'Jan 2 2026 15:04:05', '20260102T150405Z', '20260102 150405', '20260102-15:04:05',
  '260102 150405', '260102 15:04:05', '01/02/2026 15:04:05', '1/2/2026 3:04:05 PM',
  '02.01.2026 15:04:05', '26/01/02 15:04:05', '01-02 15:04:05.000', '1767366245',
  '1767366245.000', '1767366245000', '1767366245000000', '1767366245000000000',
  '2026-01-02-15.04.05.000000',
]  # fmt: skip

APART = [  # date and clock, or in the languages of others
  '2026-01-02\t15:04:05', '2026-01-02 | 15:04:05,000', '2026-01-02;15:04:05',
  '2026-01-02,15:04:05', '2026-01-02   15:04:05', '2026-01-02 - 15:04:05',
  '2026-01-02-15:04:05', '2026-01-02] [15:04:05', '2026-01-02","15:04:05',
  "2026-01-02' '15:04:05", '2026-01-02 at 15:04:05', '2026-01-02 @ 15:04:05',
  '2026-01-02)(15:04:05', '2026-01-02_15-04-05', '2026/01/02(Fri) 15:04:05',
  'Fri 2026-01-02 15:04:05 UTC', '2026-01-02 Friday 15:04:05', '2026-Jan-02 15:04:05',
  '2026 January 2 15:04:05', 'Friday, January 2, 2026 3:04:05 p.m.',
  '2 January 2026\t15:04:05', 'January 2, 2026 at 3:04:05\u202fPM', 'Jan 2, 15:04:05',
  'Jan  2\t15:04:05', '2 Jan 15:04:05', '1/2/2026, 3:04:05 PM', '1/2/2026\t15:04:05',
  '02.01.2026 | 15:04:05', '260102\t150405', '20260102 | 150405', '20260102,15:04:05',
  '15:04:05 2026-01-02', '15:04:05,000 | 2026/01/02', '15:04:05 02 Jan 2026',
  '15:04:05 01/02/2026', '2026-01-02 15:04:05:000', '2026-01-02 15:04:05 (UTC)',
  '2026-01-02 17:04:05 UTC+2', '2026-01-02 20:34:05 GMT+0530',
  'Fri Jan 02 2026 16:04:05 GMT+0100', '2026-01-02T16:04:05+01:00[Europe/Paris]',
  '2026年01月02日 15:04:05', '2026年1月2日(金) 15:04:05',
  '2026年1月2日 星期五 15:04:05',
  '2026年01月02日\t15时04分05秒', '2026年1月2日 下午3:04:05',
  '2026년 1월 2일 15:04:05.000',
  '2026년 1월 2일 금요일 오후 3:04:05', '2026년 01월 02일 15시 04분 05초',
  '2026. 1. 2. 오후 3:04:05',
]  # fmt: skip


@pytest.mark.parametrize('text', APART)
def test_date_and_clock_apart(text):
  assert read([text] * 3 + ['no time'] + [text]) == [SAME] * 3 + ['NaT', SAME]
  for line in (f'{text} it is ready', f'[{text}] INFO up', f'INFO {text}\tup'):
    place = times.find(line)
    assert read([line[place.start : place.end]]) == [SAME]
    learned = pl.Series([line]).str.extract(times.ascii_only(
      f'({times.pattern(place.shape)})'))  # fmt: skip
    assert read(learned.to_list()) == [SAME]


@pytest.mark.parametrize('text', WRITTEN)
def test_one_time_in_every_writing(text):
  assert read([text]) == [SAME]
  assert read([text] * 3 + ['no time'] + [text]) == [SAME] * 3 + ['NaT', SAME]


def test_all_writings_in_one_column():
  texts = [text for text in WRITTEN if not text[:6].count('/') == 2]
  mixed = texts * 2
  random.Random(1).shuffle(mixed)
  clear = [text for text in mixed if '.01.2026' not in text and '/2026 ' not in text]
  assert set(read(clear)) == {SAME}


@pytest.mark.parametrize('text', [
  '', 'x', '2026-13-01 00:00:00', '2026-02-30 00:00:00', '2026-01-01 24:00:00',
  '2026-01-01 00:60:00', 'Foo  2 15:04:05', '0000-01-01 00:00:00x',
  '99/99/9999 1:00:00', '12345', 'é2026-01-01 00:00:00',
])  # fmt: skip
def test_what_is_no_time_is_none(text):
  assert read([text]) == ['NaT']
  assert read(['2026-01-02 15:04:05', text])[1] == 'NaT'


def test_fractions():
  texts = [f'2026-01-02T15:04:05.{"123456789"[:n]}Z' for n in range(1, 10)]
  micro = ['100000', '120000', '123000', '123400', '123450', *['123456'] * 4]
  assert read(texts) == [f'2026-01-02T15:04:05.{m}' for m in micro]


def test_every_minute_of_leap_years_is_python_s():
  rng = random.Random(0)
  moments = [datetime.datetime(1999, 12, 31) + datetime.timedelta(
    seconds=rng.randrange(40 * 366 * 86400)) for _ in range(3000)]  # fmt: skip
  for form in ('%Y-%m-%d %H:%M:%S', '%d/%b/%Y:%H:%M:%S', '%a %b %d %H:%M:%S %Y'):
    texts = [moment.strftime(form) for moment in moments]
    assert read(texts) == [moment.isoformat() + '.000000' for moment in moments]


def test_a_year_is_inferred_also_over_new_year():
  texts = ['Dec 30 23:00:00', 'Dec 31 23:59:59', 'Jan  1 00:00:01', 'Dec 31 23:59:58',
           'Jan  2 00:00:00']  # fmt: skip
  years = [time[:10] for time in read(texts)]
  assert years == ['2025-12-30', '2025-12-31', '2026-01-01', '2025-12-31', '2026-01-02']
  assert read(['Jan  9 00:00:00'])[0][:4] == '2026'
  assert read(['Feb 29 00:00:00'], anchor=0)[0] == 'NaT'  # 1969 had none


def test_the_year_goes_on_in_the_next_block():
  reader = times.Reader(ANCHOR)
  days = []
  for text in ('Dec 31 23:59:59', 'Jan  1 00:00:01', 'Jan  1 00:00:02'):
    days += reader.read(pl.Series([text])).view('datetime64[us]').tolist()
  assert [day.year for day in days] == [2025, 2026, 2026]


def test_times_of_day_go_over_midnight():
  texts = ['23:59:58', '23:59:59', '00:00:01', '23:59:59.5', '00:00:02', '12:00:00',
           '23:00:00', '01:00:00', '09:00:00', '08:30:00', '23:30:00', '18:00:00',
           '08:00:00']  # fmt: skip
  days = [time[8:10] for time in read(texts)]
  assert days == ['09', '09', '10', '09', *['10'] * 3, *['11'] * 4, '12', '13']


@pytest.mark.parametrize('texts,first', [
  (['03/04/2026 10:00:00', '13/04/2026 10:00:00'], '2026-04-03'),
  (['03/04/2026 10:00:00', '03/14/2026 10:00:00'], '2026-03-04'),
  (['03/04/2026 10:00:00', '04/04/2026 10:00:00'], '2026-04-03'),
  (['03/04/2026 10:00:00', '03/05/2026 10:00:00'], '2026-03-04'),
  (['3/4/2026 10:00:00 AM'], '2026-03-04'),
  (['03.04.2026 10:00:00'], '2026-04-03'),
  (['17/06/09 20:10:40', '17/06/10 20:10:40'], '2017-06-09'),
])  # fmt: skip
def test_days_and_months_are_told_apart_over_the_file(texts, first):
  assert read(texts)[0][:10] == first


def test_a_column_of_one_writing_is_read_as_arrays(monkeypatch):
  """Not text by text: that is what makes it fast."""
  calls = []
  match = times._read_text
  monkeypatch.setattr(times, '_read_text', lambda text: calls.append(1) or match(text))
  texts = [
    f'2026-01-02 15:{i // 60 % 60:02}:{i % 60:02},{i % 1000:03}' for i in range(10**4)
  ]
  assert 'NaT' not in read(texts)
  assert len(calls) == 1
  letters = lambda text: re.sub('[A-Za-z]', 'a', text)
  days = [
    f'{moment:%A, %B %d %Y %H:%M:%S}'
    for moment in (
      datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=i) for i in range(8000)
    )
  ]
  assert 'NaT' not in read([d for d in days if letters(d) == letters(days[0])])
  assert len(calls) == 2
  assert 'NaT' not in read([f'2026年01月02日 15:04:{i % 60:02}' for i in range(10**4)])
  assert len(calls) == 3


@pytest.mark.parametrize('line,shape,start', [
  ('2026-01-02 15:04:05 x', 'iso', 0), ('[Fri Jan 02 15:04:05 2026] x', 'ctime', 1),
  ('host 2026-01-02T15:04:05Z x', 'iso', 5), ('1767366245.123 x', 'epoch', 0),
  ('at 10.0.0.1:15:04:05', '', 0), ('v2026-01-02 15:04:05', '', 0), ('x' * 99, '', 0),
  ('x' * 61 + ' 2026-01-02 15:04:05', '', 0),
])  # fmt: skip
def test_find(line, shape, start):
  place = times.find(line)
  assert (place.shape, place.start) == (shape, start) if shape else place is None
