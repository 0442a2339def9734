"""Which file each name of an annotation file means, and what is said of the others."""

import unicodedata
from pathlib import Path

import pytest

from mindssd.data.image_files import ImageFiles, find_files
from mindssd.errors import DatasetError

UMLAUT = "Bär.jpg"
NFC, NFD = (unicodedata.normalize(form, UMLAUT) for form in ("NFC", "NFD"))


def folder_of(path: Path, *files: str) -> Path:
    """A folder train2017 with these files, all empty."""
    folder = path / "train2017"
    for name in files:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    folder.mkdir(exist_ok=True)
    return folder


def said(files: ImageFiles) -> list[str]:
    return [str(finding) for finding in files.findings]


def test_a_path_below_the_folder_is_that_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jpg", "cam 1/b.jpg", "c%20d.jpg", "e\\f.jpg")
    names = ["a.jpg", "cam 1/b.jpg", "c%20d.jpg", "e\\f.jpg"]
    files = find_files(names, folder)
    assert files.names == names and files.present.all() and files.findings == []
    assert find_files(["./a.jpg", "cam 1//b.jpg", "x/../a.jpg"], folder).names == [
        "a.jpg",
        "cam 1/b.jpg",
        "a.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [
        ("images\\a.jpg", "a.jpg", "image names with backslashes"),
        ("cam1\\a.jpg", "cam1/a.jpg", "image names with backslashes"),
        ("C:\\Users\\me\\data\\a.jpg", "a.jpg", "image names with backslashes"),
        ("D:/data/cam1/a.jpg", "cam1/a.jpg", "image names with other folders before them"),
        ("train2017/a.jpg", "a.jpg", "image names with other folders before them"),
        ("/home/me/coco/train2017/a.jpg", "a.jpg", "image names with other folders before them"),
        ("../train/a.jpg", "a.jpg", "image names with other folders before them"),
        (
            "http://images.cocodataset.org/train2017/a.jpg",
            "a.jpg",
            "image names that are addresses",
        ),
        ("https://host/a%20b.jpg?size=full#top", "a b.jpg", "image names that are addresses"),
        ("s3://bucket/cam1/a.jpg", "cam1/a.jpg", "image names that are addresses"),
        ("file:///C:/data/a.jpg", "a.jpg", "image names that are addresses"),
        ("a%20b.jpg", "a b.jpg", "image names with percent signs"),
        (NFC, NFD, "image names in another form of Unicode"),
        (NFD, NFC, "image names in another form of Unicode"),
        ("a.jpg", "a.JPG", "image names in other case"),
        ("IMG_1.jpg", "img_1.JPG", "image names in other case"),
        ("Cam1/a.jpg", "cam1/a.jpg", "image names in other case"),
        ("a.jpg", "a.png", "image names with another suffix"),
        ("000000000139", "000000000139.jpg", "image names with another suffix"),
        ("v1.2", "v1.2.jpg", "image names with another suffix"),
        ("a.jpg", "cam1/a.jpg", "image names without their folder"),
        (" a.jpg ", "a.jpg", "image names with space around them"),
    ],
)
def test_a_name_of_another_place_or_spelling_is_the_one_file_that_fits(
    tmp_path: Path, name: str, file: str, kind: str
) -> None:
    files = find_files([name], folder_of(tmp_path, file, "other.jpg", "notes.json"))
    assert (files.names, files.present.tolist()) == ([file], [True])
    assert said(files)[0] == f"1 {kind}: found all the same (such as {name}, {file})"
    assert said(files)[1].startswith("1 images of the folder that the annotations do not list")


def test_a_file_outside_is_taken_by_its_whole_path(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.jpg"
    outside.touch()
    files = find_files([str(outside)], folder_of(tmp_path, "a.jpg"))
    assert files.names == [str(outside)] and files.present.all()


@pytest.mark.parametrize(
    ("names", "there", "left_out"),
    [
        (["ok.jpg", "a.jpg"], ["ok.jpg"], "image files missing"),
        (["ok.jpg", "sub"], ["ok.jpg", "sub/x.txt"], "image names that are folders"),
        (["ok.jpg", "sub/"], ["ok.jpg", "sub/x.txt"], "image names that are folders"),
        # In two folders, or in two spellings.
        (["ok.jpg", "a.jpg"], ["ok.jpg", "1/a.jpg", "2/a.jpg"], "image names that more than one"),
        (["ok.jpg", "A.jpg"], ["ok.jpg", "a.jpg", "a.JPG"], "image names that more than one"),
        # Another folder of its own than the file's.
        (["ok.jpg", "cam2/a.jpg"], ["ok.jpg", "cam1/a.jpg"], "image files missing"),
        # What is another's by its right name.
        (["a.jpg", "cam1/a.jpg"], ["a.jpg"], "image names that mean the same file as another"),
        # A file beside the image, but none itself.
        (["ok.jpg", "a.jpg"], ["ok.jpg", "a.json"], "image files missing"),
        (["ok.jpg", "x" * 300 + ".jpg"], ["ok.jpg"], "image files missing"),
    ],
)
def test_what_no_file_or_more_than_one_fits_is_left_out_and_counted(
    tmp_path: Path, names: list[str], there: list[str], left_out: str
) -> None:
    files = find_files(names, folder_of(tmp_path, *there))
    assert files.present.tolist() == [True, False]
    assert said(files)[0].startswith(f"1 {left_out}")
    assert f"not trained on (such as {names[1]})" in said(files)[0]


def test_two_names_that_mean_one_file_are_neithers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jpg", "b.jpg")
    files = find_files(["b.jpg", "cam1/a.jpg", "cam2/a.jpg"], folder)
    assert files.present.tolist() == [True, False, False]
    assert said(files)[0].startswith("2 image names that mean the same file as another")


def test_the_longer_agreement_wins(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jpg", "cam1/a.jpg")
    assert find_files(["data/cam1/a.jpg"], folder).names == ["cam1/a.jpg"]
    folder = folder_of(tmp_path / "2", "a.jpg", "A.JPG")
    assert find_files(["data\\A.JPG"], folder).names == ["A.JPG"]


def test_many_of_a_kind_are_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{number}.jpg" for number in range(9)), "readme.txt")
    files = find_files([f"images\\{number}.jpg" for number in range(7)], folder)
    assert said(files) == [
        "7 image names with backslashes: found all the same (such as images\\0.jpg, 0.jpg)",
        "2 images of the folder that the annotations do not list: passed over (such as 7.jpg)",
    ]


def test_a_link_to_a_folder_is_looked_into_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jpg")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "b.jpg").touch()
    (folder / "link").symlink_to(tmp_path / "far")
    (folder / "gone.jpg").symlink_to(tmp_path / "nothing")
    (folder / ".hidden.jpg").touch()
    files = find_files(["link/b.jpg", "gone.jpg"], folder)
    assert files.present.tolist() == [True, False]
    assert said(files)[1] == (
        "1 images of the folder that the annotations do not list: passed over (such as a.jpg)"
    )


@pytest.mark.parametrize(
    ("name", "there", "cause"),
    [
        ("a.jpg", [], r"has none of the 1 annotated images, such as a\.jpg; it has no files; exp"),
        ("a.jpg", ["b.jpg"], r"a\.jpg; it has others, such as b\.jpg; expected them there"),
        ("http://h/a.jpg", ["b.jpg"], r"a\.jpg \(an address; images are not fetched\); it has oth"),
        ("C:\\x\\a.jpg", ["b.jpg"], r"a\.jpg \(a path of another system\); it has others"),
        ("/data/a.jpg", ["b.jpg"], r"a\.jpg \(an absolute path\); it has others"),
        ("a.jpg", ["../images/a.jpg"], r"images/a\.jpg is there: move the images, or make the f"),
        ("x/a.jpg", ["../images/x/a.jpg"], r"images/x/a\.jpg is there"),
        ("a.jpg", ["../a.jpg"], r"a\.jpg is there: move"),
        (
            "a.jpg",
            ["1/a.jpg", "2/a.jpg"],
            r"such as a\.jpg; image names that more than one file fi",
        ),
        ("sub", ["sub/a.txt"], r"such as sub; image names that are folders"),
    ],
)
def test_none_of_the_images_is_an_error_with_the_cause(
    tmp_path: Path, name: str, there: list[str], cause: str
) -> None:
    (tmp_path / "data").mkdir()
    folder = folder_of(tmp_path / "data", *there)
    with pytest.raises(DatasetError, match=f"train2017: .*{cause}") as caught:
        find_files([name], folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_listed_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of the 1 .*cannot be listed: No such file"):
        find_files(["a.jpg"], tmp_path / "nowhere")
