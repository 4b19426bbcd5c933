"""Who may import whom, read off the sources; and what importing must not do."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A file of stylegan/ may import those that stand before it. The name of a folder stands for its
# files, which may import each other.
ROWS = """
config presets atomic chance containers distributed extras version fetch parallel video
networks descent
pictures sources labels data measures duplicates faces enlarge squares journal runs control curves
doctor findings_page prepare collect tensors direction_files checkpoint latents query latent_files
recipe walk mix shelf links stamp attachment features detectors feature_files metric_names
model sheet swd distances sampling streams memorisation metrics evaluate attributes judges
directions finding coordinates projector nearest card comparison offline run_page comparison_page
glance space release repository publish importers exporters
"""
ALL = ROWS.split()
DRAWING = [name for name in ALL if name != "importers"]

BESIDE_THE_ROWS = {  # what these may import of stylegan/
    "stylegan": [],  # public names are loaded when they are asked for
    "stylegan.__main__": [*DRAWING, "commands"],
    "stylegan.commands": [*DRAWING, "commands"],
    "stylegan.training": [*ALL, "training"],
    "stylegan.tabs": [*DRAWING, "tabs"],
    "app": [*DRAWING, "tabs"],
    "train": [*ALL, "training"],
    "train.watch": [*ALL, "training", "tabs"],
    "benchmarks": [*ALL, "training"],
    "docs": [*ALL, "training"],
}
ONLY_IN = {  # what only these may import from outside
    "gradio": ("stylegan.tabs", "app"),
    "tyro": ("stylegan.__main__", "train"),
    "pickle": ("stylegan.importers",),
}
IMPORT_BY_NAME = ("stylegan", "stylegan.extras", "train.__main__")
NOT_IN_NETWORKS = ("os", "io", "pathlib", "time", "datetime", "safetensors", "torch.distributed")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    """The source without `if TYPE_CHECKING:` blocks, which never run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


PATHS = [
    p for x in ("stylegan", "train", "benchmarks", "docs") for p in sorted((ROOT / x).rglob("*.py"))
]
PATHS += ROOT.glob("app.py")
SOURCES = {module_name(path): parse(path) for path in PATHS}


def is_folder(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).is_dir()


def inside(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def import_statements(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def named_by(statement: ast.Import | ast.ImportFrom, name: str) -> list[str]:
    """Full names of the modules that a statement in module `name` brings in."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    start = statement.module or ""
    if statement.level:
        parts = name.split(".")
        above = parts[: len(parts) - statement.level + is_folder(name)]
        start = ".".join([*above, start] if start else above)
    # `from stylegan import chance` names a module, `from stylegan.chance import generator` does not
    full = [f"{start}.{alias.name}" for alias in statement.names]
    return [x if x in SOURCES else start for x in full]


IMPORTS = {
    name: [x for statement in import_statements(tree) for x in named_by(statement, name)]
    for name, tree in SOURCES.items()
}


def may_import(name: str) -> list[str]:
    """What of stylegan/ a module may import."""
    for place in (name, ".".join(name.split(".")[:2]), name.partition(".")[0]):
        if place in BESIDE_THE_ROWS and (place != "stylegan" or name == place):
            return BESIDE_THE_ROWS[place]
    own = name.split(".")[1]
    assert own in ALL, f"{name} stands in no row of this test: say what it may import"
    return ALL[: ALL.index(own) + is_folder(f"stylegan.{own}")]


@pytest.mark.parametrize("name", SOURCES)
def test_layers(name):
    may = may_import(name)
    for target in IMPORTS[name]:
        if inside(target, "stylegan"):
            own = inside(name, "stylegan")
            assert target != "stylegan" or not own, f"{name} imports the package it is part of"
            assert target == "stylegan" or target.split(".")[1] in may, f"{name} imports {target}"
        for place in ("train", "app"):  # one command never imports another
            assert not inside(target, place), f"{name} imports {target}"
        for place in ("benchmarks", "docs"):
            assert not inside(target, place) or inside(name, place), f"{name} imports {target}"


def test_no_cycles():
    graph = {name: [x for x in IMPORTS[name] if x in SOURCES and x != name] for name in SOURCES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", ONLY_IN)
def test_walls_around_libraries(library):
    users = [name for name, targets in IMPORTS.items() if any(inside(x, library) for x in targets)]
    for name in users:
        assert any(inside(name, place) for place in ONLY_IN[library]), f"{name} imports {library}"


def test_networks_know_no_files_ranks_or_clocks():
    for name in SOURCES:
        if inside(name, "stylegan.networks"):
            found = [x for x in IMPORTS[name] if any(inside(x, no) for no in NOT_IN_NETWORKS)]
            assert not found, f"{name} imports {found[0]}"


@pytest.mark.parametrize("name", SOURCES)
def test_imports_stand_at_the_top(name):
    top = []
    for node in SOURCES[name].body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not isinstance(node, ast.Import | ast.ImportFrom):
            break
        top.append(node)
    late = [node.lineno for node in import_statements(SOURCES[name]) if node not in top]
    assert not late, f"{name} imports in line {late[0]}"
    words = {x.attr for x in ast.walk(SOURCES[name]) if isinstance(x, ast.Attribute)}
    words |= {x.id for x in ast.walk(SOURCES[name]) if isinstance(x, ast.Name)}
    by_name = words & {"import_module", "__import__"}
    assert not by_name or name in IMPORT_BY_NAME, f"{name} imports by name"


def run(code: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of a fresh Python with `folder` as home and working folder."""
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(folder))
    environment = os.environ | places | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("HF_HOME", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def loaded(prefixes: tuple[str, ...]) -> str:
    return f"\nimport sys; print([x for x in sys.modules if x.startswith({prefixes})])"


def test_the_bare_package_is_light(tmp_path):
    assert run("import stylegan" + loaded(("torch", "numpy")), tmp_path) == (0, "[]\n", "")


def test_drawing_loads_no_training_and_no_gradio(tmp_path):
    code = "import stylegan; stylegan.load; stylegan.Model; stylegan.Recipe"
    walls = ("gradio", "tyro", "stylegan.training", "stylegan.tabs", "stylegan.importers")
    assert run(code + loaded(walls), tmp_path) == (0, "[]\n", "")


def import_all(names: list[str]) -> str:
    return f"import importlib\nfor name in {names}: importlib.import_module(name)"


def test_training_loads_no_gradio(tmp_path):
    commands = [x for x in SOURCES if x != "train.watch" and inside(x, "train")]
    parts = [x for x in SOURCES if inside(x, "stylegan.training")]
    code = import_all(commands + parts) + loaded(("gradio", "stylegan.tabs"))
    assert run(code, tmp_path) == (0, "[]\n", "")


def test_importing_does_nothing(tmp_path):
    code = import_all(list(SOURCES)) + "\nimport torch; print(torch.cuda.is_initialized())"
    assert run(code, tmp_path) == (0, "False\n", "")
    assert list(tmp_path.iterdir()) == []
