"""E-mails (.eml)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email import message_from_binary_file
from email.message import EmailMessage, MIMEPart
from email.policy import default
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.text.decode import clean, decode, one_newline
from gnomon.text.readers.html import page_document
from gnomon.text.settings import ProblemCallback, ReadSettings

_HEADERS = ("from", "to", "cc", "date")


def read_email(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: sender, receivers and the text, which is the plain one where there are several.

    Its title is the subject. E-mails that are attached stand below; other attachments are left out, and named in the
    report.
    """
    with path.open("rb") as file:
        message = message_from_binary_file(file, policy=default)
    attached: list[str] = []
    text = _text(message, path, report, attached=attached)
    _report_attachments(path, attached, report)
    metadata = {name: str(message[name]) for name in _HEADERS if message[name]}
    yield Document(
        id="",
        text=text,
        title=_subject(message),
        media_type="message/rfc822",
        metadata={**metadata, **_named(attached)},
    )


def _text(message: EmailMessage, path: Path, report: ProblemCallback, *, attached: list[str]) -> str:
    head = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
    body = message.get_body(("plain", "html"))
    parts = ["\n".join(head), _body(body, path, report) if body is not None else ""]
    for each in message.iter_attachments() if message.is_multipart() else ():
        inner = each.get_payload(0) if each.get_content_type() == "message/rfc822" else None
        if isinstance(inner, EmailMessage):
            parts.append(f"{_subject(inner)}\n{_text(inner, path, report, attached=attached)}")
        elif each is not body and not each.get_content_type().startswith("multipart/"):
            attached.append(each.get_filename() or each.get_content_type())
    return one_newline(clean("\n\n".join(part.strip() for part in parts if part.strip())))


def _body(part: MIMEPart, path: Path, report: ProblemCallback) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = str(part.get_content_charset() or "")
    if part.get_content_subtype() == "html":
        return page_document(data, path, report).text
    return decode(data, path, report, declared=charset) if data else ""


def _subject(message: EmailMessage) -> str:
    return " ".join(clean(str(message["subject"] or "")).split())


def _named(attached: Sequence[str]) -> dict[str, list[str]]:
    return {"attachments": list(attached)} if attached else {}


def _report_attachments(path: Path, attached: Sequence[str], report: ProblemCallback) -> None:
    if attached:
        report(f"{path}: attachments left out: {', '.join(attached)}")
