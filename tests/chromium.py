"""A real browser for tests: Debian's Chromium without a window, by Selenium, which asks nobody for a driver."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from support import LIMIT

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which root may not use
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1300,900",
)


@contextmanager
def started(folder: Path) -> Iterator[webdriver.Chrome]:
    """Start the browser with its profile in that folder, end it with all its processes; skip where there is none."""
    places = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)} here (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = str(places["chromium"])
    for option in (*_OPTIONS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environ = os.environ | {"HOME": str(folder), "no_proxy": "localhost,127.0.0.1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        service = Service(str(places["chromedriver"]), env=environ)
        driver = webdriver.Chrome(options=options, service=service)
        processes = psutil.Process(service.process.pid).children(recursive=True)
        try:
            yield driver
        finally:
            driver.quit()
            psutil.wait_procs(processes, timeout=LIMIT)


class Page:
    """A report as a reader has it before him."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: Path, place: str = "", *, drawn: bool = True) -> None:
        """Load the file, and go to a place in it; what was said of the page before is forgotten.

        ``drawn`` waits until the page's script has drawn what is there at first.
        """
        self.complaints()
        self.driver.get(f"{path.as_uri()}{place}")
        # Selenium may be back before the page is there where the machine is busy.
        self.wait(f"location.href.startsWith('{path.as_uri()}') && document.readyState === 'complete'")
        if drawn:
            self.wait("document.documentElement.hasAttribute('data-drawn')")

    def complaints(self) -> list[str]:
        """What the browser said of its pages, and what they asked others for, since it was last asked this."""
        said = [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        pages = [(each["request"]["url"], each["documentURL"]) for each in asked]
        return said + [
            url for url, page in pages if url != page and page.startswith("file:") and not url.startswith("data:")
        ]

    def _log(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log(name)  # type: ignore[no-untyped-call]
        return found

    def run(self, script: str, *args: object) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *args)

    def tell(self, command: str, **args: object) -> Any:
        """Give a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, args)

    def all(self, selector: str) -> list[WebElement]:
        """The elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first of them."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Their texts, also of those that cannot be seen now."""
        script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent.trim())"
        found: list[str] = self.run(script, selector)
        return found

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def click(self, element: WebElement) -> None:
        """Click on an element where it lies when all has been drawn, in the middle of the window."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        element.click()

    def choose(self, section: str, label: str, option: str) -> None:
        """Choose an option of the control with that label."""
        for holder in self.all(f"section[aria-labelledby={section}] label:has(select)"):
            if holder.text.split("\n")[0].startswith(label):
                Select(holder.find_element(By.TAG_NAME, "select")).select_by_visible_text(option)
                return
        raise AssertionError(f"no control {label} in {section}")

    def wait(self, script: str) -> None:
        """Wait until a script's value is true."""
        WebDriverWait(self.driver, LIMIT).until(lambda _: self.run(f"return {script}"))

    def table(self, selector: str) -> list[list[str]]:
        """The cells of a table, its head included, each as one line."""
        script = (
            "return [...document.querySelector(arguments[0]).rows]"
            ".map(row => [...row.cells].map(cell => [...cell.childNodes].map(each => each.textContent).join(' ')))"
        )
        found: list[list[str]] = self.run(script, selector)
        return found
