"""Real documents of every kind that is read, small unless asked otherwise, with text in two languages."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import docx
import matplotlib as mpl
import openpyxl
import pptx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

SENTENCES = ("The quick brown fox jumps over the lazy dog.", "Съешь же ещё этих мягких французских булок.")
_LINES_OF_PAGE = 60


def pdf(*, pages: int = 3, lines: int = 4, compressed: bool = True, password: str | None = None) -> bytes:
    if "DejaVu" not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont("DejaVu", Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    made = io.BytesIO()
    encrypt = StandardEncryption(password, strength=128) if password else None
    canvas = Canvas(made, pageCompression=int(compressed), encrypt=encrypt)
    for page in range(pages):
        canvas.setFont("DejaVu", 9)
        for line in range(min(lines, _LINES_OF_PAGE)):
            canvas.drawString(40, 800 - 12 * line, f"Page {page + 1}, line {line}. {' '.join(SENTENCES)}")
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def word() -> bytes:
    document = docx.Document()
    document.add_heading("Отчёт за год", 1)
    for sentence in SENTENCES:
        document.add_paragraph(sentence)
    table = document.add_table(2, 2)
    table.cell(0, 0).text, table.cell(1, 1).text = "Цена", "1200"
    return _saved(document.save)


def slides() -> bytes:
    presentation = pptx.Presentation()
    for sentence in SENTENCES:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = "Slide"
        slide.placeholders[1].text = sentence
    return _saved(presentation.save)


def sheet() -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "Продажи"
    for row in (("Name", "Цена"), ("Fox", 12.5), ("Булка", 3)):
        book.active.append(row)
    book.create_sheet("Second").append(["behind"])
    return _saved(book.save)


def repacked(archive: bytes, changed: Mapping[str, bytes]) -> bytes:
    """The same archive with other parts, or with more."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in dict.fromkeys([*old.namelist(), *changed]):
            new.writestr(name, changed[name] if name in changed else old.read(name))
    return made.getvalue()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    made = io.BytesIO()
    save(made)
    return made.getvalue()
