"""The report: its figures are those of metrics.json, it needs nothing else, a browser shows it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from landmarks.evaluation.comparison import read_stored
from landmarks.evaluation.metrics_json import list_figures
from landmarks.evaluation.report import Background, name_weaknesses, write_report
from landmarks.evaluation.report_charts import Line, choose_faces, line_chart, paint, ticks
from landmarks.evaluation.write_evaluation import conclude, write_outcome

HISTORY = [{"epoch": i, "val_mse": 30 / i, "train_loss": 3 / i} for i in range(1, 9)]
HISTORY[-1]["epoch_share"] = 0.25
SETTINGS = [("model", "resnet18", "resnet34"), ("name", "<b>bold</b>", "null")]


@pytest.fixture
def report(judged, tmp_path):
    """Write a report with all that one can have; return its path and its figures."""
    other, folder = judged(wrong=3.0, seed=1), tmp_path / "other"
    folder.mkdir()
    write_outcome(folder, other, conclude(other, [0.08, 0.1]))
    judgement = judged()
    outcome = conclude(judgement, [0.08, 0.1])
    path = tmp_path / "report.html"
    background = Background("runs/a: resnet18", HISTORY, SETTINGS, read_stored(folder))
    write_report(path, judgement, outcome, background)
    return path, outcome.metrics


class Figures(HTMLParser):
    """Gathers what <data data-key= value=> elements hold and show."""

    def __init__(self):
        super().__init__()
        self.found, self.shown, self.key = {}, {}, None

    def handle_starttag(self, tag, attrs):
        if tag == "data":
            self.key = dict(attrs)["data-key"]
            self.found[self.key] = dict(attrs)["value"]

    def handle_data(self, data):
        if self.key is not None:
            self.shown[self.key], self.key = data, None


def figure_of(metrics, key):
    """Find "regions.0.mean" or "failure_rate.0.08" in plain data."""
    value, words = metrics, key.split(".")
    while words:
        if isinstance(value, list):
            value = value[int(words.pop(0))]
            continue
        name = next(n for n in range(1, len(words) + 1) if ".".join(words[:n]) in value)
        value, words = value[".".join(words[:name])], words[name:]
    return value


def test_every_figure_is_that_of_metrics_json(report, tmp_path):
    path, metrics = report
    page = Figures()
    page.feed(path.read_text(encoding="utf-8"))
    assert len(page.found) > 50
    kept = json.loads(json.dumps(metrics))
    for key, value in page.found.items():
        expected = figure_of(kept, key)
        assert value == str(expected), key
        shown = page.shown[key]
        if expected is None:
            assert shown == "unknown"
        else:
            digits = len(shown.partition(".")[2])
            assert float(shown) == pytest.approx(expected, abs=0.5001 * 10**-digits), key
    whole = ("mse", "nme", "failure_rate.0.08", "auc.0.10", "leaderboard.mse", "point_error.p95")
    assert {*whole, "calibration.faces.area", "baselines.mean_shape"} <= page.found.keys()
    assert set(whole) <= list_figures(kept).keys()


def test_page_stands_alone_and_shows_names_as_they_are(report):
    text = report[0].read_text(encoding="utf-8")
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*|url\(|@import""", text)
    assert outside == [] and "<link" in text  # its own empty icon
    assert not re.search(r"<(?:script|img|iframe)[^>]+src=", text)
    assert "<b>bold</b>" not in text and "&lt;b&gt;bold" in text
    assert "face &lt;" in text and "face <" not in text
    assert len(text) < 2_000_000


def test_it_says_what_is_divided_by_what_and_which_epoch_was_cut(report):
    text, metrics = report[0].read_text(encoding="utf-8"), report[1]
    assert f"mean point error over the {metrics['normaliser']}" in text
    assert "failure rate, NME above 0.08" in text and "NME: point error over the" in text
    assert len(re.findall("max_time .*epoch 8 .*25%", text)) == text.count("max_time") == 1
    assert "8 epochs" in text  # of the curves


def test_report_without_run_confidence_or_images(judged, tmp_path):
    judgement = judged(confidence=False)
    del judgement.origin["baselines"]
    for file in tmp_path.glob("*.png"):
        file.unlink()
    outcome = conclude(judgement, [0.08])
    assert "calibration" not in outcome.metrics
    write_report(tmp_path / "report.html", judgement, outcome, Background("file.csv"))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"\d epochs", text) and "data:image/jpeg" not in text


def open_page(browser, path):
    browser.get(Path(path).resolve().as_uri())
    return browser


@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_every_figure(report, browser, resize, width):
    resize(browser, width)
    page = open_page(browser, report[0])
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    wide = page.execute_script("return document.documentElement.clientWidth")
    assert wide <= width
    assert page.execute_script("return document.documentElement.scrollWidth") <= wide
    boxes = page.execute_script(
        "return [...document.querySelectorAll('main svg')].map(s => {const b = "
        "s.getBoundingClientRect(); return [b.width, b.height, s.getAttribute('aria-label')]})"
    )
    assert len(boxes) >= 1 + 1 + 16 + 2 + 2  # face, curve, faces, learning, calibration
    for across, down, says in boxes:
        assert 90 < across <= wide and 90 < down < 900 and says


def test_sorting_sorts_and_the_keyboard_reaches_it(report, browser):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    page = open_page(browser, report[0])
    column = (
        "return [...document.querySelectorAll('#regions tbody tr')].map(r => r.cells[{}].innerText)"
    )
    button = page.find_elements("css selector", "#regions th button")[2]
    button.send_keys(keys.ENTER)
    means = [float(text) for text in page.execute_script(column.format(2))]
    assert means == sorted(means, reverse=True) and len(means) == 3
    button.send_keys(keys.ENTER)
    assert [float(t) for t in page.execute_script(column.format(2))] == means[::-1]
    page.find_elements("css selector", "#regions th button")[0].click()
    names = page.execute_script(column.format(0))
    assert names == sorted(names)


def test_a_face_is_enlarged_and_points_are_hidden(report, browser):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    page = open_page(browser, report[0])
    page.find_element("css selector", ".zoom").click()
    view = (
        "return document.querySelector('.stage svg').getAttribute('viewBox').split(' ').map(Number)"
    )
    before = page.execute_script(view)
    page.find_element("css selector", "[data-do=in]").click()
    after = page.execute_script(view)
    assert after[2] == pytest.approx(before[2] / 1.4) and after[0] > before[0]
    page.find_element("css selector", "[data-do=in]").send_keys(keys.ARROW_RIGHT)
    assert page.execute_script(view)[0] > after[0]
    page.find_element("css selector", "dialog").send_keys(keys.ESCAPE)
    assert page.execute_script("return document.querySelector('dialog').open") is False
    page.find_element("id", "show-truth").click()
    shown = "return getComputedStyle(document.querySelector('main .{}')).display"
    assert page.execute_script(shown.format("truth")) == "none"
    assert page.execute_script(shown.format("found")) != "none"


def test_dark_follows_the_system(report, browser):
    def ground(scheme):
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        page = open_page(browser, report[0])
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert ground("light") == "rgb(255, 255, 255)" and ground("dark") == "rgb(20, 23, 29)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_faces_are_the_worst_the_best_and_those_between():
    squared = np.array([5.0, np.nan, 1, 4, 2, 3])
    chosen = choose_faces(squared, {"worst": 2, "median": 1, "best": 1})
    assert chosen == {"worst": [0, 3], "median": [5], "best": [2]}
    few = choose_faces(squared[:3], {"worst": 2, "median": 1, "best": 1})
    assert few == {"worst": [0, 2], "median": [], "best": []}


def test_weaknesses_name_what_stands_out(judged):
    judgement = judged()
    judgement.errors.squared[:3] *= 400
    judgement.errors.nme[[i for i in range(60) if i % 3 == 0]] *= 3
    said = name_weaknesses(conclude(judgement, [0.08]).metrics, judgement.errors.squared)
    assert any("glasses no (20 of 60)" in sentence for sentence in said)
    assert any(sentence.startswith("The worst 3 of 60 faces") for sentence in said)
    assert "mouth" in said[0] or "eyes" in said[0]


def test_charts_scale_and_count():
    x = np.linspace(0, 1, 1000)
    chart = line_chart([Line("a", x, x), Line("b", x, x**2, 2, True)], ("x", "y"), "two <lines>")
    assert chart.count('<path class="line') == 2 and "two &lt;lines&gt;" in chart
    assert len(chart) < 20_000  # of many places some are drawn
    assert line_chart([Line("a", x, np.full(1000, np.nan))], ("x", "y"), "nothing") == ""
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1] and 10 in ticks(3, 40, True)
    colours, (low, high) = paint(np.arange(101.0))
    assert (low, high) == (2, 98) and colours[0] == "#3b52aa" and colours[-1] == "#d63c32"


def test_no_slice_stands_out_where_there_is_no_error(judged):
    metrics = {**conclude(judged(), [0.08]).metrics, "mse": 0.0, "nme": 0.0}
    assert len(name_weaknesses(metrics, np.zeros(60))) <= 1  # of regions
