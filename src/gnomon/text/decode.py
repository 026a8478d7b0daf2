"""Decodes bytes to text in any encoding, as browsers do where nothing says which it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path

from gnomon.core.errors import UnreadableFile
from gnomon.text.settings import ProblemCallback

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\r\f\v\x1b\x08\x00")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HIGH = bytes(range(0x80, 0x100))
# Two letters at least, in any of the encodings; quotation marks and dashes of Windows are none.
_WORD = re.compile(rb"[A-Za-z\x81-\x84\x86-\x90\x98-\xff]{2,}")
_SAMPLE_BYTES = 65_536
_BLOCK_BYTES = 1_000_000
_CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
_MOSTLY = 20
_FEW = 0.03


def decode(data: bytes, path: Path, report: ProblemCallback, *, declared: str = "") -> str:
    """The text of a file, newlines as `\\n`, without NUL.

    By its byte order mark, else UTF-8, else the encoding that the file declares, else the one that its
    bytes look like, which is reported. Raises UnreadableFile for bytes that are no text.
    """
    encoding = encoding_of(data, path)
    if encoding not in _CERTAIN and (known := _codec(declared)):
        encoding = known
    else:
        report_encoding(encoding, path, report)
    text = data.decode(encoding, errors="replace")
    if encoding == "utf-8" and "\ufffd" in text and "\ufffd".encode() not in data:
        report(f"{path}: not wholly UTF-8; bytes that are none stand as \ufffd")
    return one_newline(clean(text))


def report_encoding(encoding: str, path: Path, report: ProblemCallback) -> None:
    """Report an encoding that is only a guess."""
    if encoding not in _CERTAIN:
        report(f"{path}: not UTF-8; read as {encoding}, which is a guess")


def encoding_of(data: bytes, path: Path) -> str:
    """The name of the encoding of bytes. Raises UnreadableFile for bytes that are no text."""
    return _encoding((data,), path)


def encoding_of_file(path: Path) -> str:
    """The same for a file that need not fit in memory: all of it is looked at, a block at a time."""
    with path.open("rb") as file:
        return _encoding(iter(lambda: file.read(_BLOCK_BYTES), b""), path)


def _encoding(blocks: Iterable[bytes], path: Path) -> str:
    """The encoding of a file's bytes: a byte that tells may come late in it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    before = b""
    for number, block in enumerate(blocks):
        if number == 0 and (certain := _marked(block, path)):
            return certain
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            return _guess((before + block)[-2 * _BLOCK_BYTES :])
        before = block[-_SAMPLE_BYTES:]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _guess(before)
    return "utf-8"


def _marked(beginning: bytes, path: Path) -> str:
    """The encoding that the first bytes name by their mark or their NULs, "" where they do not."""
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    wide = _utf16_without_mark(beginning[:_SAMPLE_BYTES])
    if not wide and is_binary(beginning):
        raise UnreadableFile(
            f"{path} holds binary data, not text",
            expected="text in UTF-8 or another encoding",
            hint="leave the file out with an exclude pattern, or convert it to text",
        )
    return wide


def is_binary(data: bytes) -> bool:
    """Whether bytes hold more NUL or control characters than any text in a byte-wise encoding."""
    if data.startswith(tuple(mark for mark, _ in _MARKS)) or _utf16_without_mark(data[:_SAMPLE_BYTES]):
        return False
    if data.startswith((b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"\x7fELF")):
        return True
    # A stray NUL happens in text; one in a thousand bytes does not.
    return data.count(0) * 1000 > len(data) or (len(data) - len(data.translate(None, _CONTROL))) * 50 > len(data)


def clean(text: str) -> str:
    """The text without NUL, and with U+FFFD for lone surrogates, which no encoder or database takes."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def one_newline(text: str) -> str:
    """The text with `\\r\\n` and `\\r` as `\\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _codec(label: str) -> str:
    """Python's name for an encoding as pages declare it, "" for an unknown one.

    Labels mean what they mean to browsers (https://encoding.spec.whatwg.org): `iso-8859-1` is Windows-1252, and
    UTF-16 declared in ASCII is UTF-8.
    """
    from webencodings import lookup

    found = lookup(label)
    if found is None:
        return ""
    known = {"gbk": "gb18030", "utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "cp1252"}
    name = known.get(found.name, found.codec_info.name)
    return "cp1252" if name == "replacement" else name


def _utf16_without_mark(sample: bytes) -> str:
    """Western text in UTF-16 has a NUL in nearly every second byte, and none in the others."""
    sample = sample[: len(sample) & ~1]
    if len(sample) < 8:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > half * 0.7 and even < half * 0.01:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.7 and odd < half * 0.01 else ""


def _guess(sample: bytes) -> str:
    """UTF-8 where most of what is not ASCII is UTF-8 all the same, else what Firefox's detector says."""
    from chardetng_py import EncodingDetector

    lossy = sample.decode("utf-8", errors="replace")
    wrong = lossy.count("\ufffd")
    if sum(character > "\x7f" for character in lossy) - wrong > _MOSTLY * wrong:
        return "utf-8"
    words = _WORD.findall(sample)
    high = sum(len(word) - len(word.translate(None, _HIGH)) for word in words)
    detector = EncodingDetector()
    detector.feed(sample, last=True)
    # Languages of another Latin alphabet use its letters often; where they are few, Windows-1252 is likelier. That is
    # what the detector assumes of a site in such a country.
    western = high < _FEW * sum(map(len, words))
    return _codec(detector.guess(tld=b"us" if western else None, allow_utf8=False)) or "cp1252"
