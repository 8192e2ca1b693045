"""What pip installs: every import is declared, and wheel and sdist are complete."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slot_attention_tf as sa
from tests.conftest import ROOT

COMMANDS = {
    "slot-attention-discovery": "--learning_rate",
    "slot-attention-set-prediction": "--learning_rate",
    "slot-attention-eval": "--model_dir",
    "slot-attention-segment": "PHOTOS",
    "slot-attention-extract": "PHOTOS",
}
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


def section(start):
    """The text of `pyproject.toml` from a line to the next section."""
    return PYPROJECT.split(start, 1)[1].split("\n[", 1)[0]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_modules(folder):
    """Top-level names of the modules that the files of a folder import."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.partition(".")[0]


def test_every_import_of_the_package_is_declared():
    needed = PYPROJECT.split("\ndependencies = [", 1)[1].split("\n]", 1)[0]
    needed += section("[project.optional-dependencies]")
    declared = {normalized(name) for name in re.findall(r'"([\w.-]+)', needed)}
    others = set(imported_modules(ROOT / "slot_attention_tf"))
    others -= {*sys.stdlib_module_names, "slot_attention_tf"}
    assert {"tensorflow", "keras", "numpy", "PIL", "absl"} <= others
    owners = importlib.metadata.packages_distributions()
    undeclared = {
        module
        for module in others
        if not declared & {normalized(name) for name in owners.get(module, [module])}
    }
    assert undeclared == set()


def test_the_commands_are_those_that_are_tested():
    names = re.findall(r"^([a-z-]+) = ", section("[project.scripts]"), re.MULTILINE)
    assert sorted(names) == sorted(COMMANDS)


def call(*command, **options):
    process = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    assert process.returncode in (0, 1), process.stderr[-4000:]
    return process


def built(folder):
    """Builds wheel and sdist from a copy of the repository; returns their paths."""
    source = folder / "source"
    files = call(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT
    )
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    assert not call(
        sys.executable, "-m", "build", "--outdir", folder, source
    ).returncode
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def environment_without_the_package(folder):
    """A new virtual environment that sees the packages of this one, but not ours.

    An editable installation is a `.pth` file, which Python reads in its own
    site-packages only, not in the folders that another `.pth` file names.
    """
    call(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(call(python, "-c", code).stdout.strip())
    (site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python, site


@pytest.mark.slow
def test_wheel_and_sdist(tmp_path):
    """Builds both, installs the wheel, runs its commands outside of the repository.

    The dependencies are those of this environment, which saves downloading TensorFlow:
    that pip finds and installs them is not tested here.
    """
    wheel, sdist = built(tmp_path)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("tests/tasks/tiny.py", "tests/data/clevr_renders/03.png", "Makefile")
    scripts = ("train_discovery.py", "eval/discovery.py", "examples/own_decoder.py")
    assert {*wanted, *scripts, "LICENSE", "README.md", "CITATION.cff"} <= names
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {
        "slot_attention_tf",
        f"slot_attention_tf-{sa.__version__}.dist-info",
    }

    python, site = environment_without_the_package(tmp_path / "environment")
    before = set(site.iterdir())
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    assert {path.name for path in set(site.iterdir()) - before} == tops
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    elsewhere = {"cwd": tmp_path, "env": clean}
    code = "import slot_attention_tf; print(slot_attention_tf.__file__)"
    assert str(site) in call(python, "-c", code, **elsewhere).stdout
    for command, word in COMMANDS.items():
        assert word in call(python.parent / command, "--help", **elsewhere).stdout

    model = sa.SlotAttentionAutoEncoder((16, 16), 3, 1, slot_size=8)
    model.save(tmp_path / "model.keras")
    Image.fromarray(np.zeros((20, 30, 3), "uint8")).save(tmp_path / "photo.png")
    segment = (python.parent / "slot-attention-segment", "photo.png", "--out=masks")
    for options in ((), ("--model=model.keras", "--overwrite")):
        process = call(*segment, *options, **elsewhere)
        assert process.returncode == 0, process.stderr[-4000:]
    with Image.open(tmp_path / "masks" / "photo_slot_2.png") as picture:
        assert picture.size == (30, 20)
