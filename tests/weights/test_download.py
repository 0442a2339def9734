"""Fetching a published backbone, from a server on this machine."""

import errno
import http.client
import socket
import ssl
import threading
from http.client import RemoteDisconnected
from urllib.error import URLError

import pytest

from mindssd import files
from mindssd.errors import WeightsError
from mindssd.weights import download
from mindssd.weights.published import PUBLISHED, names_of
from tests.mirror import mirror, publish

CONTENT = bytes(range(256)) * 1200  # more than one chunk
NAME = "mobilenet_v2_100"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A mirror on loopback; the published file is CONTENT, the cache a folder of its own."""
    with mirror(monkeypatch, tmp_path / "cache") as server:
        publish(monkeypatch, server, NAME, CONTENT)
        yield server


@pytest.fixture
def part(server):
    """Where an unfinished transfer is kept."""
    path = download.cached_path(PUBLISHED[NAME])
    path.parent.mkdir(parents=True)
    return path.with_name(path.name + ".part")


def test_the_published_files_are_those_of_mindcv(monkeypatch):
    monkeypatch.delenv(download.BASE_URL_VARIABLE, raising=False)
    assert {name: published.hash_prefix for name, published in PUBLISHED.items()} == {
        "mobilenet_v2_100": "d5532038",
        "mobilenet_v3_large_100": "1279ad5f",
        "resnet50": "e0733ab8",
        "ssd_mobilenetv2": "5bbd7411",
        "ssd_mobilenetv3": "53d9f6e9",
        "ssd_resnet50_fpn": "ac87ddac",
    }
    base = "https://download.mindspore.cn/toolkits/mindcv"
    assert download.address(PUBLISHED["resnet50"]) == f"{base}/resnet/resnet50-e0733ab8.ckpt"
    for name in names_of("detector"):
        address = f"{base}/ssd/{name}-{PUBLISHED[name].hash_prefix}.ckpt"
        assert download.address(PUBLISHED[name]) == address


def test_a_file_is_fetched_once_and_then_found(server):
    seen = []
    path = download.fetch(NAME, lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert path.parent == files.cache_dir()
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert download.fetch(NAME) == path
    published = PUBLISHED[NAME]
    assert server.requests == [(f"/mirror/{published.path}", None)]
    assert list(path.parent.iterdir()) == [path]


def test_an_unfinished_transfer_is_continued(server, part):
    part.write_bytes(CONTENT[:1000])
    assert download.fetch(NAME).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-"]
    assert not part.exists()


def test_a_server_without_ranges_sends_the_whole_again(server, part):
    server.ranges = False
    part.write_bytes(b"wrong" * 200)
    assert download.fetch(NAME).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_part_that_is_already_whole_is_taken(server, part):
    part.write_bytes(CONTENT)
    assert download.fetch(NAME).read_bytes() == CONTENT


def test_a_part_of_another_file_is_thrown_away_and_begun_anew(server, part):
    part.write_bytes(b"wrong" * 200)
    assert download.fetch(NAME).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


def test_a_transfer_that_breaks_off_continues_by_itself(server):
    server.cut_after = [5000, 70000]
    assert download.fetch(NAME).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=5000-", "bytes=75000-"]


def test_a_transfer_that_keeps_breaking_off_is_kept_for_the_next_time(server, part):
    server.cut_after = [5000, 1, 1]
    with pytest.raises(WeightsError, match="broke off 3 times; 5002 bytes are kept, run the same"):
        download.fetch(NAME)
    assert part.read_bytes() == CONTENT[:5002]
    assert download.fetch(NAME).read_bytes() == CONTENT


def test_a_wrong_hash_deletes_what_came_and_says_so(server, part):
    server.content = b"a page of a captive portal"
    with pytest.raises(
        WeightsError, match=r"the SHA-256 of what came does not begin with .* was deleted"
    ):
        download.fetch(NAME)
    assert not part.exists()
    assert list(part.parent.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_not_used(server):
    path = download.fetch(NAME)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="is damaged or another file; delete it"):
        download.fetch(NAME)


def test_a_file_that_is_there_needs_no_cache_that_can_be_written_to(server):
    path = download.fetch(NAME)
    lock = path.with_name(path.name + ".lock")
    lock.mkdir()  # so that no lock can be had, as in a folder of another's
    assert download.fetch(NAME) == path
    path.unlink()
    with pytest.raises(WeightsError, match="MINDSSD_CACHE=FOLDER"):
        download.fetch(NAME)


def test_an_absent_file_names_the_address_and_what_to_do_by_hand(server):
    server.status = 404
    with pytest.raises(WeightsError) as caught:
        download.fetch(NAME)
    published = PUBLISHED[NAME]
    for part in (
        download.address(published),
        "404",
        str(download.cached_path(published)),
        "mirror",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_network_one_line_says_what_to_do_by_hand(server, monkeypatch):
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(WeightsError, match=r"cannot be reached \(.*refused.*put it at /") as caught:
        download.fetch(NAME)
    assert "\n" not in str(caught.value)


def test_no_room_is_noticed_before_the_transfer(server, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: type("Usage", (), {"free": len(CONTENT) - 1})
    )
    with pytest.raises(WeightsError, match=r"no room for .* MB.*set MINDSSD_CACHE"):
        download.fetch(NAME)


def test_processes_that_fetch_at_once_share_one_download(server):
    threads = [threading.Thread(target=download.fetch, args=(NAME,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_a_path_or_a_published_name_gives_a_file(server, tmp_path):
    own = tmp_path / "own.ckpt"
    own.write_bytes(b"")
    assert download.resolve_backbone(own) == own
    assert download.resolve_backbone(NAME).read_bytes() == CONTENT
    with pytest.raises(
        WeightsError, match="vgg16: no such file; nor is it a published backbone; these"
    ):
        download.resolve_backbone("vgg16")
    with pytest.raises(WeightsError, match="'vgg16' is not published; there are mobilenet"):
        download.fetch("vgg16")


def test_a_folder_of_a_published_name_does_not_stand_in_for_it(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (NAME, "vgg16"):
        (tmp_path / name).mkdir()
    assert download.resolve_backbone(NAME).read_bytes() == CONTENT
    with pytest.raises(WeightsError, match="vgg16: a folder, not a checkpoint"):
        download.resolve_backbone("vgg16")


def test_the_cache_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv(files.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / "mindssd"
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "x"))
    assert files.cache_dir() == tmp_path / "x"


def test_a_mirror_must_be_an_http_address(monkeypatch):
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "file:///etc")
    with pytest.raises(WeightsError, match=r"MINDSSD_WEIGHTS_URL=file:///etc: expected an http"):
        download.address(PUBLISHED[NAME])


UNREACHABLE = [
    (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host"),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "WRONG_VERSION_NUMBER"),
    (URLError(ssl.SSLError(1, "handshake failure")), "handshake failure"),
    (URLError(socket.gaierror(-3, "Temporary failure in name resolution")), "Temporary failure"),
    (TimeoutError("timed out"), "timed out"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset"),
    (RemoteDisconnected("Remote end closed connection"), "Remote end closed"),
    (http.client.InvalidURL("nonnumeric port"), "nonnumeric port"),
    (UnicodeError("label too long"), "label too long"),
    (TimeoutError(), "TimeoutError"),
]


@pytest.mark.parametrize(("error", "reason"), UNREACHABLE)
def test_whatever_fails_on_the_way_to_the_server_is_the_networks(
    server, monkeypatch, error, reason
):
    def fail(request, may_redirect):
        raise error

    monkeypatch.setattr(download, "_ask", fail)
    with pytest.raises(
        WeightsError, match=f"cannot be reached .*{reason}.*; check the network"
    ) as e:
        download.fetch(NAME)
    assert "written" not in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(("error", "reason"), UNREACHABLE[:3])
def test_whatever_fails_while_bytes_come_is_the_networks_and_keeps_them(
    server, monkeypatch, part, error, reason
):
    def read(response, count):
        raise error

    part.write_bytes(CONTENT[:5000])
    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    with pytest.raises(WeightsError, match=f"broke off 3 times; 5000 bytes are kept.*{reason}"):
        download.fetch(NAME)
    monkeypatch.undo()


def test_an_unknown_certificate_says_how_to_name_it(server, monkeypatch):
    def fail(request, may_redirect):
        raise URLError(ssl.SSLCertVerificationError(1, "certificate verify failed"))

    monkeypatch.setattr(download, "_ask", fail)
    with pytest.raises(WeightsError, match=r"certificate verify failed.*SSL_CERT_FILE=FILE"):
        download.fetch(NAME)


def test_a_disk_that_fails_is_the_disks(server, monkeypatch, part):
    part.mkdir()  # where the file should be
    with pytest.raises(WeightsError, match=r"cannot be written .*Is a directory"):
        download.fetch(NAME)
