"""The folder that is a page: model, runtime, scripts, and how to serve it."""

import gzip
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from mindssd.deploy.manifest import Manifest, own_thresholds
from mindssd.deploy.targets.web.runtime import FILES, VERSION, WASM
from mindssd.errors import ConfigError
from mindssd.files import require_writable
from mindssd.geometry.refinement import Refinement
from mindssd.pages.viewer import viewer_files, viewer_html

MODEL = "model.onnx"
_DESCRIPTION = "model.json"
_SCRIPTS = Path(__file__).parent / "page"
_LICENCES = ("LICENSE", "ThirdPartyNotices.txt")

_WHERE = "They stay on this machine: the page itself looks at them."
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; worker-src 'self';"
    " img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'"
)
_BEFORE = """\
    <p id="unstarted" class="late">Nothing runs here yet. A browser runs none of a page that is
      opened as a file: serve the folder, as its README.md says.</p>
"""

_README = """\
# {name}: a detector in a web page

Serve this folder and open it; nothing else is needed, and no network:

    python -m http.server --bind 127.0.0.1

shows it at http://127.0.0.1:8000. Pictures stay on the machine of whoever looks: the page asks
for files of this folder alone. A webcam is given by browsers to pages of https or of localhost.

It runs on WebGPU where the browser has one, else by WebAssembly. With several threads only where
the server sends these two headers with every file, which makes the page isolated:

    Cross-Origin-Opener-Policy: same-origin
    Cross-Origin-Embedder-Policy: require-corp

`?runtime=wasm` or `?runtime=webgpu` behind the address chooses one of the two.

- `model.onnx`: the model, for other programs too; `model.json` is what the page knows of it
- `page/`: the scripts, of mindssd (Apache-2.0)
- `runtime/`: onnxruntime-web {version} (MIT, {licences}), its WebAssembly compressed
"""


def write_page(folder: Path, manifest: Manifest, name: str, runtime: Mapping[str, bytes]) -> None:
    """Make a page of a `folder` that holds `model.onnx`, which has no NMS inside.

    `runtime` is what `runtime_files` gives.
    """
    files = {
        "index.html": viewer_html(name, _WHERE, _BEFORE, _POLICY),
        _DESCRIPTION: json.dumps(description(manifest, name), indent=1).encode(),
    }
    own = {path.name: path.read_bytes() for path in _SCRIPTS.iterdir()}
    files |= {f"page/{one}": script for one, script in {**viewer_files(), **own}.items()}
    for one in FILES:
        if one == f"{WASM}.wasm":  # a fourth of its size
            files[f"runtime/{one}.gz"] = gzip.compress(runtime[one], mtime=0)
        else:
            files[f"runtime/{one}"] = runtime[one]
    licences = _licences()
    files |= {f"runtime/{one}": text for one, text in licences.items()}
    words = {
        "name": name,
        "version": VERSION,
        "licences": " and ".join(licences) or "by its header",
    }
    files["README.md"] = _README.format(**words).encode()
    for one, data in files.items():
        path = folder / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def description(manifest: Manifest, name: str) -> dict[str, object]:
    """What the page's scripts know of the model."""
    metadata, shown = manifest.metadata, manifest.shown()
    refinement: Refinement = manifest.refinement()
    return {
        "name": name,
        "classes": metadata.class_names,
        "image_size": metadata.image_size,
        "mean": metadata.mean,
        "std": metadata.std,
        "keeps_aspect": manifest.keeps_aspect,
        "score": shown.score_threshold,
        # One for all classes too, which a slider's steps would round.
        "thresholds": own_thresholds(metadata),
        "iou_threshold": shown.iou_threshold,
        "across_classes_iou": shown.across_classes_iou,
        "max_detections": shown.max_detections,
        "vote_iou": refinement.vote_iou,
    }


def require_ours_or_none(folder: Path) -> None:
    """ConfigError where something else than such a folder, or an empty one, has this name.

    MindSSDError where there can be none.
    """
    if not folder.parent.is_dir():
        raise ConfigError(f"{folder}: there is no folder {folder.parent}; make it, or name another")
    require_writable(folder.parent / f".{folder.name}")
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; --out names one for the page")
    if any(folder.iterdir()) and not all((folder / x).is_file() for x in (MODEL, _DESCRIPTION)):
        raise ConfigError(
            f"{folder} holds other files than a page of mindssd; --out names another folder"
        )


def sizes(folder: Path) -> str:
    """How large it is, in words."""
    of = {path.relative_to(folder): path.stat().st_size for path in _all(folder)}
    model = of[Path(MODEL)]
    runtime = sum(size for path, size in of.items() if path.parts[0] == "runtime")
    total = sum(of.values())
    page = total - model - runtime
    parts = (
        (total, "together"),
        (model, "the model"),
        (runtime, "the runtime"),
        (page, "the page"),
    )
    return ", ".join(f"{words} {size / 1e6:.1f} MB" for size, words in parts)


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _licences() -> dict[str, bytes]:
    """The licence of ONNX Runtime and of what it is made of, from its package for Python."""
    package = resources.files("onnxruntime")
    found = {name: package.joinpath(name) for name in _LICENCES}
    return {name: file.read_bytes() for name, file in found.items() if file.is_file()}
