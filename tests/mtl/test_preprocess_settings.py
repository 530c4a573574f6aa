"""Settings of preprocessing that cannot be meant are refused in one line, before anything is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called
from pydantic import ValidationError

from mtl.config import load_config
from mtl.errors import ConfigError
from stages.settings import PreprocessSettings, SegmentSettings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("segment={method: watersed}", "did you mean watershed"),
        ("segment={method: otsu}", "did you mean otsu-green"),
        ("segment={method: nonne}", "did you mean none"),
        ("segment={method: hsv, settings: {hue: 3}}", "did you mean hue_low"),
        ("segment={method: hsv, settings: {saturation_low: 0.9, saturation_high: 0.1}}", "to be at most"),
        ("segment={method: hsv, settings: {value_low: 2}}", "`value_low` to be a number from 0 to 1"),
        ("segment={method: hsv, settings: {fit: own, hue_low: 3}}", "`hue_low` or `fit`"),
        ("segment={method: k-means, settings: {fit: own}}", "for method hsv"),
        ("segment={method: hsv, settings: {fit: 3}}", "`own` or a folder of masks"),
        ("segment={method: hsv, weights: x.safetensors}", "which has no network"),
        ("segment={weights: x.safetensors}", "`segment.method` beside"),
        ("segment={method: hsv, use: white}", "segment.use"),
        ("segment={methd: hsv}", "did you mean method"),
        ("normalise={method: grey}", "normalise.method"),
        ("normalise={method: macenco}", "macenko"),
        ("sharpen={method: unsharp}", "unsharp-adaptive"),
        ("sharpen={method: unsharp-adaptive, sigma: 0}", "sharpen.sigma"),
        ("fit=squeeze", "preprocess.fit"),
    ],
)
def test_what_cannot_be_meant_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(sets=[f"multi_cell.preprocess.{text}"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_none_switches_off_what_stands_beside_it() -> None:
    settings = SegmentSettings.model_validate({"method": "none", "settings": {"level": 98}})
    assert settings.fit is None
    assert PreprocessSettings().segment.method == "none"


def test_settings_survive_their_own_dump() -> None:
    values = {
        "normalise": {"method": "macenko"},
        "segment": {"method": "channel-mixer", "settings": {"level": 120.0}, "use": "blue"},
        "sharpen": {"method": "unsharp-adaptive"},
    }
    settings = PreprocessSettings.model_validate(values)
    assert PreprocessSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError):
        PreprocessSettings.model_validate({"segment": {"method": "hsv", "settings": {"hue_low": -1}}})


def test_the_default_is_read_without_anything_heavy() -> None:
    code = (
        "import sys; from mtl.config import load_config; load_config(); "
        "print([name for name in ('torch', 'skimage', 'sklearn', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--segment", "watersed"], "did you mean watershed?"),
        (["--set", "multi_cell.preprocess.segment={method: residual_unet, weights: nowhere}"], "nowhere"),
    ],
)
def test_the_command_ends_with_one_line_and_exit_2(
    rendered: Path, tmp_path: Path, flags: list[str], said: str
) -> None:
    single, multi = f"all-idb2:{rendered / 'ALL-IDB2'}", f"all-idb1:{rendered / 'ALL-IDB1'}"
    data = ["--single-cell", single, "--multi-cell", multi]
    done = called("run", "--weights", "none", "--backbone", TINY_BACKBONE, *data, *flags, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
