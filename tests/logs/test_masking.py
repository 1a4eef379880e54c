import time

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax.logs import formats, general_masks, masking, masksets
from tests import samples

PRESETS = {
  f'{system}-{parser}': maskset
  for system, masks in {
    **{name: form.masks for name, form in formats.FORMATS.items()},
    'custom': general_masks.UNKNOWN,
  }.items()
  for parser, maskset in masks.items()
}
DISTINCT = sorted({maskset.rules: name for name, maskset in PRESETS.items()}.values())
every_preset = pytest.mark.parametrize(
  'maskset', [PRESETS[n] for n in DISTINCT], ids=DISTINCT
)

FRAGMENTS = (
  *'0 1 7 9 a f g Z _ - + . , : / \\ # < > ( ) [ ] { } " ~ = @ % $ * ?'.split(),
  *'blk_ 10.0.0.1 255.255.255.255:60026 0x 0xFF deadbeef CAFEBABE12 1e a1b2c3'.split(),
  *'0a:1b:2c:3d:4e:5f 2005-06-03 15:42:50.675 00:17 T Z Jun Sat 12 KB bytes ms'.split(),
  *'http:// /var/log/x.log C:\\\\x host.example.com:80 a.b.cn user GET "GET'.split(),
  *'job_2005_01 fe80::1 <HOST> <NUM> an12 {a} 1-2-3-4-5 jA9J1 é ١ ʼn \x01 \x1c'.split(
    ' '
  ),
  *('executed cmd "ls"', 'synchronized to ', 'user user ', 'Jun  3 15:42:50 2005'),
  *(' ', '  ', '\t', '\n', '\r', '\v', '\x85', '\u2028'),
)
LINES = st.lists(
  st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12).map(''.join),
  max_size=20,
)


@every_preset
@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(lines=LINES)
def test_equals_drain3_on_any_line(maskset, lines):
  masker = samples.miner(maskset).masker
  assert masking.mask(lines, maskset).to_list() == [masker.mask(x) for x in lines]


@pytest.mark.parametrize(
  'line',
  [
    'user user root',
    'a\x01b_',
    '12\x1c13',
    'é1',
    '١',
    'user user user user',
    '"GET "GET x',
  ],
)
@every_preset
def test_equals_drain3_where_the_engines_differ(maskset, line):
  masker = samples.miner(maskset).masker
  assert masking.mask([line], maskset).to_list() == [masker.mask(line)]


@every_preset
def test_no_line_of_the_samples_differs(data, maskset):
  masker = samples.miner(maskset).masker
  for system in samples.LOGHUB:
    lines, _ = samples.loghub(data, system)
    assert masking.mask(lines, maskset).to_list() == [masker.mask(x) for x in lines]


@pytest.mark.slow
@pytest.mark.parametrize('system', samples.RAW)
@pytest.mark.parametrize('parser', ['default', 'paper', 'custom'])
def test_no_line_of_the_raw_logs_differs(data, system, parser):
  name = 'custom-default' if parser == 'custom' else f'{system}-{parser}'
  lines, masker = samples.raw(data, system), samples.miner(PRESETS[name]).masker
  lines = lines.gather_every(10 if parser == 'custom' else 1)
  expected = pl.Series([masker.mask(line) for line in lines])
  assert (masking.mask(lines, PRESETS[name]) == expected).all()


@pytest.mark.parametrize('system', ['hdfs', 'bgl', 'thunderbird', 'custom'])
def test_presets_run_vectorized(system):
  assert masking.compile_rules(PRESETS[f'{system}-default']) is not None


@pytest.mark.filterwarnings('ignore::FutureWarning')
@pytest.mark.parametrize(
  'pattern',
  [
    r'\d+',
    r'\bx',
    'a++b',
    'a{,2}b',
    '[+--]',
    '[[]',
    r'\sx',
    '(?=x)y',
    'x*',
    '(?<=aa)b',
    '(?<=a|b)c',
    r'(x)\1',
    '(?i)x',
  ],
)
def test_rules_outside_the_dialect_run_in_python(pattern):
  maskset = masksets.MaskSet(((pattern, 'X'),))
  masker = samples.miner(maskset).masker
  lines = ['x1 xx aab aaab bc yx ab 12', '', 'X']
  assert masking.compile_rules(maskset) is None
  assert masking.mask(lines, maskset).to_list() == [masker.mask(x) for x in lines]


def test_masks_may_hold_any_character():
  rules = (('x', '_$1'), (masksets.LEFT + '[0-9]' + masksets.RIGHT, '${1}'))
  maskset = masksets.MaskSet(rules, '_', '$')
  masker, lines = samples.miner(maskset).masker, ['x1 1x_1 _x_ $1 x 1']
  assert masking.compile_rules(maskset) is not None
  assert masking.mask(lines, maskset).to_list() == [masker.mask(x) for x in lines]


def test_lines_keep_their_order_over_slices_and_threads(monkeypatch):
  monkeypatch.setattr(masking, '_SLICE', 3)
  lines = [f'é{n} went to {n}.example.com' for n in range(20)]
  whole = [masking.mask_line(x, PRESETS['custom-default']) for x in lines]
  assert masking.mask(lines, PRESETS['custom-default']).to_list() == whole


def test_nothing_and_missing_lines():
  assert masking.mask([], PRESETS['hdfs-default']).to_list() == []
  assert masking.mask([None, ''], PRESETS['hdfs-default']).to_list() == ['', '']


@pytest.mark.parametrize(
  'line, masked',
  [
    ('GET https://a.b/c?d=1 done', 'GET <URL> done'),
    ('opened C:\\\\Windows\\\\x.dll and /usr/lib/y.so', 'opened <PATH> and <PATH>'),
    ('closed for user root by (uid=0)', 'closed for user root by (uid=<NUM>)'),
    ('took 17 ms, then 00:03:12', 'took <TIME>, then <TIME>'),
    ('sent 1190 bytes (1.16 KB)', 'sent <SIZE>'),
    ('proxy.example.edu.hk:5070 up', '<HOST> up'),
    ('from 10.0.0.1 (a.example.com) at 5', 'from <HOST> at <NUM>'),
    ('from 10.0.0.1 () at 5', 'from <HOST> at <NUM>'),
    ('job_200811092030_0001 on cn142', 'job<ID> on cn<NUM>'),
    ('state 0x1F, mask 1f, id deadbeefcafe', 'state <NUM>, mask <NUM>, id <NUM>'),
    ('instance 9bc36dd9-91c5-4314-898a-47625eb93b09', 'instance <ID>'),
    ('at Sat Jun 11 03:28:22 2005', 'at <TIME>'),
    ('a decade of cafes', 'a decade of cafes'),
    ('org.apache.hadoop.mapreduce.Job', 'org.apache.hadoop.mapreduce.Job'),
  ],
)
def test_what_custom_takes_for_a_variable(line, masked):
  assert masking.mask([line], PRESETS['custom-default']).to_list() == [masked]


@pytest.mark.parametrize(
  'words', 'a.|a/|1,|a|a1|user |executed cmd "|{|ffffff|a@|1 '.split('|')
)
@pytest.mark.parametrize('start', ['', 'user a user b ', '\x01'])
def test_no_line_costs_its_square(words, start):
  """40 kB of these took up to half a minute, and four times as much twice as long."""
  for system, parser in (('thunderbird', 'default'), ('hdfs', 'paper'),
                         ('openstack', 'paper')):  # fmt: skip
    begin = time.monotonic()
    masking.mask(
      [start + words * (40_000 // len(words))], formats.FORMATS[system].masks[parser]
    )
    assert time.monotonic() - begin < 5


def test_what_is_too_long_is_left_out():
  maskset = formats.FORMATS['hdfs'].masks['default']
  word, line = 'x' * masking.MAX_WORD, 'ab ' * masking.MAX_MESSAGE
  found = masking.mask([f'to {word}yy now', line, word], maskset).to_list()
  assert found == [f'to {word} now', line[: masking.MAX_MESSAGE], word]
  assert found[:2] == [masking.mask_line(text, maskset) for text in found[:2]]
