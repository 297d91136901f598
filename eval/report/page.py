"""A report in sections, as a page that stands alone and as Markdown with pictures beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromagan.files import write_bytes, write_text
from eval.report.tables import TextTable, markdown

TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Picture:
    """An image file of a report: its name, its bytes and what it shows."""

    name: str
    data: bytes
    says: str

    @property
    def address(self) -> str:
        """The picture itself as a URL."""
        kind = self.name.rpartition(".")[2]
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, then a picture and a table where there are any."""

    title: str = ""
    texts: Sequence[str] = ()
    table: TextTable | None = None
    picture: Picture | None = None


def write_page(folder: Path, name: str, title: str, sections: Sequence[Section]) -> list[Path]:
    """`NAME.html`, `NAME.md` and the pictures; the paths of the first two."""
    for section in sections:
        if section.picture:
            write_bytes(folder / section.picture.name, section.picture.data)
    paths = [folder / f"{name}.html", folder / f"{name}.md"]
    write_text(paths[0], as_html(title, sections))
    write_text(paths[1], as_markdown(title, sections))
    return paths


def as_html(title: str, sections: Sequence[Section]) -> str:
    """One file: styles and pictures inside, no scripts, nothing fetched."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, sections=sections)


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The same for a repository."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}"] if section.title else []
        parts += section.texts
        if section.picture:
            parts.append(f"![{section.picture.says}]({section.picture.name})")
        if section.table:
            parts.append(markdown(section.table))
    return "\n\n".join(parts) + "\n"
