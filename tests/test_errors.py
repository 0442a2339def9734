"""What a user reads of an error."""

from mindssd.errors import DatasetError, printable


def test_a_message_has_nothing_that_a_terminal_obeys():
    """Names of files and classes may hold anything."""
    assert str(DatasetError("\x1b[2Jphoto\x1f.jpg: gone")) == r"\x1b[2Jphoto\x1f.jpg: gone"
    assert str(DatasetError("фото.jpg\nis gone")) == "фото.jpg\nis gone"
    assert str(DatasetError("a\x1cb\r")) == r"a\x1cb\r"


def test_a_name_stays_in_one_line():
    assert printable("a\nb\udc80") == r"a\nb\udc80"
