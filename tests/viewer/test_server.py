"""The viewer: what it serves, to whom, and what a browser shows of it."""

import threading

import cv2
import numpy as np
import pytest

from landmarks.data.exclude import read_names
from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.viewer.album import Album, read_marked
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
    sets = client.get("/points/7").json
    np.testing.assert_allclose(sets["truth"], album.faces.points[7], atol=0.006)
    np.testing.assert_allclose(sets["predicted"], album.faces.points[7] + 1, atol=0.006)
    assert client.get("/points/0").json["truth"][2] is None
    answer = client.get("/face/7.jpg")
    image = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] == 640 and float(answer.headers["X-Scale"]) == pytest.approx(640 / 900)
    assert client.get("/face/20.jpg").status_code == 404  # its image is not there
    assert client.get("/face/300.jpg").status_code == client.get("/points/300").status_code == 404


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
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def wait(browser, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda page: page.execute_script(f"return {script}"))


@pytest.mark.parametrize("width", [500, 1400])
def test_a_browser_scrolls_sorts_and_marks(served, browser, album, width):
    browser.set_window_size(width, 900)
    browser.get(served)
    first = "document.querySelector('.tile figcaption span')?.textContent"
    assert "mse 299" in wait(browser, first)
    wait(browser, "document.querySelectorAll('.tile path.truth[d]').length > 3")
    assert browser.execute_script("return document.querySelectorAll('.tile').length") < 80
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    wait(
        browser,
        "[...document.querySelectorAll('.tile span')].some(s => /mse 1$/.test(s.textContent))",
    )
    browser.execute_script("window.scrollTo(0, 0)")
    top = "[...document.querySelectorAll('.tile')].find(t => t.innerText.includes('mse 299'))"
    wait(browser, top).find_element("css selector", ".view").click()
    wait(browser, "document.querySelector('#stage svg')?.getAttribute('viewBox')")
    browser.find_element("id", "mark").click()
    wait(browser, "document.getElementById('mark').disabled")
    assert len(read_marked(album.exclude)) == 1
    wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert [message for message in severe if "404" not in message] == []
