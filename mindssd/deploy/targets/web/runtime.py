"""ONNX Runtime for browsers: onnxruntime-web, one version of it, from the user's npm registry."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

from mindssd.errors import ConfigError, WeightsError
from mindssd.files import cache_dir, is_http
from mindssd.weights.download import Remote, fetch_remote
from mindssd.weights.progress import show_progress

VERSION = "1.30.0"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
"""Of the archive, in hex; npm has it as `integrity`, in base64."""

SCRIPT = "ort.webgpu.min.mjs"
WASM = "ort-wasm-simd-threaded.asyncify"
"""The one build that runs on WebGPU in every browser that has it, and by WebAssembly elsewhere; the
others need JSPI for WebGPU, or are two."""

FILES = (SCRIPT, f"{WASM}.mjs", f"{WASM}.wasm")

REGISTRY_VARIABLES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
_NPM_PATIENCE_S = 30.0


def runtime_files(archive: Path | None = None) -> dict[str, bytes]:
    """The files of the runtime, by name, from `archive`, or else from the one in the cache.

    That one is fetched from npm's registry where it is not there yet. WeightsError in one line
    where it cannot be had, or is not the archive that is known.
    """
    if archive is None:
        path = cache_dir() / ARCHIVE
        if path.is_file():
            fetch_remote(_remote(), path)
        else:
            with show_progress(ARCHIVE) as progress:
                fetch_remote(_remote(registry()), path, progress)
    else:
        path = archive.expanduser()
        if not _remote().is_in(path):
            raise WeightsError(
                f"{path}: is not {ARCHIVE} as npm publishes it: its SHA-512 does not begin with "
                f"{SHA512[:16]}; `npm pack onnxruntime-web@{VERSION}` fetches that"
            )
    with tarfile.open(path) as packed:
        return {name: _content(packed, f"package/dist/{name}") for name in FILES}


def registry() -> str:
    """The address of the npm registry as this user has it: by environment, or by npm's settings.

    ConfigError where neither says one, or it is no plain http:// or https:// address.
    """
    found = next((os.environ[name] for name in REGISTRY_VARIABLES if os.environ.get(name)), None)
    found = (found or _of_npm() or "").strip().rstrip("/")
    if not found:
        raise ConfigError(
            f"which npm registry has {ARCHIVE} is not known: npm is not installed, and "
            f"{REGISTRY_VARIABLES[0]} is not set to its address; --runtime-archive FILE takes it "
            f"from a file, which `npm pack onnxruntime-web@{VERSION}` fetches"
        )
    if not is_http(found) or "@" in urlsplit(found).netloc:
        raise ConfigError(
            "npm's registry is set to what is no plain http:// or https:// address without user "
            f"and password; --runtime-archive FILE takes {ARCHIVE} from a file"
        )
    return found


def _of_npm() -> str | None:
    """What npm itself says, None where it is not installed or says nothing."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        done = subprocess.run(
            [npm, "config", "get", "registry"],
            capture_output=True,
            text=True,
            timeout=_NPM_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and is_http(done.stdout.strip()) else None


def _remote(base: str = "") -> Remote:
    """The archive at a registry; its address is of use to a download alone."""
    return Remote(
        url=f"{base}/onnxruntime-web/-/{ARCHIVE}",
        hash_name="SHA-512",
        hash_prefix=SHA512,
        elsewhere="give it by --runtime-archive FILE",
        may_redirect=False,
    )


def _content(packed: tarfile.TarFile, name: str) -> bytes:
    file = packed.extractfile(name)
    assert file is not None  # the archive is the one that is known
    return file.read()
