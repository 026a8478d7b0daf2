"""Readers: which words of real PDF and Word files are found, of those that pdftotext and LibreOffice find?

    python -m bench readers FOLDER

The files are documentation in Debian's packages and in source distributions of Python packages, fetched into FOLDER
(apt-get download, pip download) and unpacked, each package in a folder of its own; what is there is not fetched again.
Needs poppler-utils and libreoffice-writer. A word is two letters or digits at least, without case. A word that the
reference has broken by a hyphen at a line's end counts as found in one piece or with its hyphen. Writes
results/readers.json: for each file the reference's words, and the share of them that gnomon has, each as often.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from bench.record import write
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings

PDF = """
    asymptote-doc/asymptote.pdf asymptote-doc/asyRefCard.pdf biber/biber.pdf debmake-doc/debmake-doc.de.pdf
    debmake-doc/debmake-doc.ja.pdf debmake-doc/debmake-doc.ru.pdf developers-reference/developers-reference.pdf
    glpk-doc/gmpl.pdf glpk-doc/gmpl_es.pdf latexml/manual.pdf maint-guide/maint-guide.en.pdf octave-doc/liboctave.pdf
    pari-doc/refcard.pdf pari-doc/tutorial.pdf python-reportlab-doc/reportlab-userguide.pdf r-cran-lme4/lmer.pdf
    r-cran-quantreg/rq.pdf r-cran-sp/intro_sp.pdf r-cran-survival/compete.pdf r-cran-vcd/strucplot.pdf
    r-cran-zoo/zoo.pdf r-doc-pdf/R-intro.pdf xfig-doc/xfig-howto.pdf
""".split()
WORD = """
    python-docx/par-known-paragraphs.docx python-docx/tbl-having-tables.docx python-docx/hdr-header-footer.docx
    python-docx/doc-odd-even-hdrs.docx python-docx/having-images.docx python-docx/test.docx
    python-docx-ng/frm-form-fields.docx python-docx-ng/sdt-content-controls.docx PyDocX/simple_table.docx
    PyDocX/justification.docx
""".split()
_TOKEN = re.compile(r"[^\W_]{2,}")
_BROKEN = re.compile(r"([^\W_]+)[-\u2010\u00ad]\n\s*([^\W_]+)")


def words(text: str) -> Counter[str]:
    """The words of a text with how often each is there."""
    return Counter(word.lower() for word in _TOKEN.findall(unicodedata.normalize("NFKC", text)))


def recall(found: str, reference: str) -> tuple[int, float]:
    """The number of the reference's words, and the share of them that were found."""
    whole = words(_BROKEN.sub(" ", reference))
    own = words(found)
    hit = sum((whole & own).values())
    left = own - whole
    broken = [(pair[1].lower(), pair[2].lower()) for pair in _BROKEN.finditer(unicodedata.normalize("NFKC", reference))]
    for pair in broken:
        for parts in ([pair[0] + pair[1]], [part for part in pair if len(part) > 1]):
            if all(left[part] for part in parts):
                left.subtract(parts)
                hit += 1
                break
    total = sum(whole.values()) + len(broken)
    return total, hit / total if total else 1.0


def fetched(folder: Path, package: str) -> str:
    """Fetch and unpack a package unless it is there. Returns its archive's name, which says its version."""
    place = folder / package
    if not place.exists():
        place.mkdir(parents=True)
        python = package in {each.partition("/")[0] for each in WORD}
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", package]
        subprocess.run(pip if python else ["apt-get", "download", "-q", package], cwd=place, check=True)
        (archive,) = place.iterdir()
        if python:
            with tarfile.open(archive) as packed:
                packed.extractall(place, filter="data")
        else:
            subprocess.run(["dpkg", "-x", str(archive), str(place)], check=True)
    return next(each.name for each in sorted(place.iterdir()) if each.is_file())


def reference_text(path: Path) -> str:
    """What pdftotext -layout finds in a PDF, LibreOffice in a Word file."""
    if path.suffix == ".pdf":
        command = ["pdftotext", "-layout", str(path), "-"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        command = ["soffice", "--headless", "--convert-to", "txt:Text (encoded):UTF8", "--outdir", folder, str(path)]
        subprocess.run(command, capture_output=True, check=True)
        return (Path(folder) / f"{path.stem}.txt").read_text(encoding="utf-8-sig")


def measure(path: Path) -> dict[str, Any]:
    """The figures of one file; seconds are those of gnomon's reader."""
    started = time.perf_counter()
    (found,) = discover([path], settings=ReadSettings())
    text = "\n".join(document.text for document in read(found, settings=ReadSettings()))
    seconds = time.perf_counter() - started
    total, share = recall(text, reference_text(path))
    return {"words": total, "found": round(share, 4), "seconds": round(seconds, 2)}


def main(folder: Path) -> None:
    """Measure all files and write the record."""
    files: dict[str, dict[str, Any]] = {}
    packages: dict[str, str] = {}
    for name in (*PDF, *WORD):
        package, _, file = name.partition("/")
        packages[package] = fetched(folder, package)
        path = next(each for each in sorted((folder / package).rglob(file)))
        files[name] = measure(path)
        print(name, files[name], flush=True)
    totals = {
        kind: {
            "files": len(names),
            "found": round(
                sum(files[n]["words"] * files[n]["found"] for n in names) / sum(files[n]["words"] for n in names), 4
            ),
            "least": min(files[n]["found"] for n in names),
        }
        for kind, names in (("pdf", PDF), ("word", WORD))
    }
    write("readers", {"packages": packages, "files": files, "totals": totals})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
