"""Talking with the gateway from its page, in a real browser."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium.webdriver.common.keys import Keys

from gateway.app import Gateway
from gateway.audio import SPEECH_RATE
from gateway.config import Settings
from gateway.engines.choosing import MINIATURE_MODEL
from tests.conformance.speech import silence, spoken
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.fakes.openai_server import OpenAIServer
from tests.web.chromium import PHONE, Browser
from tests.web.conftest import Site, StartSite

pytestmark = pytest.mark.timeout(400)
"""A browser on a busy machine is slow; what waits in these tests gives up before."""

MODEL_S = 60.0
"""To load the recogniser and to recognise with it, on a busy machine."""
QUIET_S = 3.0
"""Before the question: the microphone is heard from when it opens, the recording begins a moment later."""

TAP = """
// Lets the button go in the moment in which it has come to values[0]: no machine is too slow for that.
const button = document.getElementById("hold");
const key = (kind) => button.dispatchEvent(new KeyboardEvent(kind, { key: " ", bubbles: true }));
const there = new Promise((resolve) => {
  new MutationObserver((_, observer) => {
    if (button.dataset.state !== values[0]) return;
    observer.disconnect();
    key("keyup");
    resolve();
  }).observe(button, { attributeFilter: ["data-state"] });
});
key("keydown");
await there;
"""
COMES_BACK_S = 40.0
"""The page waits longer after each try, up to 15 s and a fifth."""
GONE = "return document.querySelector(arguments[0]).innerText === ''"


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A recording of a spoken question, for the microphone."""
    path = tmp_path / "question.wav"
    sound = np.concatenate([silence(QUIET_S), spoken("¿Qué hora es?", "es"), silence(0.3)])
    soundfile.write(path, sound, SPEECH_RATE, subtype="PCM_16")
    return path


async def question_is_over(browser: Browser, seconds: float) -> None:
    """Wait until the page has recorded for `seconds`."""
    await browser.script(
        """
        const began = performance.now();
        while (performance.now() - began < values[0] * 1000) await new Promise((resolve) => setTimeout(resolve, 20));
        """,
        seconds,
    )


async def test_a_question_asked_by_holding_the_button_is_answered_aloud(start_site: StartSite, question: Path) -> None:
    site = await start_site(
        stt="faster-whisper", stt_model=str(MINIATURE_MODEL), llm="offline", tts="espeak", language="es"
    )
    async with Browser(microphone=question, language="es") as browser:
        await browser.open(site.url)
        await browser.shows("Mantén pulsado para hablar", "#talk-state")
        await browser.hold("#hold")
        await browser.shows("Te escucho", "#talk-state")
        await question_is_over(browser, soundfile.info(question).duration)
        await browser.let_go()
        await browser.shows("¿Qué hora es?", "#said .me", MODEL_S)
        await browser.shows("primer sonido", "#said .bubble:not(.me)", MODEL_S)
        assert (await browser.text("#said .bubble:not(.me)")).startswith(("Son las", "Es la"))
        await browser.shows("Mantén pulsado para hablar", "#talk-state", MODEL_S)
        heard = await browser.script("return window.heard")
        assert heard["loudest"] > 0.02
        assert heard["samples"] > 24_000
        assert heard["joins"] > 0
        assert heard["overlaps"] == 0
        await browser.shows("Navegador", "#devices")
        assert await browser.complaints() == []


async def test_pressing_the_button_during_an_answer_interrupts_it(
    start_site: StartSite, provider: OpenAIServer
) -> None:
    provider.chat.answer = lambda request: "A long answer that goes on and on. " * 40
    provider.transcriptions.answer = "And now?"
    site = await start_site()
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.type("#ask-text", f"Tell me something long{Keys.ENTER}")
        await browser.shows("Speaking", "#talk-state")
        await browser.until(lambda: browser.driver.execute_script("return window.heard.loudest > 0.02"), "a sound")
        provider.chat.answer = "Short."
        await browser.hold("#hold")
        await browser.shows("Listening", "#talk-state")
        await browser.shows("interrupted", "#said .bubble:not(.me)")
        await question_is_over(browser, 1)
        await browser.let_go()
        await browser.shows("And now?", "#said .me:last-of-type, #said .me:nth-last-of-type(2)")
        await browser.shows("Short.", "#said")
        await browser.shows("Hold to talk", "#talk-state")
        assert await browser.complaints() == []


async def test_the_space_bar_holds_the_button_and_a_click_of_a_screen_reader_begins_and_ends(
    site: Site, provider: OpenAIServer
) -> None:
    provider.transcriptions.answer = "By the space bar"
    async with Browser(size=PHONE) as browser:
        await browser.open(site.url)
        await browser.hold_key("#hold", Keys.SPACE)
        await browser.shows("Listening", "#talk-state")
        await question_is_over(browser, 1)
        await browser.let_go_key(Keys.SPACE)
        await browser.shows("By the space bar", "#said .me")
        await browser.shows("Hold to talk", "#talk-state")
        provider.transcriptions.answer = "By clicks"
        click = "document.getElementById('hold').dispatchEvent(new MouseEvent('click', {bubbles: true, detail: 0}))"
        await browser.script(click)
        await browser.shows("Listening", "#talk-state")
        await question_is_over(browser, 1)
        await browser.script(click)
        await browser.shows("By clicks", "#said")


async def test_a_press_that_is_too_short_asks_nothing_and_says_what_to_do(site: Site, provider: OpenAIServer) -> None:
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.type("#ask-text", f"Only this{Keys.ENTER}")
        await browser.shows("Answer to Only this.", "#said")
        await browser.shows("Hold to talk", "#talk-state")
        for until in ("opening", "listening"):
            await browser.script(TAP, until)
            await browser.shows("Hold the button", "#talk-trouble")
            await browser.shows("Hold to talk", "#talk-state")
        await browser.type("#ask-text", f"Nothing before{Keys.ENTER}")
        await browser.shows("Answer to Nothing before.", "#said")
        assert provider.transcriptions.requests == []


async def test_without_the_microphone_the_page_says_why_and_takes_typed_questions(site: Site) -> None:
    async with Browser() as browser:
        await browser.open(site.url, microphone="denied")
        await browser.hold("#hold")
        await browser.shows("blocked for this page", "#talk-trouble")
        await browser.let_go()
        await browser.type("#ask-text", f"Without a voice{Keys.ENTER}")
        await browser.shows("Answer to Without a voice.", "#said .bubble:not(.me)")
        await browser.until(lambda: browser.driver.execute_script("return window.heard.loudest > 0.02"), "a sound")


async def test_over_plain_http_from_elsewhere_the_page_asks_for_the_token_and_says_why_there_is_no_microphone(
    start_site: StartSite,
) -> None:
    site = await start_site(web="0.0.0.0:0", web_token="correct horse battery staple")
    port = site.url.rsplit(":", 1)[1].rstrip("/")
    # As from another machine of the network: by a name, and so not a secure page.
    async with Browser(flags=("--host-resolver-rules=MAP gateway.test 127.0.0.1",)) as browser:
        await browser.open(f"http://gateway.test:{port}", microphone="")
        await browser.shows("Log in", "#login")
        assert await browser.text("#page") == ""
        await browser.type("#token", f"guess{Keys.ENTER}")
        await browser.shows("not the token", "#login-wrong")
        await browser.type("#token", f"correct horse battery staple{Keys.ENTER}", instead=True)
        await browser.shows("Live", "#link")
        await browser.shows("only to secure pages", "#talk-trouble")
        await browser.reload()
        await browser.shows("Live", "#link")
        await browser.type("#ask-text", f"From far away{Keys.ENTER}")
        await browser.shows("Answer to From far away.", "#said")
        await browser.click("#logout")
        await browser.shows("Log in", "#login")
        await browser.reload()
        await browser.shows("Log in", "#login")


async def test_the_page_says_that_the_gateway_is_away_and_goes_on_when_it_is_back(
    settings: Callable[..., Settings], broker: Mosquitto
) -> None:
    given = settings(web=f"127.0.0.1:{free_port()}", mqtt_url=broker.url)
    async with Browser() as browser:
        async with Gateway(given) as gateway:
            assert gateway.page_url is not None
            await browser.open(gateway.page_url)
            await browser.shows("Live", "#link")
            await browser.type("#ask-text", f"Before{Keys.ENTER}")
            await browser.shows("Answer to Before.", "#said")
        await browser.shows("cannot be reached", "#link")
        await browser.shows("Trying again", "#talk-trouble")
        async with Gateway(given):
            await browser.shows("Live", "#link", COMES_BACK_S)
            await browser.until(
                lambda: browser.driver.execute_script(GONE, "#talk-trouble"), "talk again", COMES_BACK_S
            )
            await browser.type("#ask-text", f"After{Keys.ENTER}")
            await browser.shows("Answer to After.", "#said")
