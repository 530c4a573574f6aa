"""What `import mtl` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mtl


@pytest.mark.parametrize("name", mtl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mtl, name) is not None
    assert name in dir(mtl)


def test_names_are_what_they_say() -> None:
    from mtl.errors import MtlError
    from segmentation.errors import MtlError as Root

    assert mtl.MtlError is MtlError is Root
    assert issubclass(mtl.Experiment, object)
    assert mtl.load_config("default").name == "default"
    assert callable(mtl.load)
    assert callable(mtl.execute)


def test_import_is_light() -> None:
    code = (
        "import sys, mtl; mtl.__all__, dir(mtl), mtl.load_config, mtl.MtlError; "
        "print(*sorted({'torch', 'cv2', 'sklearn', 'timm', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_name_lists_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"'train'; it has Experiment, .*load_config"):
        mtl.train  # noqa: B018
    with pytest.raises(ImportError):
        from mtl import train  # noqa: F401
    assert not hasattr(mtl, "_nothing")
