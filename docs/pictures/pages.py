"""Draw report.png, viewer.png and viewer-face.png: pages as a browser shows them.

python docs/pictures/pages.py RUN       # a run on synthetic faces; it needs chromium and selenium
"""

import io
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

HERE = Path(__file__).parent
WINDOW = 1400, 1000  # pixels
SHOWN = 1000  # pixels of a picture's width
COLOURS = 256  # of a picture
FACE = 4  # of those of the largest error, from 0
PATIENCE = 60  # seconds


@contextmanager
def browser():
    """Open Debian's Chromium without a screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{word}")
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def viewer(run: Path, folder: Path):
    """Start `landmarks show` and yield its address."""
    words = ["show", f"checkpoint={run}", f"exclude={folder}/exclude.csv", f"run_dir={folder}/show"]
    command = [sys.executable, "-u", "-m", "landmarks", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found:
                yield found.group()
                return
        raise SystemExit("landmarks show has ended before it served a page.")
    finally:
        process.terminate()


def keep(driver, name: str) -> None:
    """Write what the window shows, in few colours."""
    image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    if image.width > SHOWN:
        image = image.resize((SHOWN, round(image.height * SHOWN / image.width)), Image.LANCZOS)
    few = image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(HERE / name, optimize=True)
    print(f"{HERE / name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


def wait(driver, script: str) -> None:
    WebDriverWait(driver, PATIENCE).until(lambda page: page.execute_script(f"return {script}"))


def draw_report(driver, report: Path) -> None:
    driver.set_window_size(*WINDOW)
    driver.get(report.resolve().as_uri())
    keep(driver, "report.png")


def draw_viewer(driver, address: str) -> None:
    driver.set_window_size(*WINDOW)
    driver.get(address)
    wait(driver, "document.querySelectorAll('.tile path.predicted').length > 20")
    time.sleep(2)  # photos come after their points
    keep(driver, "viewer.png")
    driver.execute_script(f"document.querySelectorAll('.view')[{FACE}].click()")
    wait(driver, "document.querySelector('#stage path')")
    driver.execute_script(
        "if (album.heatmaps) document.getElementById('heatmaps').click();"
        "document.getElementById('in').click();"
    )
    wait(driver, "!album.heatmaps || document.querySelector('.heatmap')")
    time.sleep(1)
    keep(driver, "viewer-face.png")


def main(run: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        out = Path(folder)
        words = ["evaluate", f"checkpoint={run}", f"run_dir={out}/judged"]
        subprocess.run([sys.executable, "-m", "landmarks", *words], check=True)
        draw_report(driver, out / "judged/report.html")
        with viewer(run, out) as address:
            draw_viewer(driver, address)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
