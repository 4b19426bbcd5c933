"""How long until the app draws? python -m benchmarks.app_load

Each run starts `python app.py` anew and fetches one picture over its HTTP API. Beside it, in the
same round, a process that only imports torch and gradio: what no app of this kind starts without.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SEC = 120
COLUMNS = {
    "imports_s": "imports s",
    "address_s": "address s",
    "picture_s": "picture s",
    "picture_over_imports": "picture/imports",
}


def imports_sec() -> float:
    """Seconds that a fresh Python takes to import torch and gradio."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True)
    return time.perf_counter() - start


def app_sec(flags: list[str]) -> tuple[float, float]:
    """Seconds from the start of the app to its address, and to its first picture."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    command = [sys.executable, "app.py", "--host", "127.0.0.1", "--port", str(port), *flags]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STYLEGAN_")}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as app:
        try:
            if not app.stdout.readline():
                raise SystemExit("app_load: the app did not start")
            address = time.perf_counter() - start
            first_picture(f"http://127.0.0.1:{port}")
            return address, time.perf_counter() - start
        finally:
            app.terminate()


def first_picture(url: str) -> bytes:
    """Seed 0 as a PNG."""
    body = json.dumps({"data": ["seed=0"]}).encode()
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/gradio_api/run/seeds", body, kind)
    with urllib.request.urlopen(request, timeout=LIMIT_SEC) as response:
        (picture,) = json.load(response)["data"]
    with urllib.request.urlopen(picture["url"], timeout=LIMIT_SEC) as response:
        return response.read()


def measure(flags: list[str]) -> dict[str, float]:
    """One row of the table."""
    imports = imports_sec()
    address, picture = app_sec(flags)
    row = {"imports_s": imports, "address_s": address, "picture_s": picture}
    return {**row, "picture_over_imports": picture / imports}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="model folder (all under checkpoints/)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    flags = ["--model", str(Path(args.model).resolve())] if args.model else []
    print(" | ".join(COLUMNS.values()))
    rows = []
    for _ in range(args.rounds):
        rows.append(measure(flags))
        print(" | ".join(f"{rows[-1][key]:{len(title)}.2f}" for key, title in COLUMNS.items()))
    middle = {key: round(statistics.median(row[key] for row in rows), 3) for key in COLUMNS}
    print(json.dumps({"benchmark": "app_load", "cores": os.cpu_count(), **middle}))


if __name__ == "__main__":
    main()
