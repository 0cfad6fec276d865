"""The public models in gin/models/ have as many parameters as published."""

from pathlib import Path

import pytest

from flan_jax.cli import gin_settings
from flan_jax.models.params import count_params

PUBLISHED = {
    "t5_1_0_small": 60_506_624,
    "t5_1_0_base": 222_903_552,
    "t5_1_0_large": 737_668_096,
    "t5_1_0_3b": 2_851_598_336,
    "t5_1_0_11b": 11_307_321_344,
    "t5_1_1_small": 76_961_152,
    "t5_1_1_base": 247_577_856,
    "t5_1_1_large": 783_150_080,
    "t5_1_1_xl": 2_849_757_184,
    "t5_1_1_xxl": 11_135_332_352,
    "flan_t5_base": 247_577_856,
    "t0_3b": 2_849_757_184,
    "mt5_small": 300_176_768,
    "mt5_base": 582_401_280,
    "mt5_large": 1_229_581_312,
    "mt5_xl": 3_742_619_648,
    "mt5_xxl": 12_921_057_280,
    "llama2_7b": 6_738_415_616,
    "llama2_13b": 13_015_864_320,
    "llama2_70b": 68_976_648_192,
    "llama3_8b": 8_030_261_248,
    "llama3_1_70b": 70_553_706_496,
    "llama3_2_1b": 1_235_814_400,
    "llama3_2_3b": 3_212_749_824,
    "mistral_7b_v0_1": 7_241_732_096,
    "mistral_7b_v0_3": 7_248_023_552,
    "qwen2_5_0_5b": 494_032_768,
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen2_5_3b": 3_085_938_688,
    "qwen2_5_7b": 7_615_616_512,
    "qwen2_5_14b": 14_770_033_664,
    "qwen2_5_32b": 32_763_876_352,
    "qwen2_5_72b": 72_706_203_648,
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
    "qwen3_14b": 14_768_307_200,
    "qwen3_32b": 32_762_123_264,
    "gemma2_2b": 2_614_341_888,
    "gemma2_9b": 9_241_705_984,
    "gemma2_27b": 27_227_128_320,
    "gemma3_1b": 999_885_952,
}
ROUNDED = {
    "lamda_pt_422m": 422e6,
    "lamda_pt_2b": 2e9,
    "lamda_pt_8b": 8e9,
    "lamda_pt_68b": 68e9,
    "lamda_pt_137b": 137e9,
    "ul2": 20e9,
}
FOLDER = Path(gin_settings.GIN_FOLDER) / "models"


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_parameters_as_published(name):
    assert (
        count_params(gin_settings.load_model([f"models/{name}.gin"])) == PUBLISHED[name]
    )


@pytest.mark.parametrize("name", ROUNDED)
def test_sizes_that_are_published_in_round_numbers(name):
    count = count_params(gin_settings.load_model([f"models/{name}.gin"]))
    assert count == pytest.approx(ROUNDED[name], rel=0.15)


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*.gin")), ids=lambda file: file.stem
)
def test_every_file_is_a_model_in_few_lines(file):
    assert gin_settings.load_model([str(file)]).architecture
    assert len(file.read_text().splitlines()) <= 25
