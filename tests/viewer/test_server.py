"""The viewer: what it serves, to whom, and what a browser shows of it."""

import base64
import re
import threading

import cv2
import numpy as np
import pytest

from landmarks.data.exclude import read_names
from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.viewer.album import Album, Heatmap, read_marked
from landmarks.viewer.server import make_app

COUNT = 300
HEADER = {"X-Landmarks": "show"}


@pytest.fixture
def album(tmp_path):
    """300 faces, of 20 images, with labels, predictions and errors; the last image is not there."""
    rng = np.random.default_rng(0)
    for i in range(20):
        cv2.imwrite(
            str(tmp_path / f"{i}, a.png"), rng.integers(0, 255, (900, 80, 3)).astype(np.uint8)
        )
    names = np.array([b"%d, a.png" % (i % 21) for i in range(COUNT)])
    points = rng.uniform(0, 80, (COUNT, 6, 2)).astype(np.float32)
    points[0, 2] = np.nan
    mse = rng.permutation(COUNT).astype(float)
    mse[5] = np.nan
    faces = Faces(tmp_path, names, points, source="labels.csv")
    at = np.arange(COUNT)[::-1]
    return Album(
        faces, (points + 1)[at], at, {"mse": mse}, {"eyes": [0, 2]}, tmp_path / "out/bad.csv"
    )


@pytest.fixture
def client(album):
    pytest.importorskip("flask")
    return make_app(album).test_client()


def test_faces_are_told_in_every_order(album, client):
    told = client.get("/album").json
    assert told["count"] == COUNT and told["orders"] == ["file", "name", "mse"]
    worst = client.get("/faces?sort=mse&start=0&count=5").json
    assert [face["mse"] for face in worst] == [299, 298, 297, 296, 295]
    last = client.get("/faces?sort=mse&start=299&count=5").json
    assert last[0]["row"] == 5 and "mse" not in last[0]
    assert client.get("/faces?sort=mse&backwards=1&count=1").json == last
    assert len(client.get("/faces?count=99999").json) == COUNT
    assert client.get("/faces?sort=shoe").status_code == 404


def test_points_and_pictures_are_those_of_the_face(album, client):
    told = client.get("/points/7").json
    assert (told["width"], told["height"], told["readable"]) == (80, 900, True)
    sets = told["sets"]
    np.testing.assert_allclose(sets["truth"], album.faces.points[7], atol=0.006)
    np.testing.assert_allclose(sets["predicted"], album.faces.points[7] + 1, atol=0.006)
    assert client.get("/points/0").json["sets"]["truth"][2] is None
    lost = client.get("/points/20").json  # its size is that of the points
    reach = np.max(lost["sets"]["predicted"], axis=0)
    assert not lost["readable"] and (reach < [lost["width"], lost["height"]]).all()
    answer = client.get("/face/7.jpg")
    image = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] == 640
    assert client.get("/face/20.jpg").status_code == 404  # its image is not there
    assert client.get("/face/300.jpg").status_code == client.get("/points/300").status_code == 404


def test_a_heatmap_lies_where_the_model_looked(album, client):
    assert client.get("/album").json["heatmaps"] is False
    assert client.get("/heatmap/3").status_code == 404
    values = np.zeros((8, 8), np.float32)
    values[2, 5] = 1
    to_image = np.array([[2.0, 0.5, 10], [0, 3, 20]])
    album.heatmap = {3: Heatmap(values, 32, to_image)}.get
    assert client.get("/album").json["heatmaps"] is True
    assert client.get("/heatmap/4").status_code == client.get("/heatmap/300").status_code == 404
    told = client.get("/heatmap/3").json
    assert told["size"] == 32 and told["matrix"] == [2, 0, 0.5, 3, 10, 20]
    coded = np.frombuffer(base64.b64decode(told["png"]), np.uint8)
    alpha = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)[:, :, 3]
    y, x = np.argwhere(alpha > 128).mean(0) / len(alpha) * 8 - 0.5 + 0.125
    assert (x, y) == pytest.approx((5, 2), abs=0.1)


def test_a_bad_face_is_appended_once_where_data_exclude_reads_it(album, client):
    for row in (3, 3, 4):
        assert client.post(f"/bad/{row}", headers=HEADER).json == {"bad": True}
    assert read_names(str(album.exclude)) == {b"3, a.png", b"4, a.png"}
    assert album.exclude.read_text().count("\n") == 3
    assert read_marked(album.exclude) == {"3, a.png", "4, a.png"}
    assert client.get("/faces?start=3&count=3").json[0]["bad"] is True
    (other := album.exclude.parent / "other.csv").write_text("name,level\n")
    with pytest.raises(UserError, match=r"other\.csv"):
        read_marked(other)


def test_other_sites_are_not_served(client):
    assert client.get("/album", headers={"Host": "evil.example"}).status_code == 403
    assert client.post("/bad/3").status_code == 403
    assert client.post("/bad/300", headers=HEADER).status_code == 404


@pytest.fixture
def served(album):
    pytest.importorskip("flask")
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, make_app(album), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def wait(browser, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda page: page.execute_script(f"return {script}"))


@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_scrolls_sorts_and_marks(served, browser, album, resize, width):
    resize(browser, width)
    values = np.eye(8, dtype=np.float32)
    album.heatmap = lambda row: Heatmap(values, 32, np.eye(2, 3))
    browser.get(f"http://127.0.0.1:{served.server_port}/")
    first = "document.querySelector('.tile figcaption')?.textContent"
    assert "mse 299" in wait(browser, first)
    wait(browser, "document.querySelectorAll('.tile path.truth[d]').length > 3")
    assert browser.execute_script("return document.querySelectorAll('.tile').length") < 80
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    wait(
        browser,
        "[...document.querySelectorAll('figcaption div')].some(s => /mse 1$/.test(s.textContent))",
    )
    browser.execute_script("window.scrollTo(0, 0)")
    top = "[...document.querySelectorAll('.tile')].find(t => t.innerText.includes('mse 299'))"
    wait(browser, top).find_element("css selector", ".view").click()
    wait(browser, "document.querySelector('#stage svg')?.getAttribute('viewBox')")
    for count in (1, 0):
        browser.find_element("id", "heatmaps").click()
        wait(browser, f"document.querySelectorAll('#stage .heatmap').length === {count}")
    browser.find_element("id", "mark").click()
    wait(browser, "document.getElementById('mark').disabled")
    assert len(read_marked(album.exclude)) == 1
    wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    served.shutdown()
    served.server_close()
    browser.find_element("id", "close").click()
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight / 2)")
    said = wait(
        browser, "[...document.querySelectorAll('.trouble:not([hidden])')].map(p => p.innerText)"
    )
    assert any("landmarks show" in text for text in said)
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    ours = [message for message in severe if not re.search("404|ERR_CONNECTION_REFUSED", message)]
    assert ours == []
