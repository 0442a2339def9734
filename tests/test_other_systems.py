"""What Windows and macOS lack, hidden from a child process: what one process does works without.

Neither system is tried by this. The libraries are imported before, for on other systems they take
ways of their own; of mindssd nothing is.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.deploy.conftest import deploy

__all__ = ["deploy"]

PRELUDE = """
import errno, importlib, json, os, pkgutil, shutil, signal, sys
LIBRARIES = (
    "cv2 numpy PIL.Image yaml msgspec typer rich.progress safetensors.numpy grain tensorboardX av "
    "faster_coco_eval google.protobuf onnxruntime openvino onnx onnxscript torch pillow_heif "
    "simplejpeg multiprocessing.pool concurrent.futures subprocess asyncio"
)
for library in LIBRARIES.split():
    try:
        importlib.import_module(library)
    except ImportError:
        pass
if "torch" in sys.modules:
    import torch.onnx, torch.optim, torch.distributed, torch.utils.data


def opened():
    "The files that this process has open, by their inode."
    found = set()
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def closed_first(call):
    "Windows renames and removes no file that is open."
    def checked(path, *others, **options):
        for name in (path, *others[:1]):
            try:
                status = os.lstat(name)
            except OSError:
                continue
            if (status.st_dev, status.st_ino) in opened():
                raise PermissionError(errno.EACCES, "another program has it open", str(name))
        return call(path, *others, **options)
    return checked


shutil._use_fd_functions = False  # as on Windows
for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, closed_first(getattr(os, name)))
HIDDEN = {
    os: "fork forkpty pread pwrite geteuid getuid getegid getgid sched_getaffinity setsid getpgid "
    "register_at_fork posix_fallocate O_CLOEXEC O_NOFOLLOW O_NONBLOCK O_DIRECTORY fchmod fchown "
    "mkfifo nice",
    signal: "SIGHUP SIGKILL SIGALRM SIGSTOP SIGCONT SIGPIPE SIGCHLD SIGRTMIN alarm setitimer pause "
    "pthread_sigmask",
}
for module, names in HIDDEN.items():
    for name in names.split():
        delattr(module, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None


def without(event, words):
    "No file of /proc can be opened, and the C library has no prctl."
    if event in ("open", "os.listdir", "os.scandir") and str(words[0]).startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, "hidden", str(words[0]))
    if event == "ctypes.dlsym" and words[1] == "prctl":
        raise AttributeError("prctl")


sys.addaudithook(without)
"""

IMPORTS = """
import mindssd
ELSEWHERE = ("mindssd.engines.mindspore", "mindssd.engines.torch", "mindssd.__main__")
for module in pkgutil.walk_packages(mindssd.__path__, "mindssd."):
    if not module.name.startswith(ELSEWHERE):
        importlib.import_module(module.name)
"""

COMMANDS = """
from mindssd.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""


def run_without(*commands: list[object], imports: str = IMPORTS) -> str:
    """Run commands of `mindssd` in one such process: what it prints."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    program = [sys.executable, "-c", PRELUDE + imports + COMMANDS, words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_deployed_file_predicts_and_is_scored(deploy, shapes_dir: Path, tmp_path: Path) -> None:
    """Every module but the engines' is imported there, too."""
    pytest.importorskip("onnxruntime")
    for index, suffix in enumerate(("jpg", "png", "tif", "bmp", "webp")):
        picture = np.random.default_rng(index).integers(0, 255, (90, 120, 3), np.uint8)
        # Bytes that a file opened as text would end at, or change.
        cv2.imwrite(str(tmp_path / f"{index}.{suffix}"), picture)
    out = tmp_path / "out"
    saved = "drawn,json,csv,yolo,crops"
    model = deploy()
    run_without(["predict", model, tmp_path, "--out", out, "--save", saved, "--score", 0.5])
    found = json.loads((out / "detections.json").read_text())
    assert len(found["images"]) == 5 and found["annotations"]


@pytest.mark.slow
def test_pytorch_trains_goes_on_predicts_and_exports(
    quick_config: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    run, data = tmp_path / "runs" / "run", f"data_dir={shapes_dir}"
    settings = ["engine=torch", f"runs_dir={tmp_path / 'runs'}", "name=run", data]
    model = run / "best.safetensors"
    imports = IMPORTS.replace('"mindssd.engines.torch", ', "")
    commands: list[list[object]] = [
        ["train", "--config", quick_config, "epochs=1", *settings],
        ["train", "--resume", run, "--adapt", "epochs=2"],
        ["eval", model, data, "engine=torch"],
        ["predict", model, shapes_dir / "val2017", "--engine", "torch", "--out", tmp_path / "out"],
    ]
    if find_spec("onnxscript") and find_spec("onnxruntime"):
        commands.append(["export", model, data, "engine=torch"])
    run_without(*commands, imports=imports)
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 12
