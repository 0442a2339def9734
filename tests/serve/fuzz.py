"""Schemathesis against a service of its own: `make fuzz-serve`.

No answer may have a status or a form that the description does not name: so 500 is a fault, and
503, which is for what was not done in time, is none.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from mindssd.platform import peak_memory_mb
from tests.deploy.conftest import writer
from tests.serve.conftest import picture, png, running

CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("schemathesis", type=Path)
    parser.add_argument("--examples", type=int, default=1000, help="of each route")
    parser.add_argument("--seed", default="0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(writer(Path(folder))()) as service:
        before = peak_memory_mb() or 0
        address = f"http://127.0.0.1:{service.port}/openapi.json"
        words = ["run", address, "--max-examples", str(arguments.examples), "--no-color"]
        words += ["--seed", arguments.seed, "--checks", CHECKS]
        done = subprocess.run([arguments.schemathesis.resolve(), *words], cwd=folder, check=False)
        grown = (peak_memory_mb() or 0) - before
        answer = service.detect(png(picture()))
        print(f"memory grew by {grown:.0f} MB; the next good request: {answer.status}")
        assert answer.status == 200 and grown < 300
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
