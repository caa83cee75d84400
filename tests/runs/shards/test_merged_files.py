"""Items and attachments of shards are those of the merged run, also where what was unpacked is gone."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from made_pages import items, parsed
from program import gpupool
from support import Host

SUITE = """
    import pytest

    @pytest.mark.parametrize("i", range(4))
    def test_a(i, record_sample, record_metric, record_fact, attach):
        record_sample("one", output=f"of {i}", score=i % 2)
        record_metric("tokens", 10, reduce="sum")
        record_fact("i", i)
        attach(f"text {i}", "note")
"""


def test_they_lie_beside_the_merged_report(cpu_host: Host) -> None:
    """And the program finds them there."""
    host = cpu_host
    host.write("test_it.py", SUITE)
    for index in (1, 2):
        assert host.pytest(f"--gpupool-shard={index}/2").status == 0
        assert gpupool(host, "pack", "latest", "-o", f"fetched/{index}.tar.gz")[0] == 0
    for path in (host.project / ".gpupool" / "runs").iterdir():
        path.rename(host.directory / path.name)
    (host.project / "kept").mkdir()
    forms = ("--json", "kept/merged.json", "--junit", "kept/merged.xml", "--html", "merged.html")
    status, out, err = gpupool(host, "merge", "fetched", *forms)
    assert (status, err) == (0, ""), out + err
    report = json.loads((host.project / "kept" / "merged.json").read_text())
    texts = [(host.project / "kept" / one["attachments"][0]["path"]).read_text() for one in report["tests"]]
    assert sorted(texts) == [f"text {i}" for i in range(4)]
    assert sorted(one["facts"]["i"] for one in report["tests"]) == ["0", "1", "2", "3"]
    assert report["summary"]["sums"] == [{"name": "tokens", "unit": "", "value": 40, "count": 4}]
    # The page links what lies beside the other report; where there is none, what lies beside itself.
    assert gpupool(host, "merge", "fetched", "--html", "alone/merged.html")[::2] == (0, "")
    for page, at in ((host.project / "merged.html", "kept/"), (host.project / "alone" / "merged.html", "")):
        links = re.findall(rf'<a href="({at}attachments/[^"]*)"', page.read_text())
        assert sorted((page.parent / unquote(link)).read_text() for link in links) == [f"text {i}" for i in range(4)]
        found = items(parsed(page.read_text()))
        assert sorted(item[6] for item in found) == [f"of {i}" for i in range(4)], "not all items are on the page"
    assert sorted(path.name for path in (host.project / "alone").iterdir()) == ["attachments", "merged.html"]
    status, out, err = gpupool(host, "items", "kept/merged.json", "--format", "jsonl")
    assert (status, err) == (0, "")
    assert sorted(json.loads(line)["output"] for line in out.splitlines()) == [f"of {i}" for i in range(4)]
    xml = (host.project / "kept" / "merged.xml").read_text()
    assert xml.count(f"[[ATTACHMENT|{host.project}/kept/attachments/") == 4
