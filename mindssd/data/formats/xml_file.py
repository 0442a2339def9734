"""XML files, read without what makes XML dangerous."""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from mindssd.errors import DatasetError

LINE = ":line"
"""The attribute, of a name that no XML has, which keeps an element's line."""


def read_xml(path: Path) -> ElementTree.Element:
    """Read a file's root element; each element knows its line.

    A document type is refused: its entities may grow to gigabytes, or read other files.
    DatasetError names the line.
    """
    parser = expat.ParserCreate()
    builder = ElementTree.TreeBuilder()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise DatasetError(
            f"{path}:{parser.CurrentLineNumber}: declares a document type, as no annotations do; "
            "remove the line <!DOCTYPE …>"
        )

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise DatasetError(
            f"{path}:{error.lineno}: not XML, or cut short: {words}; correct or remove it"
        ) from error
    except (ValueError, LookupError, AssertionError) as error:  # an encoding that Python lacks
        raise DatasetError(f"{path}: not XML that can be read: {error}") from error


def root_tag(path: Path) -> str:
    """The tag of a file's root element, "" where it is no XML."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _: found.append(tag)
    try:
        with path.open("rb") as file:
            while not found and (block := file.read(4096)):
                parser.Parse(block)
    except (OSError, expat.ExpatError, ValueError, LookupError):
        pass
    return found[0] if found else ""


def text_of(element: ElementTree.Element, path: str) -> str:
    """The text of an element below, "" where there is none."""
    return (element.findtext(path) or "").strip()


def side_of(text: str) -> int:
    """A width or height, 0 where it is none or not given."""
    try:
        side = float(text)
    except ValueError:
        return 0
    return int(side) if 1 <= side < 2**31 else 0


def numbers_of(texts: list[str]) -> list[float] | None:
    """Texts as numbers; None where one is none."""
    try:
        return list(map(float, texts))
    except ValueError:
        return None
