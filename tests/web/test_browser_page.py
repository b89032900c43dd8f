"""What the page shows and lets one do, in a real browser."""

import asyncio

import pytest
from selenium.webdriver.common.keys import Keys

from gateway.device import Ended, SoftwareDevice
from tests.e2e.conftest import StartDevice
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer, Status
from tests.web.chromium import DESKTOP, PATIENCE_S, PHONE, Browser
from tests.web.conftest import Site, StartSite

pytestmark = pytest.mark.timeout(400)
"""A browser on a busy machine is slow; what waits in these tests gives up before."""

KITCHEN = {"v": 1, "name": "Kitchen", "max_packet": 4096, "buffer_ms": 3000, "language": "en"}
ROW = "#devices li button"
CHOSEN = "return [document.documentElement.lang, document.documentElement.dataset.theme]"
DIALOG_CLOSED = "return !document.querySelector('#device').open"

FAINT = """
// Text whose contrast with what lies behind it is below 4.5 to 1 (WCAG AA).
const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([red, green, blue]) => {
  const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!own || !element.checkVisibility({ visibilityProperty: true }) || element.closest("option")) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(channels(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) faint.push(`${element.className} ${element.textContent.trim()}: ${contrast.toFixed(2)}`);
}
return faint;
"""

BEYOND = """
// What reaches over the side of the screen, or is cut off in its button.
const beyond = [];
for (const element of document.querySelectorAll("body *")) {
  if (!element.checkVisibility() || element.closest(".unseen, .skip, .scroll, .talked")) continue;
  const box = element.getBoundingClientRect();
  const cut = element.matches("button:not(.mic)") && element.scrollWidth > element.clientWidth + 1;
  const outside = box.right > innerWidth + 1 || box.left < -1;
  if (outside || cut) beyond.push(`${element.tagName}#${element.id}.${element.className}`);
}
return beyond;
"""


async def asked(device: SoftwareDevice, number: int) -> None:
    """Have `device` ask question `number`, and wait for the end of its turn."""
    exchange = await device.speak(spoken(number), paced=False)
    await exchange.done(PATIENCE_S)


async def test_before_anything_was_said_the_page_says_what_to_do(site: Site) -> None:
    async with Browser(language="es") as browser:
        await browser.open(site.url)
        await browser.shows("En directo", "#link")
        await browser.shows("Pregunta algo", "#said")
        await browser.shows("Nadie está hablando", "#running")
        await browser.shows("mosquitto_pub -t voice/kitchen/in", "#devices")
        await browser.shows("Cada uno dibuja una barra", "#latency")
        await browser.shows("Sin errores", "#errors")
        await browser.shows("Motores", "main")
        await browser.shows("funciona", "#engines")
        assert await browser.complaints() == []


async def test_a_turn_of_a_board_is_seen_as_it_happens_and_what_is_said_stays_hidden(
    start_site: StartSite, provider: OpenAIServer, start_device: StartDevice
) -> None:
    site = await start_site(llm_first_token_s=PATIENCE_S * 3, llm_timeout_s=PATIENCE_S * 3)
    provider.chat.wait_for = asyncio.Event()
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.shows("online", ROW)
        exchange = await device.speak(spoken(1), paced=False)
        await browser.shows("Kitchen", "#running .who")
        await browser.shows("Writing", "#running .now")
        await browser.shows("thinking", ROW)
        provider.chat.wait_for.set()
        await exchange.done(PATIENCE_S)
        await browser.shows("completed", "#running .who")
        await browser.shows("Last turn: completed", ROW)
        await browser.shows("Answers shown: 1.", "#latency figcaption")
        await browser.shows("1", "#figures > div:nth-child(2) dd")
        await browser.click(ROW)
        await browser.shows("What is said is hidden", "#device .talked")
        page = await browser.script("return document.documentElement.innerHTML")
        assert "question 1" not in page
        assert await browser.complaints() == []


async def test_what_is_said_is_shown_where_the_operator_allows_it(
    start_site: StartSite, start_device: StartDevice
) -> None:
    site = await start_site(web_text=True)
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.shows("Kitchen", ROW)
        await asked(device, 1)
        await browser.shows("Answer to question 1.", "#running")
        await browser.click(ROW)
        await browser.shows("question 1", "#device .talked .me")
        await asked(device, 2)
        await browser.shows("Answer to question 2.", "#device .talked")


async def test_a_conversation_is_forgotten_only_after_a_confirmation(
    site: Site, provider: OpenAIServer, start_device: StartDevice
) -> None:
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    await asked(device, 1)
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.click(ROW)
        await browser.click("#device button", "Forget the conversation")
        await browser.shows("cannot be undone", "#confirm")
        await browser.click("#confirm button", "Cancel")
        await asked(device, 2)
        assert "question 1" in str(provider.chat.requests[-1].json["messages"])
        await browser.click("#device button", "Forget the conversation")
        await browser.click("#confirm button", "Forget it")
        await browser.shows("Messages forgotten: 4.", "#device > div > .buttons .result")
        await asked(device, 3)
        assert "question 1" not in str(provider.chat.requests[-1].json["messages"])


async def test_an_announcement_is_spoken_on_the_device_and_the_page_tells_when(
    site: Site, start_device: StartDevice
) -> None:
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.shows("online", ROW)
        await browser.type("#announce-text", "Dinner is ready")
        await browser.choose("#announce-to", "a4cf128b3f9e")
        await browser.choose("#announce-priority", "high")
        await browser.click("#announce button", "Announce")
        exchange = await device.announcement(PATIENCE_S)
        reply = await exchange.reply(PATIENCE_S)
        assert reply.ended is Ended.END
        await browser.shows("Kitchen: spoken", "#announce .result")
        await browser.type("#announce-text", "Nobody is there")
        await browser.choose("#announce-to", "group:")
        await browser.type("#announce-group", "cellar")
        await browser.click("#announce button", "Announce")
        await browser.shows("cellar", "#announce .result")


async def test_the_assistant_of_a_device_is_shown_and_changed(
    site: Site, provider: OpenAIServer, start_device: StartDevice
) -> None:
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    await asked(device, 1)
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.click(ROW)
        await browser.type("#personality-system_prompt", "Answer like a pirate.")
        await browser.type("#personality-quiet", "at night")
        await browser.click("#device button", "Save")
        await browser.shows("22:00-07:00", "#device .assistant .result")
        await browser.type("#personality-quiet", "", instead=True)
        await browser.click("#device button", "Save")
        await browser.shows("Saved", "#device .assistant .result")
        await asked(device, 2)
        assert provider.chat.requests[-1].json["messages"][0]["content"].startswith("Answer like a pirate.")


async def test_errors_and_tired_engines_are_told_in_words(
    site: Site, provider: OpenAIServer, start_device: StartDevice
) -> None:
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    provider.chat.answer = Status(401, message="the key is not valid")
    async with Browser(language="es") as browser:
        await browser.open(site.url)
        await browser.shows("Kitchen", ROW)
        await asked(device, 1)
        await browser.shows("fallido", "#running .badge")
        await browser.shows("Ha fallado el modelo de chat", "#errors")
        await browser.shows("Kitchen", "#errors")
        await browser.shows("Fallos: 1", "#engines")


async def test_language_and_colours_are_chosen_and_kept(site: Site) -> None:
    async with Browser(language="es", dark=True) as browser:
        await browser.open(site.url)
        await browser.shows("Anunciar", "main")
        assert await browser.script(CHOSEN) == ["es", "dark"]
        await browser.choose("#language", "en")
        await browser.choose("#theme", "light")
        await browser.shows("Announce", "main")
        await browser.reload()
        await browser.shows("Announce", "main")
        await browser.shows("Live", "#link")
        assert await browser.script(CHOSEN) == ["en", "light"]
        await browser.choose("#theme", "system")
        assert await browser.script("return document.documentElement.dataset.theme") == "dark"
        assert await browser.text("main") != ""
        assert "ñ" not in (await browser.text("main")).replace("Español", "")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
async def test_everything_is_named_readable_and_within_the_screen(
    start_site: StartSite, start_device: StartDevice, size: tuple[int, int], dark: bool
) -> None:
    site = await start_site(web_text=True)
    device = await start_device(site.gateway, "a4cf128b3f9e", hello=KITCHEN)
    async with Browser(size=size, dark=dark) as browser:
        await browser.open(site.url)
        await browser.shows("Kitchen", ROW)
        await asked(device, 1)
        await browser.type("#ask-text", f"A question{Keys.ENTER}")
        await browser.shows("Answer to A question.", "#said")
        await browser.shows("Answers shown: 2.", "#latency figcaption")
        assert await browser.unnamed_controls() == []
        assert await browser.script(FAINT) == []
        assert await browser.script(BEYOND) == []
        await browser.click(ROW)
        await browser.shows("Its assistant", "#device")
        assert await browser.unnamed_controls() == []
        assert await browser.script(FAINT) == []
        assert await browser.script(BEYOND) == []
        await browser.type("#device", Keys.ESCAPE)
        await browser.until(lambda: browser.driver.execute_script(DIALOG_CLOSED), "a closed dialog")
        assert await browser.script("return document.activeElement.closest('#devices') !== null")


async def test_the_page_asks_nobody_but_the_gateway(site: Site) -> None:
    async with Browser() as browser:
        await browser.open(site.url)
        await browser.shows("Live", "#link")
        asked = await browser.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert len(asked) > 20
        assert [address for address in asked if not address.startswith(site.url)] == []
