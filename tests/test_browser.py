"""Notebook 06 in JupyterLab, opened and run in a real browser as a reader would.

Reads a finished smoke run of 04 and 05, which ``--test-all`` has just made when it comes
here (it calls this file on its own). Needs Chromium or Chrome, with its driver.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from tumorcf_lib import config
from tumorcf_lib.study import runtime, stages

pytest.importorskip("selenium", reason="needs selenium: pip install '.[test]'")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support import expected_conditions as until  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.monthly

NAME = "06_metrics"
START_S, RUN_S = 120, 600
QUIET = """--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--window-size=1400,1000"""  # no screen, and no call to the outside
SETTINGS = {
    # JupyterLab draws no cell that is out of sight unless it is told to.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
READY = '//*[contains(@class, "jp-StatusBar-TextItem") and contains(., "| Idle")]'
STATE = """
const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
const errors = document.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"]');
const pictures = [...document.querySelectorAll('.jp-OutputArea-output img')];
return {
  prompts: cells.map(c => c.querySelector('.jp-InputPrompt').textContent.trim()),
  errors: [...errors].map(e => e.textContent),
  pictures: pictures.map(p => [p.complete && p.naturalWidth, p.getBoundingClientRect().width]),
};
"""


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if not program or not shutil.which("chromedriver"):
        pytest.skip("needs Chromium and chromedriver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in QUIET.split():
        options.add_argument(word)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of JupyterLab on a folder with 06 alone, as it was before any run."""
    study = runtime.Study(config.get("smoke"), 0, config.run("smoke"))
    for name in stages.NEEDS[NAME]:
        if reason := stages.why_stale(study, name):
            pytest.skip(f"needs {name} of a smoke run ({reason}): ./run_all.sh --test-all makes it")
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(config.NOTEBOOKS / f"{NAME}.ipynb", 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / f"{NAME}.ipynb")
    for name, settings in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_TOKEN": "read-only-here",
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "TUMORCF_PROFILE": "smoke",
        "TUMORCF_RUNS": str(config.runs()),
        "PYTHONPATH": str(config.ROOT),
    }
    own = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "root_dir": folder}
    options = [f"--ServerApp.{name}={value}" for name, value in own.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    address, token = f"http://127.0.0.1:{port}", "token=read-only-here"

    def address_of(server):
        assert server.poll() is None, "JupyterLab has ended: see above"
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{address}/api/status?{token}", timeout=5):
                return f"{address}/lab/tree/{NAME}.ipynb?{token}"

    with subprocess.Popen(command, cwd=folder, env=environment) as server:
        try:
            yield WebDriverWait(server, START_S).until(address_of)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def shown(browser, lab):
    """What JupyterLab shows after all cells were run by its menu."""
    browser.get(lab)
    wait = WebDriverWait(browser, START_S)
    wait.until(until.presence_of_element_located((By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")))
    wait.until(until.presence_of_element_located((By.XPATH, READY)))
    for menu, item in (("lm-MenuBar-itemLabel", "Run"), ("lm-Menu-itemLabel", "Run All Cells")):
        label = f'//*[contains(@class, "{menu}") and normalize-space() = "{item}"]'
        wait.until(until.element_to_be_clickable((By.XPATH, label))).click()

    def state_once_run(browser):
        for button in browser.find_elements(By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept"):
            button.click()  # JupyterLab asks for the kernel where it is slow to notice it
        state = browser.execute_script(STATE)
        if state["errors"] or state["prompts"][-1].strip("[]:").isdigit():
            time.sleep(2)  # the last picture
            return browser.execute_script(STATE)

    return WebDriverWait(browser, RUN_S).until(state_once_run)


def test_every_cell_runs_without_an_error_and_every_figure_is_drawn(shown):
    assert shown["errors"] == []
    assert shown["prompts"] == [f"[{i + 1}]:" for i in range(len(shown["prompts"]))]
    cells = nbformat.read(config.NOTEBOOKS / f"{NAME}.ipynb", 4).cells
    n_figures = sum("save_figure(" in c.source for c in cells if c.cell_type == "code")
    assert 3 < n_figures <= len(shown["pictures"])
    assert all(natural > 100 and width > 100 for natural, width in shown["pictures"])
