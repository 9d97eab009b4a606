from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.support_source import PACKAGES, ROOT, modules

#: Layers that fill many modules; a module belongs to the layer with the longest name it begins
#: with.
CONTAINER = "outbox_worker"


def contracts() -> list[dict[str, Any]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = config["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[str]:
    (layered,) = (contract for contract in contracts() if contract["type"] == "layers")
    return [
        name.strip("() ")
        for line in layered["layers"]
        for name in line.replace(":", "|").split("|")
    ]


def test_every_import_contract_is_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(program), "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_contract_has_exceptions() -> None:
    for contract in contracts():
        assert not [key for key in contract if "ignore" in key], contract["name"]


def test_every_module_has_its_layer() -> None:
    names = [module.name for module in modules(CONTAINER)]
    known = [f"{CONTAINER}.{layer}" for layer in layers()]
    homeless = [
        name
        for name in names
        if not any(other.startswith(f"{name}.") for other in names)
        and not any(name == layer or name.startswith(f"{layer}.") for layer in known)
    ]

    assert homeless == [], "\n".join(homeless)


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {part for module in modules(*PACKAGES, "tests") for part in module.name.split(".")}

    assert names & {"utils", "common", "helpers", "manager", "base", "misc"} == set()
