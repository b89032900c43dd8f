"""A real browser, driven as a person uses it: Debian's Chromium, with a WAV file for a microphone."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 45.0
LOAD_S = 120
POLL_S = 0.05
DESKTOP, PHONE = (1280, 900), (390, 844)

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)

_LISTEN = """
(() => {
  // What goes to the loudspeaker is measured on its way: how loud it got, and whether the pieces join.
  const heard = (window.heard = { loudest: 0, samples: 0, joins: 0, overlaps: 0 });
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...more) {
    if (target instanceof AudioDestinationNode) {
      const meter = new AnalyserNode(this.context);
      connect.call(this, meter);
      const samples = new Float32Array(meter.fftSize);
      setInterval(() => {
        meter.getFloatTimeDomainData(samples);
        const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
        heard.loudest = Math.max(heard.loudest, Math.sqrt(power));
      }, 50);
    }
    return connect.call(this, target, ...more);
  };
  let end = 0;
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when, ...more) {
    const samples = this.buffer.sampleRate * when;
    if (Math.abs(samples - end) < 0.01) heard.joins += 1;
    else if (samples < end) heard.overlaps += 1;
    end = samples + this.buffer.length;
    heard.samples += this.buffer.length;
    return start.call(this, when, ...more);
  };
})();
"""

_NAMED = {"button", "checkbox", "combobox", "dialog", "image", "link", "log", "region", "textbox"}

_READ = """
const element = document.querySelector(arguments[0]);
return element?.checkVisibility() ? element.innerText : "";
"""


def _program(name: str) -> str:
    """Its path. Without it a test is skipped; under CI it fails."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class Browser:
    """`async with Browser(microphone=wav) as browser:`; its methods block in a thread, so that servers of the test
    live on."""

    def __init__(
        self,
        *,
        microphone: Path | None = None,
        language: str = "en",
        dark: bool = False,
        size: tuple[int, int] = DESKTOP,
        flags: tuple[str, ...] = (),
    ) -> None:
        """`microphone` is heard once, from when the page opens its microphone; without one it beeps."""
        options = ChromeOptions()
        options.binary_location = _program("chromium")
        self._driver_path = _program("chromedriver")
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        for flag in (*_FLAGS, f"--user-data-dir={self._folder.name}", f"--accept-lang={language}", *flags):
            options.add_argument(flag)
        if microphone is not None:
            options.add_argument(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._options = options
        self._dark = dark
        self._size = size
        self.driver: Chrome

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.driver.quit)
        self._folder.cleanup()

    def _start(self) -> None:
        self.driver = Chrome(options=self._options, service=Service(self._driver_path))
        self.driver.set_page_load_timeout(LOAD_S)
        self.driver.set_script_timeout(LOAD_S)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _LISTEN})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._resize(*self._size)

    def _resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    async def open(self, url: str, *, microphone: str = "granted") -> None:
        """Open the page at `url`, which has the microphone `granted`, `denied`, or (empty) needs not be asked about."""
        if microphone:
            permission = {"permission": {"name": "microphone"}, "setting": microphone, "origin": url}
            await asyncio.to_thread(self.driver.execute_cdp_cmd, "Browser.setPermission", permission)
        await asyncio.to_thread(self.driver.get, url)

    async def reload(self) -> None:
        await asyncio.to_thread(self.driver.refresh)

    async def script(self, source: str, *values: object) -> Any:
        """What `source` returns in the page; promises are waited for."""
        body = f"const done = arguments[arguments.length - 1]; (async (...values) => {{ {source} }})(...arguments)"
        body += ".then((value) => done({value}), (error) => done({error: String(error)}))"
        outcome = await asyncio.to_thread(self.driver.execute_async_script, body, *values)
        assert "error" not in outcome, outcome["error"]
        return outcome.get("value")

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
        """Wait until `condition()`, which asks the driver, is true, and return it."""
        wait = WebDriverWait(self.driver, timeout_s, POLL_S)
        try:
            return await asyncio.to_thread(wait.until, lambda _: condition())
        except TimeoutException:
            pytest.fail(f"the page never had {what}; it showed:\n{await self.text('body')}")

    async def shows(self, text: str, within: str = "body", timeout_s: float = PATIENCE_S) -> None:
        """Wait until `text` can be read in the element that the selector `within` finds."""
        await self.until(lambda: text in self._text(within), f"{text!r} in {within}", timeout_s)

    async def text(self, within: str) -> str:
        """What can be read in an element now; empty where it is hidden or not there."""
        return await asyncio.to_thread(self._text, within)

    def _text(self, within: str) -> str:
        return str(self.driver.execute_script(_READ, within))

    async def click(self, selector: str, text: str = "") -> None:
        """Click the element that `selector` finds, or the one of them that says `text`, once it can be clicked."""

        def clicked() -> bool:
            for element in self._find(selector):
                try:
                    if element.is_displayed() and element.is_enabled() and text in element.text:
                        element.click()
                        return True
                except (
                    StaleElementReferenceException,
                    ElementNotInteractableException,
                    ElementClickInterceptedException,
                ):
                    continue  # It is being drawn anew, or moved.
            return False

        await self.until(clicked, f"a {selector} {text} to click")

    async def type(self, selector: str, text: str, *, instead: bool = False) -> None:
        """Type `text` into a field, `instead` of what is in it."""

        field = await self._one(selector)

        def typed() -> None:
            if instead:
                field.clear()
            field.send_keys(text)

        await asyncio.to_thread(typed)

    async def choose(self, selector: str, value: str) -> None:
        """Choose the option `value` of a list, once it is there."""
        await self.click(f"{selector} option[value='{value}']")

    async def hold(self, selector: str) -> None:
        """Press an element with the pointer, and keep it pressed."""
        element = await self._one(selector)
        await asyncio.to_thread(ActionChains(self.driver).click_and_hold(element).perform)

    async def let_go(self) -> None:
        await asyncio.to_thread(ActionChains(self.driver).release().perform)

    async def hold_key(self, selector: str, key: str) -> None:
        """Put the focus on an element, and keep `key` pressed."""
        element = await self._one(selector)
        await asyncio.to_thread(self.driver.execute_script, "arguments[0].focus()", element)
        await asyncio.to_thread(ActionChains(self.driver).key_down(key).perform)

    async def let_go_key(self, key: str) -> None:
        await asyncio.to_thread(ActionChains(self.driver).key_up(key).perform)

    async def complaints(self) -> list[str]:
        """What the browser complained of: errors of scripts, what the security policy refused, missing files."""
        entries = await asyncio.to_thread(self.driver.get_log, "browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    async def unnamed_controls(self) -> list[str]:
        """What a screen reader finds and cannot name: the role of each."""
        tree = await asyncio.to_thread(self.driver.execute_cdp_cmd, "Accessibility.getFullAXTree", {})
        return [
            node["role"]["value"]
            for node in tree["nodes"]
            if not node["ignored"] and node["role"]["value"] in _NAMED and not node.get("name", {}).get("value")
        ]

    async def _one(self, selector: str) -> WebElement:
        """The element that `selector` finds, once a person could use it."""

        def usable() -> WebElement | None:
            return next((element for element in self._find(selector) if element.is_displayed()), None)

        found: WebElement = await self.until(usable, f"a {selector} to use")
        return found

    def _find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)
