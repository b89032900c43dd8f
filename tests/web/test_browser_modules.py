"""The page's own computing, run in the browser that it is for."""

import re
from pathlib import Path

import pytest

from gateway.web.application import STATIC
from tests.web.chromium import Browser
from tests.web.conftest import Site

pytestmark = pytest.mark.timeout(400)
"""A browser on a busy machine is slow; what waits in these tests gives up before."""

RESAMPLE = """
const { Resampler } = await import("/static/js/talk/resampler.js");
const [rate, frequency, cuts] = values;
const tone = Float32Array.from({ length: rate }, (_, index) => Math.sin((2 * Math.PI * frequency * index) / rate));
const resampler = new Resampler(rate, 16000);
const parts = [];
let at = 0;
for (let turn = 0; at < tone.length; turn++) {
  const size = cuts[turn % cuts.length];
  parts.push(...resampler.push(tone.subarray(at, at + size)));
  at += size;
}
parts.push(...resampler.flush());
const middle = parts.slice(2000, 14000);
const power = Math.sqrt(middle.reduce((sum, value) => sum + value * value, 0) / middle.length);
let crossings = 0;
for (let index = 1; index < middle.length; index++) if (middle[index - 1] < 0 && middle[index] >= 0) crossings++;
return { samples: parts.length, power, hertz: (crossings * 16000) / middle.length, head: parts.slice(0, 4000) };
"""


async def test_speech_keeps_its_pitch_and_loudness_and_what_is_above_it_goes(site: Site) -> None:
    async with Browser() as browser:
        await browser.open(site.url, microphone="")
        for rate in (16_000, 44_100, 48_000, 96_000):
            speech = await browser.script(RESAMPLE, rate, 1000, [128])
            assert speech["samples"] == pytest.approx(16_000, abs=40)
            assert speech["power"] == pytest.approx(0.7071, abs=0.01)
            assert speech["hertz"] == pytest.approx(1000, abs=5)
        for rate in (44_100, 48_000, 96_000):
            # It would come back at 5 kHz, in the middle of speech.
            assert (await browser.script(RESAMPLE, rate, 11_000, [128]))["power"] < 0.001


async def test_the_same_comes_out_however_the_microphone_cuts_it(site: Site) -> None:
    async with Browser() as browser:
        await browser.open(site.url, microphone="")
        whole = await browser.script(RESAMPLE, 44_100, 440, [44_100])
        pieces = await browser.script(RESAMPLE, 44_100, 440, [1, 128, 7, 1000])
        assert pieces["samples"] == whole["samples"]
        assert pieces["head"] == pytest.approx(whole["head"], abs=1e-5)


def keys_of(language: str) -> list[str]:
    source = (STATIC / "js" / "texts" / f"{language}.js").read_text(encoding="utf-8")
    return re.findall(r'^  "?([\w.]+)"?: ', source, re.MULTILINE)


def test_both_languages_have_the_same_texts_once() -> None:
    assert keys_of("es") == keys_of("en")
    assert len(set(keys_of("es"))) == len(keys_of("es"))


def test_every_text_is_there_and_used() -> None:
    def read(path: Path) -> str:
        return path.read_text(encoding="utf-8")

    sources = [path for path in STATIC.rglob("*") if path.suffix in (".js", ".html") and path.parent.name != "texts"]
    source = "\n".join(map(read, sources))
    named = set(re.findall(r'["`]([a-z_]+(?:\.\w+)+)["`]', source)) | set(re.findall(r'data-t="([\w.]+)"', source))
    named |= set(re.findall(r'\bt\("(\w+)"\)', source))
    families = set(re.findall(r"`([a-z_]+\.)\$\{", source))
    keys = set(keys_of("en"))
    assert named - keys == set()
    assert {key for key in keys - named if not key.startswith(tuple(families))} == set()
