"""The live page of `docs/demo/`, built as its readers do and run in Chromium."""

import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import slot_attention_tf as sa
from slot_attention_tf.data.generators import scenes, tetrominoes
from tests.conftest import ROOT

PROGRAMS = ("npm", "chromium", "chromedriver")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
MISSING += [
    name
    for name in ("selenium", "tf2onnx", "onnxruntime")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"The live page needs {', '.join(MISSING)}: install Debian's npm, "
        "chromium and chromium-driver, and slot_attention_tf[dev].",
    ),
]
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
)
# Waits for `condition`, then hands the result of an async function to Python.
SCRIPT = """
const [condition, code, values, done] = arguments;
const deadline = performance.now() + 50000;
const call = (body) => new Function("values", `return (async () => {${body}})()`);
(async () => {
  while (!(await call(`return ${condition}`)(values))) {
    if (performance.now() > deadline) throw new Error(`Never came: ${condition}`);
    await new Promise((next) => setTimeout(next, 20));
  }
  return call(code)(values);
})().then((result) => done({ result }), (error) => done({ error: error.stack }));
"""
BAR = {"shape": 0, "color": [255, 0, 0]}  # Four cells in a row.
READY = "window.demo?.segmentation && !demo.drawing && !demo.stale"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The built page: its folder, and its address on a server of static files."""
    folder = tmp_path_factory.mktemp("page")
    script = ROOT / "docs" / "demo" / "build.py"
    subprocess.run([sys.executable, script, "--out", folder], cwd=ROOT, check=True)
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as driver:
        driver.set_script_timeout(60)
        yield driver


@pytest.fixture
def run(driver, page):
    """Opens the page; `run(code, values)` runs JavaScript when all is drawn.

    Afterwards, nothing may have been written to the console.
    """

    def run(code, values=None, condition=READY):
        answer = driver.execute_async_script(SCRIPT, condition, code, values)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    driver.get(page[1])
    run("return null")
    yield run
    assert driver.get_log("browser") == []


def segmentation(run):
    return np.array(run("return [...demo.segmentation]")).reshape(35, 35)


def pixels(run):
    """The scene on the page, uint8 `[35, 35, 3]`."""
    values = np.array(run("return [...demo.stage.pixels]"), "uint8")
    return values.reshape(35, 35, 4)[..., :3]


def set_slider(run, name, value):
    run(
        "const slider = document.getElementById(values[0]); slider.value = values[1];"
        "slider.dispatchEvent(new Event('input'))",
        [name, value],
    )


def test_it_loads_and_says_what_the_model_was_trained_on(run):
    text = run("return document.body.innerText")
    assert "60,000 generated scenes of three Tetris pieces" in text
    assert "FG-ARI 97.5 % on 320 scenes" in text
    assert "Loading" not in text
    cards = run("return document.querySelectorAll('.card').length")
    assert cards == 4


def test_scenes_are_drawn_as_the_generator_draws_them(run):
    seed = scenes.held_out_seed(0)
    expected = scenes.generate_scenes(tetrominoes.draw_scene, 15, seed)["image"]
    for index in range(15):
        run("demo.showScene(values)", index)
        np.testing.assert_array_equal(pixels(run), expected[index])


def test_shuffled_scenes_have_three_whole_pieces(run):
    for _ in range(20):
        run("document.getElementById('shuffle').click()")
        lit = (pixels(run) > 0).any(axis=-1)
        # Three pieces of four cells, none over another or over the border.
        assert lit.sum() == 3 * 4 * 25


def test_all_shapes_turn_as_a_picture_turns(run):
    shapes = run("return demo.tetrominoes.shapes")
    turned = run(
        "return demo.tetrominoes.shapes.map((cells) =>"
        "demo.tetrominoes.rotated({cells, y: 10, x: 10}).cells)"
    )
    assert len(shapes) == 19
    for shape, result in zip(shapes, turned, strict=True):
        np.testing.assert_array_equal(np.rot90(shape, -1), result)
        assert result in shapes


@pytest.mark.parametrize("pointer", ["mouse", "touch"])
def test_dragging_a_piece_changes_the_segmentation(run, driver, pointer):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput
    from selenium.webdriver.common.by import By

    before, scene = segmentation(run), pixels(run)
    canvas = driver.find_element(By.CSS_SELECTOR, "#stage canvas")
    scale = canvas.rect["width"] / 35
    # The red square: it stands where it can move both ways.
    index = run("return demo.stage.pieces.findIndex((p) => `${p.color}` === '255,0,0')")
    piece = run("return demo.stage.pieces[values]", index)
    cell = piece["cells"][0].index(True)
    # Offsets count from the middle of the element.
    x = (piece["x"] + 5 * cell + 2.5 - 17.5) * scale
    y = (piece["y"] + 2.5 - 17.5) * scale
    drag = ActionBuilder(driver, mouse=PointerInput(pointer, pointer))
    hand = drag.pointer_action
    hand.move_to(canvas, int(x), int(y)).pointer_down()
    hand.move_to(canvas, int(x + 4 * scale), int(y - 7 * scale)).pointer_up()
    drag.perform()
    moved = run("return demo.stage.pieces[values]", index)
    assert (moved["y"], moved["x"]) == (piece["y"] - 7, piece["x"] + 4)
    assert (pixels(run) != scene).any()
    assert (segmentation(run) != before).any()
    # The piece has the keys now.
    ActionChains(driver).send_keys(Keys.ARROW_DOWN).perform()
    assert run("return demo.stage.pieces[values].y", index) == piece["y"] - 6


def test_a_double_click_rotates_a_piece(run, driver):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    run("demo.showPieces([demo.tetrominoes.piece({...values, y: 15, x: 10})])", BAR)
    canvas = driver.find_element(By.CSS_SELECTOR, "#stage canvas")
    ActionChains(driver).move_to_element(canvas).double_click().perform()
    lit = pixels(run).any(axis=-1)
    assert lit.any(axis=1).sum() == 20 and lit.any(axis=0).sum() == 5


def test_keys_move_and_rotate_a_piece(run, driver):
    from selenium.webdriver import ActionChains, Keys

    run("demo.showPieces([demo.tetrominoes.piece({...values, y: 15, x: 10})])", BAR)
    run("document.getElementById('sample').focus()")
    keys = ActionChains(driver)
    # Backwards from the buttons below the scene to its only piece.
    keys.key_down(Keys.SHIFT).send_keys(Keys.TAB * 4).key_up(Keys.SHIFT)
    keys.send_keys(Keys.ARROW_UP * 3, Keys.ARROW_LEFT * 20, Keys.ARROW_RIGHT).perform()
    piece = run("return demo.stage.pieces[0]")
    assert (piece["y"], piece["x"]) == (12, 1)
    ActionChains(driver).send_keys("r").perform()
    assert pixels(run).any(axis=(1, 2)).sum() == 20


def test_sliders_give_seven_slots_and_two_iterations(run):
    set_slider(run, "slots", 7)
    set_slider(run, "iterations", 2)
    assert run("return document.querySelectorAll('.card').length") == 7
    assert run("return document.querySelectorAll('.card .map').length") == 7 * 2
    assert 4 < len(np.unique(segmentation(run))) <= 7


def test_new_slots_give_another_segmentation(run):
    before = segmentation(run)
    run("document.getElementById('sample').click()")
    assert (segmentation(run) != before).any()


def test_iterations_are_played_from_the_first_to_the_last(run):
    seen = run(
        """
        const shown = document.getElementById("shown-value");
        const seen = [];
        const observer = new MutationObserver(() => seen.push(shown.value));
        observer.observe(shown, { childList: true });
        document.getElementById("play").click();
        await new Promise((next) => setTimeout(next, 4000));
        return seen;
        """
    )
    assert list(dict.fromkeys(seen)) == ["1", "2", "3", "4", "5"]


def test_an_image_of_ones_own(run, driver, tmp_path, rng):
    from selenium.webdriver.common.by import By

    image = rng.integers(256, size=(35, 35, 3), dtype="uint8")
    Image.fromarray(image).save(tmp_path / "image.png")
    file = driver.find_element(By.ID, "file")
    file.send_keys(str(tmp_path / "image.png"))
    run("return null", condition=f"demo.stage.pieces.length === 0 && {READY}")
    np.testing.assert_array_equal(pixels(run), image)


def test_another_model_is_an_entry_of_the_list(run, driver, page):
    file = page[0] / "page.json"
    text = file.read_text("utf-8")
    facts = json.loads(text)
    # As a model of CLEVR would be: its scenes are pictures, without pieces.
    facts["models"].append({**facts["models"][0], "title": "Sheet", "pieces": None})
    seed = scenes.held_out_seed(0)
    expected = scenes.generate_scenes(tetrominoes.draw_scene, 15, seed)["image"]
    try:
        file.write_text(json.dumps(facts), "utf-8")
        driver.refresh()
        select = "const choice = document.getElementById('model'); "
        select += f"choice.value = {len(facts['models']) - 1};"
        run(select + "choice.dispatchEvent(new Event('input'))")
        run("return null", condition=f"demo.stage.pieces.length === 0 && {READY}")
    finally:
        file.write_text(text, "utf-8")
    assert "Sheet: trained" in run("return document.body.innerText")
    np.testing.assert_array_equal(pixels(run), expected[0])
    before = segmentation(run)
    run("demo.showScene(7)")
    np.testing.assert_array_equal(pixels(run), expected[7])
    assert (segmentation(run) != before).any()


@pytest.mark.parametrize(("num_slots", "num_iterations"), [(4, 5), (7, 3)])
def test_numbers_are_those_of_python(run, rng, num_slots, num_iterations):
    model = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
    image = sa.preprocess_images(pixels(run)[None])
    start = rng.normal(size=(1, num_slots, 64)).astype("float32")
    expected = model(
        image,
        num_iterations=num_iterations,
        initial_slots=start,
        return_attention=True,
    )
    reconstruction, _, masks, slots, attention = map(np.asarray, expected)
    text = run(
        """
        const results = await demo.run(values);
        results.attention = results.attention.flatMap((values) => [...values]);
        return JSON.stringify(results, (_, value) =>
          ArrayBuffer.isView(value) ? [...value].map(Number) : value);
        """,
        {
            "image": np.asarray(image).ravel().tolist(),
            "slots": start.ravel().tolist(),
            "K": num_slots,
            "T": num_iterations,
        },
    )
    results = json.loads(text)
    expected = {
        "masks": masks,
        "reconstruction": reconstruction,
        "slots": slots,
        "attention": attention,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(results[name], values.ravel(), rtol=0, atol=1e-3)


def test_it_fits_a_phone_and_follows_the_dark_scheme(run, driver):
    def show(width, scheme):
        command = driver.execute_cdp_cmd
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        command("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        command("Emulation.setDeviceMetricsOverride", size)
        assert run("return document.documentElement.scrollWidth") == width
        return run("return getComputedStyle(document.documentElement).backgroundColor")

    try:
        assert show(360, "light") == "rgb(255, 255, 255)"
        assert show(1200, "dark") == "rgb(20, 23, 28)"
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_nothing_comes_from_elsewhere(run, page):
    folder, address = page
    names = run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert f"{address}onnxruntime/ort-wasm-simd-threaded.wasm" in names
    assert all(name.startswith(address) for name in names if "data:" not in name)
    assert "MIT License" in (folder / "onnxruntime" / "LICENSE").read_text("utf-8")
