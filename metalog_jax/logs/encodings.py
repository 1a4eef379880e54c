"""The encoding of a text file: by its mark, UTF-8, or the likeliest that fits."""

import codecs
import collections
import re

from metalog_jax import errors

_MARKS = (  # longest first: UTF-32's little-endian mark begins with UTF-16's
  (codecs.BOM_UTF32_LE, 'utf-32'),
  (codecs.BOM_UTF32_BE, 'utf-32'),
  (codecs.BOM_UTF8, 'utf-8-sig'),
  (codecs.BOM_UTF16_LE, 'utf-16'),
  (codecs.BOM_UTF16_BE, 'utf-16'),
)
CANDIDATES = ('gb18030', 'shift_jis', 'euc_jp', 'euc_kr', 'big5', 'cp1251', 'koi8_r')


def check(name: str) -> str:
  """The codec's name; UserError where Python has none, or it is none of text."""
  try:
    codecs.lookup(name)
    ''.encode(name)
    return name
  except (LookupError, UnicodeError):
    raise errors.UserError(
      f'--encoding={name}: no such encoding; give auto, utf-8, gb18030, cp1252 ...'
    ) from None


def detect(sample: bytes) -> str:
  """The encoding of a file that begins so; 'binary' where it is no text.

  UTF-16 without a mark is known by its zero bytes. Where UTF-8 fails, every East
  Asian encoding that reads all of the sample is scored by how much of what is not ASCII
  is made of that language's common characters; cp1252 reads the rest.
  """
  for mark, name in _MARKS:
    if sample.startswith(mark):
      return name
  even, odd = sample[::2].count(0), sample[1::2].count(0)
  half = max(len(sample) // 2, 1)
  if odd > 0.4 * half and even < 0.1 * half:
    return 'utf-16-le'
  if even > 0.4 * half and odd < 0.1 * half:
    return 'utf-16-be'
  if _is_binary(sample):
    return 'binary'
  runs = re.findall(rb'[\x80-\xff]+', sample)
  high = sum(map(len, runs))
  if not high or _decodes(sample, 'utf-8'):
    return 'utf-8'
  broken = codecs.decode(sample, 'utf-8', 'replace').count('\ufffd')
  if broken < 0.1 * high:
    return 'utf-8'  # damaged in places: those bytes are escaped
  scores = {name: _likelihood(sample, name) for name in CANDIDATES}
  within = len(re.findall(rb'[A-Za-z][\x80-\xff]{1,3}(?=[A-Za-z])', sample))
  if high < 2 * len(runs) or 2 * within > len(runs):  # accents between letters
    scores = {'shift_jis': scores['shift_jis']}
  best = max(scores, key=scores.__getitem__)
  return best if scores[best] > 0.5 else 'cp1252'


def _is_binary(sample: bytes) -> bool:
  controls = len(re.findall(rb'[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]', sample))
  zeros = len(re.sub(rb'\0{64,}', b'', sample).split(b'\0')) - 1  # a crash leaves runs
  if sample.count(0) > 0.9 * len(sample) > 0:
    return True
  return controls + zeros > 0.1 * max(len(sample), 1) or zeros > 0.3 * len(sample)


def _decodes(sample: bytes, name: str) -> str:
  """The text, but for a last character that is cut; '' where a byte does not fit."""
  try:
    return codecs.getincrementaldecoder(name)('strict').decode(sample)
  except UnicodeError:
    return ''


def _likelihood(sample: bytes, name: str) -> float:
  """The share of characters beyond ASCII that texts in that encoding often have."""
  text = _decodes(sample, name)
  beyond = re.sub(r'[\x00-\x7f]+', '', text)
  if not beyond:
    return 0.0
  counts = collections.Counter(map(_script, beyond))
  total = len(beyond)
  kana, hangul = counts['kana'] / total, counts['hangul'] / total
  common = counts['common'] / total
  other = 1 - (counts['han'] + counts['common'] + counts['punctuation']) / total
  if name in ('shift_jis', 'euc_jp'):
    return kana + 0.6 * common if kana > 0.15 else 0.3 * common
  if name in ('cp1251', 'koi8_r'):  # small letters, as both write letters at all bytes
    return counts['cyrillic'] / total - 0.1
  if name == 'euc_kr':
    return hangul if hangul > 0.5 else 0.0
  return common + 0.55 * (counts['han'] + counts['punctuation']) / total - other


# The two hundred characters that Chinese software writes most, in both scripts.
_COMMON = frozenset(
  '一万三上下不与且世业东两个中为主么义之也书了争事二于五些交产人什今从他代以们件任'
  '会传伺但位住体何作你使來便保信個們候做停傳像儿先光克入內全兩公共关其内再军决几出'
  '分切则初別利别到制則前力功加务动動務化北区區十南即却卻原去又及反发取受变口只可司'
  '各合同名后向听启告员命和品响問啟器四回因国國在地场基報場声处外多大天太失头女好如'
  '始子存学學它安完定实家實对导将將對導小少尔就展山工己已市师带師帶常平年并幾库应度'
  '庫建开异式张張強强当录形很後得從德心必思性总情想意感憶應成我或战戰户所手才打把报'
  '拉指据接提據放政敗教数數文料斯新方无日时明是時更書最會月有服望期本术机权条来東果'
  '样格案條業樣機檔權次止正此死比民气氣水求沒没治法活海清点為無然爭爾物特王现現理生'
  '產用由电界異當登發白的盘目直相看真眼着知确磁社神种科程種空立第等管类系結給統經網'
  '線總线经结给络统网置美義老者而聲聽能自至色萬處行術表被裡西要見規覺觀见观规觉解計'
  '記設話該認誤說論識警變讓计认让记许论设识话该误说请象資败资走起超路身軍载边达过运'
  '还这进连這通連進逾運過道達還邊那部都配里重量金錯错長长門開間门问间队院隊难難電非'
  '面領頭題類领题马體高麼'
)


def _script(character: str) -> str:
  if character in _COMMON:
    return 'common'
  if '\u3040' <= character <= '\u30ff':
    return 'kana'
  if '\uac00' <= character <= '\ud7a3':
    return 'hangul'
  if '\u0430' <= character <= '\u044f':
    return 'cyrillic'
  if '\u4e00' <= character <= '\u9fff':
    return 'han'
  if '\u3000' <= character <= '\u303f' or '\uff00' <= character <= '\uff60':
    return 'punctuation'
  return 'other'


class Transcoder:
  """Bytes of a file to UTF-8 bytes, in pieces; what cannot be read is escaped."""

  def __init__(self, encoding: str):
    self._plain = encoding in ('utf-8', 'utf-8-sig')
    self._decoder = codecs.getincrementaldecoder(encoding)('backslashreplace')
    self._mark = encoding == 'utf-8-sig'

  def feed(self, data: bytes, last: bool = False) -> bytes:
    if self._plain:
      if self._mark and data:
        self._mark, data = False, data.removeprefix(codecs.BOM_UTF8)
      return data
    return self._decoder.decode(data, last).encode('utf-8', 'backslashreplace')
