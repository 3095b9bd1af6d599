"""Every claim of the HTML page links to its explanation, which is in the page itself and so needs no network."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from setpoint.analysis.data.claim import ClaimKind
from setpoint.reports import write_reports
from setpoint.reports.guide import OF_KIND, TOPICS
from support import ROOT
from support.synthetic_experiment import Synthetic

HOW = re.compile(r'href="#(how-\w+)"')


def effect(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) + 0.4 * (levels["lora_rank"] == 8)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    synthetic = Synthetic(tmp_path_factory.mktemp("guide"), log_error=effect, failed={"lora_rank=4": "diverged"})
    return write_reports(synthetic.write(), figures=False).with_name("report.html").read_text()


def test_every_kind_of_claim_has_a_topic() -> None:
    assert OF_KIND.keys() == set(ClaimKind)
    assert set(OF_KIND.values()) <= {topic.anchor for topic in TOPICS}


def test_every_claim_links_to_a_paragraph_of_the_page(page: str) -> None:
    (answers,) = re.findall(r'<ul class="claims">(.*?)</ul>', page)
    (tests,) = re.findall(r"<summary>All tests \(\d+\)</summary>.*?<tbody>(.*?)</tbody>", page)
    (told,) = re.findall(r'<div class="summary">(.*?)</div>', page)
    claims = [*re.findall(r"<li>(.*?)</li>", answers), *re.findall(r"<tr>(.*?)</tr>", tests)]
    claims += [part for part in re.findall(r"<p>(.*?)</p>", told) if re.match(r"<strong>(Result|Effects)", part)]
    assert len(claims) > 8
    for claim in claims:
        (target,) = HOW.findall(claim)
        assert page.count(f'id="{target}"') == 1


def test_all_links_within_the_page_have_a_target_and_none_needs_a_network(page: str) -> None:
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r'id="([^"]+)"', page))
    body = page.partition("<body>")[2].partition("<script>")[0]
    assert "http://" not in body and "https://" not in body


def test_the_documents_have_the_same_paragraphs() -> None:
    document = (ROOT / "docs" / "explanation" / "reading_a_report.md").read_text()
    for topic in TOPICS:
        assert f"## {topic.title}\n\n{topic.text}\n" in document
