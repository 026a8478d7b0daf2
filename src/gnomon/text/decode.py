"""Decodes bytes to text in any encoding."""

from __future__ import annotations

import codecs
import re
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
_SAMPLE_BYTES = 65_536


def decode(data: bytes, path: Path, report: ProblemCallback, *, declared: str = "") -> str:
    """The text of a file, newlines as `\\n`, without NUL.

    By its byte order mark, else UTF-8, else the encoding that the file declares, else the one that its
    bytes look like, which is reported. Raises UnreadableFile for bytes that are no text.
    """
    encoding = encoding_of(data, path)
    guessed = encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    if guessed and _known(declared):
        encoding, guessed = declared, False
    text = data.decode(encoding, errors="replace")
    if guessed:
        report(f"{path}: not UTF-8; read as {encoding}, which is a guess")
    return one_newline(clean(text))


def encoding_of(data: bytes, path: Path, *, whole: bool = True) -> str:
    """The name of the encoding of bytes, or of a file's beginning if not `whole`.

    Raises UnreadableFile for bytes that are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    wide = _utf16_without_mark(data[:_SAMPLE_BYTES])
    if wide:
        return wide
    if is_binary(data):
        raise UnreadableFile(
            f"{path} holds binary data, not text",
            expected="text in UTF-8 or another encoding",
            hint="leave the file out with an exclude pattern, or convert it to text",
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError as error:
        return _guess(data[max(0, error.start - _SAMPLE_BYTES // 2) :][:_SAMPLE_BYTES])
    return "utf-8"


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


def _known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)  # decoding b"" would not ask
    except LookupError:
        return False
    return True


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
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None and best.encoding != "ascii" else "cp1252"
