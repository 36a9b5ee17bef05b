"""The server's page, used by its users' means in a real browser without a screen."""

import base64
import itertools
import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import requests
import tensorflow as tf
from conftest import publish_sums
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "rnn_apps" / "server" / "page"
APPLICATIONS = ("captioning", "forecasting", "language", "sentiment", "translation")
DESKTOP, PHONE = (1280, 900), (375, 740)
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI"),
    reason="there is no chromium with chromedriver: apt-get install chromium chromium-driver",
)
TIMEOUT = 30  # seconds for an answer


@pytest.fixture
def server(served):
    """The folder of models and the URL of REST of a server."""
    return served.folder, served.url


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
        "--disable-extensions", "--disable-component-update", "--disable-background-networking",
        "--no-first-run", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in a browser."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def size(self, width, height):
        given = {"width": width, "height": height, "deviceScaleFactor": 1}
        given["mobile"] = (width, height) == PHONE
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", given)

    def open(self, model):
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/#/{model}")
        self.until(lambda: self.texts("h1") == [model])
        return self

    def texts(self, selector):
        """What stands in elements that may be replaced meanwhile."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((each) => each.innerText ?? each.textContent)"
        )
        return self.run(script, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def until(self, true):
        return WebDriverWait(self.driver, TIMEOUT, 0.05).until(lambda _: true())

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def answered(self):
        """Waits for the answer; returns its text."""
        self.until(lambda: self.all(".answer[aria-busy='false']"))
        return self.one(".answer").text

    def ask(self):
        self.run("document.querySelector('.answer').removeAttribute('aria-busy')")
        self.one("button.ask").click()
        return self.answered()

    def type(self, text):
        field = self.one("textarea")
        field.clear()
        field.send_keys(text)

    def paste(self, text):
        self.run(
            "const field = document.querySelector('textarea'); field.value = arguments[0];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))",
            text,
        )

    def drop(self, name, content):
        """Drops a file on the page's place for files."""
        self.run("document.querySelector('.answer').removeAttribute('aria-busy')")
        self.run(
            "const bytes = Uint8Array.from(atob(arguments[1]), (each) => each.charCodeAt(0));"
            "const given = new DataTransfer(); given.items.add(new File([bytes], arguments[0]));"
            "document.querySelector('.drop').dispatchEvent(new DragEvent('drop',"
            "{dataTransfer: given, bubbles: true, cancelable: true}))",
            name,
            base64.b64encode(content).decode(),
        )
        return self.answered()

    def requests(self):
        """The requests that the answer says were sent: [(path, body)]."""
        shown = self.run(
            "return [...document.querySelectorAll('.sent pre[aria-label=Request]')]"
            ".map((each) => each.textContent)"
        )
        found = [re.fullmatch(r"curl -d '(.*)' (http://\S+)", text, re.S) for text in shown]
        return [
            (match[2].removeprefix(self.url), json.loads(match[1].replace("'\\''", "'")))
            for match in found
        ]


@pytest.fixture
def page(chromium, server):
    one = Page(chromium, server[1])
    one.size(*DESKTOP)
    yield one
    errors = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    # What a test asks for wrongly is logged by the browser as a failed request.
    assert [entry for entry in errors if "status of 400" not in entry["message"]] == []


def asked_over_rest(url, model, instance):
    """What the server answers to one instance, without the page."""
    body = {"instances": [instance]}
    answer = requests.post(f"{url}/v1/models/{model}:predict", json=body, timeout=30)
    return answer.json()["predictions"][0]


def picture():
    """A PNG of a red square on grey."""
    pixels = np.full([48, 48, 3], 200, np.uint8)
    pixels[8:32, 8:32] = (210, 40, 40)
    return tf.io.encode_png(pixels).numpy()


def price_rows(count=40, columns=("date", "open", "high", "low", "close", "volume")):
    """Prices as CSV, and as bars."""
    closes = 50 + np.sin(np.arange(count)).round(2)
    days = np.busday_offset("2024-01-01", np.arange(count), roll="forward").astype(str)
    table = {
        "date": days, "open": closes - 0.25, "high": closes + 0.5, "low": closes - 0.5,
        "close": closes, "volume": np.full(count, 1000.0),
    }  # fmt: skip
    rows = zip(*(table[name] for name in columns), strict=True)
    text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)])
    bars = np.stack([table[name] for name in ("open", "high", "low", "close", "volume")], 1)
    return text, bars.tolist()


# Without a browser


def test_the_page_is_served_with_headers_that_let_nothing_else_in(server):
    _, url = server
    answer = requests.get(url, timeout=10)
    assert answer.ok and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    names = requests.get(f"{url}/page/models.json", timeout=10).json()
    assert names == {"models": sorted([*APPLICATIONS, "sums"])}
    for path in PAGE.iterdir():
        assert requests.get(f"{url}/page/{path.name}", timeout=10).content == path.read_bytes()


@pytest.mark.parametrize("path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page/", "/x"])
def test_no_other_file_is_served(server, path):
    _, url = server
    request = requests.Request("GET", url).prepare()
    request.url = f"{url}{path}"
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == 404


def test_no_file_of_the_page_names_another_address():
    texts = {path.name: path.read_text() for path in PAGE.iterdir()}
    assert len(texts) >= 10
    for name, text in texts.items():
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert not found, name
        assert "innerHTML" not in text and "eval(" not in text, name


# In a browser


@needs_browser
def test_each_model_is_listed_with_its_versions_and_signatures(page):
    page.open("translation")
    assert [link.text.splitlines()[0] for link in page.all("nav a")] == sorted(
        [*APPLICATIONS, "sums"]
    )
    assert [chip.text for chip in page.all(".chip")] == ["version 1 · AVAILABLE"]
    page.one(".signatures summary").click()
    rows = [row.text for row in page.all(".signatures tbody tr")]
    assert [row.split()[0] for row in rows] == ["serving_default", "attention", "n_best"]
    assert "beam_size int32 [batch]" in rows[2]
    assert "weights float [batch, 64, 64]" in rows[1]


@needs_browser
def test_a_text_is_judged_with_the_enter_key_alone(page):
    page.open("sentiment")
    text = "Hardly anyone would say that the \"service\" was <b>wonderful</b> & 'fine'."
    page.type(text)
    page.one("textarea").send_keys(Keys.ENTER)
    shown = page.answered()
    known = asked_over_rest(page.url, "sentiment", text)
    label = known["label"]
    assert page.one(".gauge .big").text == label
    assert page.one(".gauge svg").get_attribute("aria-label") == (
        f"{label}: {known['score']:.2f} on a scale from -1 to +1"
    )
    turned = float(re.search(r"rotate\((.*)deg", page.one(".needle").get_attribute("style"))[1])
    assert turned == pytest.approx(90 * known["score"], abs=0.01)
    assert f"{100 * max(known['probabilities']):.1f}"[:2] in shown
    marked = page.run("return document.querySelector('.looked').textContent")
    assert "<b>" in marked and not page.all(".looked b")
    assert page.requests()[0] == ("/v1/models/sentiment:predict", {"instances": [text]})


@needs_browser
def test_prices_are_pasted_and_become_a_fan(page):
    page.open("forecasting")
    text, bars = price_rows()
    page.paste(text)
    shown = page.ask()
    ((path, body),) = page.requests()
    assert (path, body) == ("/v1/models/forecasting:predict", {"instances": [bars]})
    known = np.array(asked_over_rest(page.url, "forecasting", bars)["quantiles"])
    low, high = re.search(r"between ([\d.]+) and ([\d.]+)", shown).groups()
    np.testing.assert_allclose([float(low), float(high)], known[-1][[0, -1]], rtol=1e-4)
    bands = [band.get_attribute("points").split() for band in page.all(".chart polygon.band")]
    assert len(bands) == known.shape[1] // 2
    ends = [[float(point.split(",")[1]) for point in band[5:7]] for band in bands]  # at the right
    upper, lower = np.array(ends).T
    assert (np.diff(upper) > 0).all() and (np.diff(lower) < 0).all() and (upper < lower).all()
    points = page.one(".chart polyline.median").get_attribute("points").split()
    assert len(points) == 1 + len(known)
    page.one(".answer details summary").click()
    cells = [cell.text for cell in page.all(".answer tbody tr:last-child td")]
    assert float(cells[3]) == pytest.approx(known[-1][known.shape[1] // 2], rel=1e-4)


@needs_browser
def test_a_file_of_prices_is_dropped_with_closes_alone_newest_first_and_semicolons(page):
    page.open("forecasting")
    text, bars = price_rows(columns=("date", "close"))
    lines = text.replace(",", ";").replace(".", ",").splitlines()
    page.drop("prices.csv", "\n".join([lines[0], *reversed(lines[1:])]).encode())
    ((path, body),) = page.requests()
    closes = [bar[3] for bar in bars]
    assert body == {"signature_name": "closes", "instances": [closes]}
    assert "sorted, oldest first" in page.one("form").text
    assert page.texts(".chart text")[-2:] == ["2024-02-23", "+5"]


@needs_browser
def test_a_table_of_several_series_asks_which_and_draws_sample_paths(page):
    page.open("forecasting")
    text, bars = price_rows(30)
    head, *rows = text.splitlines()
    both = [f"{name},{row}" for name in ("AAA", "BBB") for row in rows]
    page.paste("\n".join([f"symbol,{head}", *both]))
    page.run("document.querySelector('form select').value = 'BBB'")
    page.one("form input[type=checkbox]").click()
    page.ask()
    assert [body["instances"][0] for _, body in page.requests()] == [bars, bars]
    assert len(page.all(".chart polyline.path")) == 100


@needs_browser
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There are no prices yet"),
        ("date,open\n2024-01-01,3", "No column of closing prices"),
        ("date,close\n2024-01-01,3\n2024-01-02,three", 'Line 3: "three" is no number (close)'),
    ],
)
def test_what_is_wrong_with_prices_is_said_in_a_sentence(page, text, says):
    page.open("forecasting")
    page.paste(text)
    page.ask()
    assert says in page.one(".answer [role=alert]").text
    assert page.requests() == []


@needs_browser
def test_a_picture_is_captioned_and_each_word_shows_where_it_looked(page, tmp_path):
    page.open("captioning")
    (tmp_path / "square.png").write_bytes(picture())
    page.one("input[type=file]").send_keys(str(tmp_path / "square.png"))
    page.answered()
    encoded = base64.b64encode(picture()).decode()
    caption = asked_over_rest(page.url, "captioning", {"b64": encoded})["caption"]
    assert page.one(".caption").text == caption
    assert page.one(".picture img").get_attribute("alt") == caption
    assert page.one(".picture img").get_attribute("src").endswith(encoded)
    words = page.all(".words button")
    assert " ".join(word.text for word in words) == caption
    plain = "return document.querySelector('.picture canvas').width"
    assert page.run(plain) == 1
    words[0].send_keys("")  # the focus, which is what Tab gives
    assert page.run(plain) == 6  # as many places as the network has
    words[1].send_keys(Keys.ENTER)
    assert [word.get_attribute("aria-pressed") for word in words[:3]] == ["false", "true", "false"]
    best = [entry.text for entry in page.all("ol.best li")]
    assert len(best) > 1 and best[0].startswith(caption)


@needs_browser
def test_what_is_no_picture_is_refused_in_words(page):
    page.open("captioning")
    page.ask()
    assert "There is no picture yet" in page.one(".answer [role=alert]").text
    page.drop("notes.png", b"no picture at all")
    assert "could not read this as a picture" in page.one(".answer [role=alert]").text
    assert not page.all(".picture")


@needs_browser
def test_a_sentence_is_translated_with_a_map_of_its_words(page):
    page.open("translation")
    text = "The old man did not buy a red car on Friday."
    page.type(text)
    page.ask()
    translation = asked_over_rest(page.url, "translation", text)["translation"]
    assert page.one(".translation").text == translation
    assert len(page.all("ol.best li")) == 3
    columns = [cell.text for cell in page.all(".map thead th")]
    rows = [cell.text for cell in page.all(".map tbody th")]
    assert columns == ["‹start›", *text[:-1].split(), ".", "‹end›"]
    assert rows == [*translation[:-1].split(), ".", "‹end›"]
    weights = page.run(
        "return [...document.querySelectorAll('.map tbody tr')].map((row) =>"
        "[...row.querySelectorAll('span')].map((cell) =>"
        "Number(cell.style.getPropertyValue('--weight'))))"
    )
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, atol=0.02)
    assert columns[int(np.argmax(weights[0]))] == "The"


@needs_browser
def test_a_text_goes_on_and_its_next_words_are_shown_by_their_probability(page):
    page.open("language")
    page.type("I had hardly")
    page.one("textarea").send_keys(Keys.ENTER)
    shown = page.answered()
    known = asked_over_rest(page.url, "language", "I had hardly")
    assert page.texts(".bars div > span:first-child") == [
        token.strip() for token in known["tokens"]
    ]
    assert f"{100 * known['probabilities'][0]:.1f}"[:2] in shown
    first = page.one(".continued").text
    assert first.startswith("I had hardly ") and len(first) > len("I had hardly ")
    page.ask()
    asked = [body for path, body in page.requests() if "signature_name" in body]
    assert asked[-1]["signature_name"] == "generate"
    assert asked[-1]["instances"][0]["seed"] == 1


@needs_browser
def test_any_other_model_is_asked_with_json_and_its_errors_are_shown_as_they_are(page):
    page.open("sums")
    assert json.loads(page.one("textarea").get_attribute("value")) == {
        "signature_name": "serving_default", "instances": [[0, 0, 0]],
    }  # fmt: skip
    page.paste('{"instances": [[1, 2, 3.5]]}')
    page.ask()
    assert json.loads(page.one("pre.json").text) == {"predictions": [6.5]}
    page.paste('{"instances": [[1, 2, "3"]]}')
    page.ask()
    expected = requests.post(
        f"{page.url}/v1/models/sums:predict", json={"instances": [[1, 2, "3"]]}, timeout=10
    ).json()["error"]
    assert page.one(".answer [role=alert]").text == " ".join(expected.split())
    page.paste("{oops")
    page.ask()
    assert "The request is not JSON" in page.one(".answer [role=alert]").text


@needs_browser
def test_a_version_that_is_published_appears_and_is_asked(page, server):
    page.open("sums")
    publish_sums(server[0] / "sums")
    page.until(lambda: "version 2 · AVAILABLE" in page.texts(".chip"))
    choices = [option.get_attribute("value") for option in page.all(".head option")]
    assert choices[0] == "" and "2" in choices
    page.run(
        "document.querySelector('form').id = 'before';"
        "const choice = document.querySelector('.head select'); choice.value = '2';"
        "choice.dispatchEvent(new Event('change'))"
    )
    page.until(lambda: page.all("form") and not page.all("#before"))
    assert page.run("return document.querySelector('.head select').value") == "2"
    page.ask()
    ((path, _),) = page.requests()
    assert path == "/v1/models/sums/versions/2:predict"


@needs_browser
def test_everything_can_be_reached_and_used_with_the_keyboard(page):
    page.open("sentiment")
    page.run("document.activeElement.blur()")
    reached = []
    for _ in range(17):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.driver.switch_to.active_element
        outline = focused.value_of_css_property("outline-style")
        reached.append((focused.tag_name, focused.text.split("\n")[0], outline))
    assert reached[0][1] == "Skip to the model"
    tags = [tag for tag, _ in itertools.groupby(tag for tag, _, _ in reached)]
    assert tags[:6] == ["a", "select", "textarea", "button", "summary", "body"]
    assert [text for tag, text, _ in reached if tag == "button"][-1] == "Ask"
    assert all(outline != "none" for tag, _, outline in reached if tag != "body")
    link = page.one("nav a[data-name=translation]")
    link.send_keys(Keys.ENTER)
    page.until(lambda: page.texts("h1") == ["translation"])
    assert page.one("nav a[aria-current]").text.startswith("translation")


@needs_browser
@pytest.mark.parametrize("model", [*APPLICATIONS, "sums"])
def test_it_is_readable_on_a_phone(page, model):
    page.size(*PHONE)
    page.open(model)
    if model == "captioning":
        page.drop("square.png", picture())
    else:
        page.ask()
    page.one(".signatures summary").click()
    assert not page.all(".error")
    assert page.run("return document.documentElement.scrollWidth") == PHONE[0]
    controls = page.all("button, select, textarea, nav a, .drop")
    for control in [control for control in controls if control.is_displayed()]:
        box = control.rect
        assert box["height"] >= 24 and box["x"] >= 0, control.text
        assert box["x"] + box["width"] <= PHONE[0], control.text
    sizes = page.run(
        "return [...document.querySelectorAll('main *')].filter((each) => each.textContent.trim()"
        "&& each.getClientRects().length && !each.closest('svg, .map')"
        "&& !['OPTION', 'SELECT'].includes(each.tagName))"
        ".map((each) => parseFloat(getComputedStyle(each).fontSize))"
    )
    assert min(sizes) >= 12.5


@needs_browser
def test_nothing_is_loaded_from_anywhere_else(page):
    for model in APPLICATIONS:
        page.open(model)
    loaded = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert len(loaded) >= 10
    assert {re.match(r"https?://[^/]+|data:|blob:", name)[0] for name in loaded} == {page.url}
