"""``gpupool view``: runs on record at localhost, for whoever has the address."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
from program import USED, gpupool
from support import LIMIT, Host, Running

from pytest_gpupool.records.journal import Journal

SUITE = """
import os, time
from pathlib import Path

def test_one(record_metric, record_sample, attach, out_dir):
    record_metric("accuracy", 0.5)
    for n in range(9):
        record_sample(f"q{n}", input="?", output="!", score=n % 2)
    attach(b"\\x89PNG\\r\\n\\x1a\\n...", "picture")
    attach({"a": 1}, "settings")
    (out_dir / "a #?%.html").write_text("<script>alert(document.cookie)</script>")
    (out_dir / "a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    (out_dir / "link.txt").symlink_to("/etc/passwd")

def test_fails():
    assert False, "no"

def test_two():
    if "HOLD" in os.environ:
        Path(f"{os.environ['HOLD']}.began").touch()
    while os.environ.get("HOLD") and not Path(os.environ["HOLD"]).exists():
        time.sleep(0.05)
"""


PLACE = "document.querySelector('.item[open]')?.getBoundingClientRect().top"
HOW_IT_IS = """
const values = selector => [...document.querySelectorAll(selector)].map(each => each.value);
return {
  fields: values("[aria-labelledby=tests] input:not([type=checkbox])"),
  choices: values("[aria-labelledby=tests] .items select"),
  chips: values("[aria-labelledby=tests] input:checked"),
  sorted: document.querySelector("thead [aria-sort=descending]")?.textContent,
  tests: [...document.querySelectorAll(".tests > tbody:has(> tr > td > details[open])")].map(each => each.id),
  items: [...document.querySelectorAll(".item[open] code")].map(each => each.textContent),
  caret: document.activeElement.selectionStart,
};
"""
LEAVE = """
const done = arguments[0];
const busy = setInterval(() => dispatchEvent(new Event("input")), 100);  // so that it is not loaded again meanwhile
const find = async selector => {
  while (!document.querySelector(selector)) await new Promise(next => setTimeout(next, 20));
  return document.querySelector(selector);
};
const put = (field, value) => {
  field.value = value;
  field.dispatchEvent(new Event(field.localName === "select" ? "change" : "input"));
};
(async () => {
  const filter = await find("#filter");
  put(filter, "test_");
  const head = [...document.querySelectorAll(".tests thead button")].find(each => each.textContent === "Test");
  head.click();
  head.click();
  const one = [...document.querySelectorAll(".tests > tbody")].find(each => each.textContent.includes("test_one"));
  one.querySelector("summary").click();
  (await find(".tests .items button")).click();
  put(await find(".items select"), "wrong");
  put(document.querySelectorAll(".items input[type=number]")[1], "0.5");
  (await find(".item-list summary")).click();
  await find(".item[open] .sides");
  document.querySelector(".chips input[value=passed]").click();  // the row is drawn anew
  await find(".item[open] .sides");
  filter.focus({ preventScroll: true });
  for (let frame = 0; frame < 10; frame += 1) {  // a row has its height once it is in sight
    scrollBy(0, PLACE - 300);
    await new Promise(next => requestAnimationFrame(() => requestAnimationFrame(next)));
  }
  filter.setSelectionRange(2, 2);
  clearInterval(busy);
  done({ ...(() => { HOW_IT_IS })(), top: PLACE });
})();
""".replace("HOW_IT_IS", HOW_IT_IS).replace("PLACE", PLACE)


class Viewed:
    """The program while it serves."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.port, self.token = urlsplit(address).port, urlsplit(address).query.removeprefix("token=")

    def ask(
        self, place: str, method: str = "GET", *, cookie: str | None = None, host: str | None = None
    ) -> tuple[int, http.client.HTTPResponse, str]:
        """Send a request as a browser does; the status, the response, and its text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        headers = {} if cookie is None else {"Cookie": f"gpupool-{self.port}={cookie}"}
        connection.request(method, place, headers=headers | ({} if host is None else {"Host": host}))
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        return response.status, response, text


@contextmanager
def viewed(host: Host, *args: str) -> Iterator[Viewed]:
    command = [sys.executable, "-m", "pytest_gpupool", "view", *args]
    process = subprocess.Popen(
        command, cwd=host.project, env=host.environ(**USED), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(3)]
            yield Viewed(process, told[1].strip())
        finally:
            process.kill()


def test_who_has_the_address_can_read_and_nobody_else(cpu_host: Host) -> None:
    """The secret becomes a cookie; without it, by another name, and by any other method there is nothing."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest("-n2").report["run"]["id"]
    with viewed(cpu_host) as server:
        assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/\?token=[\w-]{{32}}", server.address)
        here = psutil.Process(server.process.pid).net_connections(kind="inet")
        assert {each.laddr.ip for each in here} == {"127.0.0.1"}

        for place in ("/", f"/runs/{run}", "/?token=", f"/?token={server.token[:-1]}", "/?token=%ff"):
            status, _, text = server.ask(place)
            assert (status, run in text) == (403, False)
        assert server.ask("/", cookie="x" * 32)[0] == 403
        status, response, _ = server.ask(f"/runs/{run}?token={server.token}")
        assert (status, response.getheader("Location")) == (303, f"/runs/{run}")
        cookie = str(response.getheader("Set-Cookie"))
        assert cookie == f"gpupool-{server.port}={server.token}; HttpOnly; SameSite=Strict; Path=/"
        status, response, _ = server.ask(f"//evil.example/?token={server.token}")
        assert status == 403 or not str(response.getheader("Location")).startswith("//")

        for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", f"127.0.0.1.evil:{server.port}"):
            assert server.ask("/", cookie=server.token, host=host)[0] == 403
        assert server.ask("/", cookie=server.token, host=f"localhost:{server.port}")[0] == 200

        status, response, text = server.ask("/", cookie=server.token)
        assert f'<a href="/runs/{run}">' in text
        assert "2 passed, 1 failed" in text
        assert "default-src 'none'" in str(response.getheader("Content-Security-Policy"))
        assert response.getheader("Refresh") == "30"
        status, response, text = server.ask(f"/runs/{run}", cookie=server.token)
        assert (status, response.getheader("X-Content-Type-Options")) == (200, "nosniff")
        assert "test_suite.py::test_fails" in text
        assert server.ask(f"/runs/{run}", "HEAD", cookie=server.token)[::2] == (200, "")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert server.ask("/", method, cookie=server.token)[0] == 405
        for place in (
            *("/runs/", "/runs/..", f"/runs/{run}/", f"/runs/{run}/../../x", "/runs/%2e%2e", "/../test_suite.py", "/x"),
            *(f"/runs/{run}/controller.jsonl", "/.gpupool", "/runs/20200101T000000Z-000000", f"/{run}", "//runs"),
        ):
            assert server.ask(place, cookie=server.token)[0] == 404

        check_attachments(server, run, cpu_host.project / ".gpupool" / "runs" / run)
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=LIMIT)
        assert (server.process.returncode, out.split("\n")[-2], err) == (0, "gpupool: ended", "")


def check_attachments(server: Viewed, run: str, directory: Path) -> None:
    """They are read as files, by the same secret; none of them can run anything, and nothing else is read."""
    (folder,) = {path.parent for path in directory.rglob("a.svg")}
    place = f"/runs/{run}/{folder.relative_to(directory)}"
    page = server.ask(f"/runs/{run}", cookie=server.token)[2]
    for name, kind, how in (
        ("picture.png", "image/png", "inline"),
        ("settings.json", "text/plain; charset=utf-8", "inline"),
        ("a%20%23%3F%25.html", "application/octet-stream", "attachment"),
        ("a.svg", "application/octet-stream", "attachment"),
    ):
        assert f'<a href="{place}/{name}"' in page
        assert server.ask(f"{place}/{name}")[0] == 403
        status, response, text = server.ask(f"{place}/{name}", cookie=server.token)
        assert (status, response.getheader("Content-Type")) == (200, kind)
        assert str(response.getheader("Content-Disposition")) == f"{how}; filename*=UTF-8''{name}"
        assert "default-src 'none'; " in str(response.getheader("Content-Security-Policy"))
        assert " sandbox;" in str(response.getheader("Content-Security-Policy"))
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        assert (response.getheader("Cache-Control"), response.getheader("Refresh")) == ("no-store", None)
        assert text == (folder / unquote(name)).read_bytes().decode(errors="replace")
        assert server.ask(f"{place}/{name}", "HEAD", cookie=server.token)[::2] == (200, "")
    for odd in (
        *(
            place,
            f"{place}/",
            f"{place}/link.txt",
            f"{place}/gone",
            f"{place}//a.svg",
            f"{place}/./a.svg",
            f"{place}/%00",
        ),
        *(f"{place}/../../../controller.jsonl", f"{place}/..%2f..%2f..%2fcontroller.jsonl", f"{place}/" + 300 * "x"),
        *(f"/runs/{run}/attachments", f"/runs/{run}//etc/passwd", f"/runs/{run}/%2fetc/passwd", f"{place}/%ff"),
    ):
        assert server.ask(odd, cookie=server.token)[0] == 404, odd


def test_a_run_that_goes_on_is_drawn_anew(cpu_host: Host, tmp_path: Path) -> None:
    """Its pages ask to be loaded again, and have more each time, until it has ended; in a browser as well.

    There all stays as its reader has left it: what is typed and chosen, what is unfolded, and what is in sight.
    """
    chromium = pytest.importorskip("chromium", reason="selenium is not installed")
    cpu_host.write("test_suite.py", SUITE)
    hold = tmp_path / "hold"
    running = Running(cpu_host, cpu_host.command("-n2"), cpu_host.environ(HOLD=str(hold)))
    deadline = time.monotonic() + LIMIT
    while not (tmp_path / "hold.began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with viewed(cpu_host, "latest") as server, chromium.started(tmp_path / "chromium") as driver:
        place = urlsplit(server.address).path
        for method in ("HEAD", "GET"):
            assert str(server.ask(place, method, cookie=server.token)[1].getheader("ETag")).startswith('"goes-on-')
        assert server.ask("/", cookie=server.token)[1].getheader("Refresh") == "5"
        page = chromium.Page(driver)
        driver.get(server.address)
        page.wait("document.querySelector('ul.counts')?.textContent.includes('1 not-run')")
        assert driver.current_url == f"http://127.0.0.1:{server.port}{place}"
        page.wait("document.documentElement.hasAttribute('data-drawn')")
        was = driver.execute_async_script(LEAVE)
        top = was.pop("top")
        assert was == {
            "fields": ["test_", "", "", "0.5"],
            "choices": ["wrong", "score"],
            "chips": ["passed"],
            "sorted": "Test",
            "tests": was["tests"],
            "items": ["q0"],
            "caret": 2,
        }
        hold.touch()
        page.wait("!document.querySelector('ul.counts')?.textContent.includes('not-run')")
        assert running.finish().status == 1
        page.wait("document.querySelector('.state')?.textContent.includes('Exit status 1.')")
        page.wait(f"Math.abs({PLACE} - {top}) < 3 && document.activeElement.id === 'filter'")
        assert page.run(HOW_IT_IS) == was
        assert str(server.ask(place, cookie=server.token)[1].getheader("ETag")).startswith('"has-ended-')
        driver.get(f"http://127.0.0.1:{server.port}/")
        page.click(page.one("tbody a"))
        page.wait("document.documentElement.hasAttribute('data-drawn')")
        assert driver.current_url == f"http://127.0.0.1:{server.port}{place}"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--port=70000",), "give a number from 1 to 65535"),
        (("none",), "none"),
        (("--dir=nowhere",), "there are no records"),
    ],
)
def test_what_cannot_be_served(cpu_host: Host, args: tuple[str, ...], told: str) -> None:
    """Is told in a sentence."""
    (cpu_host.project / ".gpupool" / "runs").mkdir(parents=True)
    status, out, err = gpupool(cpu_host, "view", *args)
    assert (status, out) == (4, "")
    assert told in err


def test_a_run_that_cannot_be_read_costs_the_list_no_other_one(cpu_host: Host) -> None:
    """The page and 'gpupool runs' list the others, and say which is left out; so does the page of another one."""
    cpu_host.write("test_it.py", "def test_it(): pass")
    assert cpu_host.pytest().status == 0
    (good,) = (cpu_host.project / ".gpupool" / "runs").iterdir()
    bad = good.parent / "20200101T000000Z-abcdef"
    (bad / "controller.jsonl").mkdir(parents=True)
    status, out, err = gpupool(cpu_host, "runs")
    told = f"a run is left out: {bad} cannot be read: Is a directory"
    assert (status, good.name in out, bad.name in out) == (0, True, False)
    assert err == f"gpupool: {told}\n"
    with viewed(cpu_host) as server:
        code, _, text = server.ask("/", cookie=server.token)
        page = server.ask(f"/runs/{good.name}", cookie=server.token)[2]
    assert code == 200
    assert f'href="/runs/{good.name}"' in text
    assert f"<p>{told}</p>" in text
    assert f"<p>Earlier runs are not all in this report: {told}</p>" in page


def test_the_list_shows_a_run_that_has_begun_since(cpu_host: Host) -> None:
    """A browser asks for it again although nothing goes on; of a run that has more to say it then says that."""
    (cpu_host.project / ".gpupool" / "runs").mkdir(parents=True)
    cpu_host.write("test_it.py", "def test_it(): pass")
    with viewed(cpu_host) as server:

        def listed() -> tuple[str | None, str]:
            _, response, text = server.ask("/", cookie=server.token)
            return response.getheader("Refresh"), text

        refresh, text = listed()
        assert (refresh, "No run is on record." in text) == ("30", True)
        assert cpu_host.pytest().status == 0
        (run,) = (cpu_host.project / ".gpupool" / "runs").iterdir()
        refresh, text = listed()
        assert (refresh, f'href="/runs/{run.name}"' in text, "exit status 0, complete" in text) == ("30", True, True)
        journal = Journal(run / "gw9.jsonl")
        journal.open()
        with contextlib.closing(journal):
            refresh, text = listed()
            assert (refresh, "goes on" in text) == ("5", True)
        refresh, text = listed()
        assert (refresh, "exit status 0, complete" in text) == ("30", True)
