"""Models to the hub and back, by huggingface_hub, against a server on this machine."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mindssd
from mindssd.deploy.settings import ExportSettings
from mindssd.errors import WeightsError
from mindssd.predict import job
from mindssd.weights.hub import HubAddress, is_hub_address, read_address
from tests.card.stand_in import Hub, stand_in

TOKEN = "a-token-of-nobody"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    with stand_in() as server:
        yield server


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Command:
    """A command as a user gives it, whose hub is that server."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        environment = {name: v for name, v in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # whose protocol the stand-in does not speak
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_model_and_its_card_go_to_the_hub_and_come_back(
    hub: Hub, run: Command, untrained_model: Path, quickest_engine: str, tmp_path: Path
) -> None:
    done = run("-m", "mindssd", "card", untrained_model, "--push", "a-team/reef", "--private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["written: README.md", "uploaded: hf://a-team/reef"]
    assert set(hub.repos["a-team/reef"]) == {"model.safetensors", "README.md"}
    assert hub.repos["a-team/reef"]["model.safetensors"] == untrained_model.read_bytes()
    assert hub.repos["a-team/reef"]["README.md"] == (tmp_path / "README.md").read_bytes()
    assert b'mindssd.load("hf://a-team/reef")' in hub.repos["a-team/reef"]["README.md"]
    assert hub.private == {"a-team/reef": True} and f"Bearer {TOKEN}" in hub.tokens

    # What a person has filled in goes as it is.
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n", encoding="utf-8")
    done = run("-m", "mindssd", "card", untrained_model, "--push", "a-team/reef")
    assert done.returncode == 0, done.stderr
    assert b"# Mine" in hub.repos["a-team/reef"]["README.md"]

    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "a.png")
    words = ["hf://a-team/reef", "a.png", "--engine", quickest_engine, "--save", "json"]
    done = run("-m", "mindssd", "predict", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions" / "detections.json").is_file()
    code = f"import mindssd; print(mindssd.load('hf://a-team/reef@main/model.safetensors', \
engine={quickest_engine!r}).class_names)"
    done = run("-c", code)
    assert done.stdout.strip() == "('rectangle', 'ellipse')", done.stderr


def test_what_the_hub_does_not_have_is_one_line(hub: Hub, run: Command) -> None:
    hub.repos |= {
        "a/none": {"README.md": b"", "weights.bin": b""},
        "a/two": {"a.onnx": b"", "b.safetensors": b""},
    }
    code = """
import mindssd
for name in ("a/absent", "a/none", "a/two", "a/two/c.onnx"):
    try:
        mindssd.load("hf://" + name)
    except mindssd.errors.WeightsError as error:
        print(error)
"""
    done = run("-c", code.replace("import mindssd\n", "import mindssd, mindssd.errors\n"))
    absent, none, two, missing = done.stdout.splitlines()
    assert absent.startswith("hf://a/absent: the hub says: ") and "404" in absent
    assert none == "hf://a/none holds none of ours, as hf://a/none/FILE"
    assert two == "hf://a/two holds several, a.onnx, b.safetensors: name one, as hf://a/two/FILE"
    assert missing.startswith("hf://a/two/c.onnx: the hub says: ")


def test_a_hub_that_cannot_be_reached_is_one_line(run: Command, hub: Hub) -> None:
    """Its package tries for half a minute; here no attempt waits for the next."""
    code = "import os, time; os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'\n"
    code += "time.sleep = lambda seconds: None\n"
    code += "from mindssd.cli.main import main; import sys\n"
    code += "sys.argv = ['mindssd', 'predict', 'hf://a/b', 'a.png']; open('a.png', 'w'); main()"
    done = run("-c", code)
    # Before it, huggingface_hub tells of its own attempts.
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("mindssd: hf://a/b: the hub says: ")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://a/b", HubAddress("a/b")),
        (Path("hf://a/b-c.d_e"), HubAddress("a/b-c.d_e")),
        ("hf://a/b@v1", HubAddress("a/b", "v1")),
        ("hf://a/b@v1/c/d.onnx", HubAddress("a/b", "v1", "c/d.onnx")),
    ],
)
def test_an_address_is_read_also_where_it_has_become_a_path(
    text: str | Path, address: HubAddress
) -> None:
    assert is_hub_address(text) and read_address(text) == address
    assert read_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["hf://", "hf://a", "hf://a/", "hf:///a/b", "hf://a/b/../../c", "hf://a b/c"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(WeightsError, match="expected hf://ORG/NAME"):
        mindssd.load(text)


def test_an_export_of_one_lies_here_under_the_repositorys_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mindssd.deploy import export

    asked: list[Path] = []
    monkeypatch.setattr(export, "find_model", lambda path, say: Path("absent.safetensors"))
    monkeypatch.setattr(export, "read_description", lambda path: object())
    monkeypatch.setattr(export, "described_config", lambda *_: None)
    monkeypatch.setattr(export, "override", lambda *_: None)

    def remember(path: Path) -> None:
        asked.append(path)
        raise WeightsError("enough")

    monkeypatch.setattr(export, "require_writable", remember)
    for name in ("hf://a/reef.v2", "ssd_mobilenetv2", "runs/a/best.safetensors"):
        with pytest.raises(WeightsError, match="enough"):
            export.export_model(Path(name), ExportSettings(), (), None)  # type: ignore[arg-type]
    assert list(map(str, asked)) == [
        *("reef.v2.onnx", "ssd_mobilenetv2.onnx", "runs/a/best.onnx"),
    ]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'mindssd\[hub\]'"):
        mindssd.load("hf://a/b")


def test_other_addresses_are_still_no_models() -> None:
    from rich.console import Console

    from mindssd.errors import ConfigError
    from mindssd.predict.writing import Outputs

    with pytest.raises(ConfigError, match="give the model first"):
        job.predict_files(
            Path("https://a/b"), ["a.png"], Outputs(Path("o")), {}, Console(quiet=True)
        )
