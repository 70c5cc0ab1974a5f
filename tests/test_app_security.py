"""What the page must refuse: foreign files, foreign sites, guessers, and places nobody waits in."""

import asyncio
import html
import http.client
import json
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from command import client, free_port, run, served_beside
from gradio import processing_utils
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from cvdvae.app.faces.explorer import Explorer
from cvdvae.app.guard import LOGIN, Guard, Tries
from cvdvae.app.hosts import Hosts, is_loopback
from cvdvae.app.server import how_served, make_app
from cvdvae.app.uploads import REFUSED, is_upload
from cvdvae.app.waiting import GRACE, Waiting
from cvdvae.domains.faces import demo_photo
from cvdvae.errors import InputError
from cvdvae.imaging.io import png_in_base64
from cvdvae.restoration.recipe import recipe_from_text

META = {"meta": {"_type": "gradio.FileData"}}
FILES = {"image", "imageeditor", "uploadbutton"}
FOLDER = "0" * 64
WAITING = 40


def ask(
    address: str, path: str, data: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and body of a request, whose headers are sent as they are."""
    place = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Content-Type", "application/json")
    body = data if isinstance(data, (str, bytes)) or data is None else json.dumps(data)
    connection.request("GET" if data is None else "POST", path, body, given)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read().decode(errors="replace")
    connection.close()
    return answer


def upload(
    address: str, content: bytes, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    """What the server answers to a file."""
    head = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x"
    return ask(address, "/gradio_api/upload", body, Content_Type=kind, **headers)


def join(address: str, session: str, function: int, data: list[Any]) -> tuple[int, str]:
    """Whether a visitor's wish is taken, and what the server says to it."""
    body = {"fn_index": function, "session_hash": session, "data": data}
    status, _, said = ask(address, "/gradio_api/queue/join", body)
    return status, said


def outcome(address: str, session: str, function: int, data: list[Any]) -> dict[str, Any]:
    """What a handler answers, as its visitor gets it."""
    return outcomes(address, session, function, [data])[0]


def outcomes(
    address: str, session: str, function: int, inputs: list[list[Any]]
) -> list[dict[str, Any]]:
    """The same for several inputs at once, in their order."""
    joined = [join(address, session, function, data) for data in inputs]
    assert {status for status, _ in joined} == {200}
    events = [json.loads(said)["event_id"] for _, said in joined]
    answers: dict[str, dict[str, Any]] = {}
    url = f"{address}/gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(url, timeout=60) as lines:
        for line in lines:
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                if message["msg"] == "process_completed":
                    answers[message["event_id"]] = message
            if len(answers) == len(events):
                return [answers[event] for event in events]
    raise AssertionError("no answer")


# Files.


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, temporary: Path, address: str) -> list[str]:
    """Files that are nobody's upload, elsewhere and in the upload cache itself."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    private = elsewhere / "private.png"
    demo_photo().save(private)
    shutil.copy(private, elsewhere / "private.json")
    cache = next(temporary.glob("cvdvae-app-*")) / "cache"
    (cache / FOLDER / "folder.png").mkdir(parents=True)
    (cache / FOLDER / "link.png").symlink_to(private)
    (cache / ("1" * 64)).symlink_to(elsewhere)
    shutil.copy(private, cache / "loose.png")
    os.mkfifo(elsewhere / "fifo.png")
    os.mkfifo(cache / FOLDER / "fifo.png")
    return [
        str(private),
        str(elsewhere / "missing.png"),
        str(elsewhere),
        str(elsewhere / "fifo.png"),
        "/dev/zero",
        "/etc/passwd",
        "private.png",
        "https://example.org/a.png",
        f"file://{private}",
        f"{private}\0",
        str(cache / "loose.png"),
        *(str(cache / FOLDER / name) for name in ("folder.png", "link.png", "fifo.png", "no.png")),
        str(cache / FOLDER),
        str(cache / ("1" * 64) / "private.png"),
        f"{cache}/{FOLDER}/../loose.png",
        f"{cache}/{FOLDER}/../../../../elsewhere0/private.png",
        f"{cache}/{FOLDER}/..",
    ]


def handlers(address: str) -> list[tuple[str, int, list[Any], list[int]]]:
    """All handlers that take a file: name, number, plausible inputs, and where the files go."""
    config = json.loads(ask(address, "/config")[2])
    parts = {part["id"]: part for part in config["components"]}
    found = []
    for one in config["dependencies"]:
        inputs = [parts[i] for i in one["inputs"]]
        places = [n for n, part in enumerate(inputs) if part["type"] in FILES]
        if places:
            values = [part["props"].get("value") for part in inputs]
            found.append((one["api_name"], one["id"], values, places))
    return found


def handler(address: str, name: str) -> tuple[int, list[Any]]:
    """Number and inputs of one handler."""
    return next((number, values) for one, number, values, _ in handlers(address) if one == name)


def test_no_handler_reads_a_file_that_was_not_uploaded(address: str, foreign: list[str]) -> None:
    bare = [{"path": path, "orig_name": "a.png"} for path in foreign]
    files = [*bare, *({**file, **META} for file in bare)]
    known = handlers(address)
    names = {name.split("_")[0] for name, *_ in known}
    assert names >= {"arrive", "look", "move", "draw", "reopen", "upscale", "enlarge"}
    for name, number, values, places in known:
        tried = files[number % 3 :: 3]  # each handler some of them, and together all
        given = [
            [file if place in places else value for place, value in enumerate(values)]
            for file in tried
        ]
        answers = outcomes(address, f"{number}", number, given)
        for file, answer in zip(tried, answers, strict=True):
            assert not answer["success"], (name, file)
            assert answer["output"]["error"] == REFUSED, (name, file)


def test_a_file_may_hide_in_no_other_input(address: str, foreign: list[str]) -> None:
    hidden = {"deep": [{"path": foreign[0]}]}
    number, values = handler(address, "upscale")
    answer = outcome(address, "hidden", number, [*values[:-1], hidden])
    assert answer["output"]["error"] == REFUSED


def test_the_examples_are_taken(address: str) -> None:
    config = json.loads(ask(address, "/config")[2])
    parts = {part["id"]: part["type"] for part in config["components"]}
    chooses = next(
        one["id"]
        for one in config["dependencies"]
        if [parts[i] for i in one["inputs"]] == ["dataset"]
    )
    number, values = handler(address, "arrive")
    for example in range(3):
        photo = outcome(address, "examples", chooses, [example])["output"]["data"][0]
        for file in (photo, {"path": photo["path"]}):
            os.utime(photo["path"], (0, 0))
            answer = outcome(address, "examples", number, [file, *values[1:]])
            assert answer["success"]
            assert Path(photo["path"]).stat().st_mtime > 0  # what is used is kept


def test_an_upload_is_a_regular_file_in_a_folder_of_its_own(tmp_path: Path) -> None:
    cache = tmp_path.resolve()
    own = cache / ("a" * 64) / "face.png"
    own.parent.mkdir()
    own.write_bytes(b"x")
    assert is_upload(str(own), cache)
    assert not is_upload(str(own), cache / "other")
    assert not is_upload(own, cache)
    assert not is_upload(f"{cache}/./{own.parent.name}/face.png", cache)
    short = cache / "abc" / "face.png"
    short.parent.mkdir()
    shutil.copy(own, short)
    assert not is_upload(str(short), cache)


# Other sites.


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example:7860"},
        {"Host": "192.168.1.7"},
        {"Host": "a b"},
        {"X_Forwarded_Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::1"},
    ],
    ids=str,
)
def test_other_sites_are_refused(address: str, headers: dict[str, str]) -> None:
    bodies: tuple[dict[str, Any] | None, ...] = (None, {})
    for data in bodies:
        status, answered, text = ask(address, "/config", data, **headers)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in answered
        assert answered["Content-Security-Policy"]
        assert text.endswith(".")
        assert text.count(". ") == 0


def test_the_servers_own_names_are_taken(address: str) -> None:
    port = address.rsplit(":", 1)[1]
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert ask(address, "/config", Host=name)[0] == 200
        here = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        assert ask(address, "/config", **here)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_uploads_of_other_sites_are_refused(address: str, headers: dict[str, str]) -> None:
    for more, wanted in (({}, 200), ({"Sec_Fetch_Site": "same-origin"}, 200), (headers, 403)):
        assert upload(address, b"x", **more)[0] == wanted


def test_names_depend_on_the_address_that_is_listened_on() -> None:
    loopback, named = Hosts("127.0.0.1", ("Faces.example.org",)), Hosts("mybox")
    everywhere, one = Hosts("0.0.0.0", ("faces.example.org",)), Hosts("192.168.1.7")
    for hosts, known, unknown in (
        (loopback, "faces.example.org localhost. [::1]:80", "192.168.1.7 example.org 0.0.0.0"),
        (everywhere, "10.0.0.1:8080 [fe80::1] localhost faces.example.org", "mybox evil.example"),
        (one, "192.168.1.7:80", "127.0.0.1 localhost"),
        (named, "mybox MYBOX:7860", "localhost mybox.evil.example"),
    ):
        assert all(hosts.knows(name) for name in known.split())
        assert not any(hosts.knows(name) for name in [*unknown.split(), ""])
    assert loopback.trusts({"host": "127.0.0.1:7860", "origin": "https://faces.example.org"})
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")


def test_further_names_are_taken_as_addresses_write_them() -> None:
    hosts = Hosts("127.0.0.1", ("Faces.example.org:8443", "[fe80::1]", "fe80::2", "mybox."))
    for name in (
        "faces.example.org",
        "faces.example.org:8443",
        "[fe80::1]:80",
        "[fe80::2]",
        "mybox",
    ):
        assert hosts.knows(name)
    own = {"host": "127.0.0.1:7860", "origin": "https://faces.example.org:8443"}
    assert hosts.trusts(own)
    for name in ("https://faces.example.org", "faces.example.org/", "*", "", " "):
        with pytest.raises(InputError, match="--allow-host takes a name"):
            Hosts("127.0.0.1", (name,))


@pytest.mark.parametrize(
    "path", ["/file=https://a.b/", "/file/https://a.b/", "/proxy=https://a.b/"]
)
def test_every_refusal_carries_the_security_headers(address: str, path: str) -> None:
    status, headers, _ = ask(address, f"/gradio_api{path}")
    assert status == 403
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


# The command.


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_refused(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("app", "--host", host, monkeypatch=monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all("--host needs" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (("--host", "0.0.0.0"), True),
        (("--host", "0.0.0.0", "--auth", "anna:secret"), False),
        ((), False),
    ],
)
def test_an_open_page_without_a_password_is_warned_of(
    arguments: tuple[str, ...],
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun: list[object] = []
    monkeypatch.setattr("cvdvae.app.server.serve", lambda *how: begun.append(how))
    assert run("app", *arguments, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().err
    assert said.count("warning: everyone who can reach this machine") == warned
    assert len(begun) == 1


# Passwords, numbers, and the queue.


def test_with_a_password_guesses_are_limited_and_an_interrupt_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    form = "application/x-www-form-urlencoded"
    demo_photo().save(tmp_path / "photo.png")
    kept = tmp_path / "kept"
    kept.mkdir()
    named = {"CVDVAE_AUTH": "anna:secret", "TMPDIR": str(kept)}
    running = served_beside("--model", "celeba64-x8", **named)
    with running as url:
        assert ask(url, "/config")[0] == 401
        assert LOGIN in html.unescape(ask(url, "/")[2]), "the page shows no refusal's own words"
        with pytest.raises(Exception, match=r"(?i)auth|login|credential"):
            client(url, auth=("anna", "wrong"))
        page = client(url, auth=("anna", "secret"))
        photo = handle_file(tmp_path / "photo.png")
        _, _, result = page.predict(image=photo, scale=8, api_name="/upscale")
        assert result["model"] == "celeba64-x8"
        assert len(list(kept.iterdir())) == 1
        for path in ("/login", "/login/"):
            right = ask(url, path, "username=anna&password=secret", Content_Type=form)
            assert right[0] == 200
        answers = [
            ask(url, "/login", f"username=anna&password={n}", Content_Type=form) for n in range(10)
        ]
        # The eleventh in all.
        assert [status for status, *_ in answers] == [400] * 9 + [429]
        assert "Too many wrong passwords" in answers[-1][2]
        assert answers[-1][1]["Content-Security-Policy"]
        # Nor does the right one tell a guesser anything now.
        assert ask(url, "/login", "username=anna&password=secret", Content_Type=form)[0] == 429
        running.process.send_signal(signal.SIGINT)
        running.process.wait(20)
    assert running.process.returncode == 130
    assert list(kept.iterdir()) == []


def test_wrong_passwords_are_forgotten_after_a_while() -> None:
    now = [0.0]
    tries = Tries(most=2, seconds=60, clock=lambda: now[0])
    assert [tries.begin("1.2.3.4") for _ in range(3)] == [True, True, False]
    assert tries.begin("1.2.3.5")
    tries.right("1.2.3.4")
    assert tries.begin("1.2.3.4")
    now[0] = 61
    assert tries.begin("1.2.3.4")
    assert [tries.begin(f"2001:db8::{n}") for n in range(3)] == [True, True, False]


def test_all_addresses_together_may_not_guess_without_end() -> None:
    now = [0.0]
    tries = Tries(most=2, seconds=60, clock=lambda: now[0], of_all=5)
    assert [tries.begin(f"1.2.3.{n}") for n in range(6)] == [True] * 5 + [False]
    tries.right("1.2.3.0")
    assert [tries.begin("1.2.3.6") for _ in range(2)] == [True, False]
    now[0] = 61
    assert tries.begin("1.2.3.6")


@pytest.mark.parametrize(("names", "taken"), [((), 10), (("faces.example.org",), 100)])
def test_an_address_that_is_forged_gives_no_further_guesses(
    names: tuple[str, ...], taken: int
) -> None:
    """Without a server in front none is believed; with one, a visitor cannot be told from it."""

    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("no", status_code=400)(scope, receive, send)

    hosts = Hosts("127.0.0.1", names)
    config = how_served(Guard(wrong, hosts, Waiting(SimpleNamespace(push=None))), hosts)
    config.load()
    said: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    async def guess() -> None:
        for n in range(200):
            forged = (b"x-forwarded-for", f"10.0.0.{n}".encode())
            scope = {
                "type": "http",
                "method": "POST",
                "scheme": "http",
                "path": "/login",
                "query_string": b"",
                "headers": [(b"host", b"127.0.0.1"), forged],
                "client": ("127.0.0.1", 5),
            }
            await config.loaded_app(scope, cast(Any, None), cast(Any, send))

    asyncio.run(guess())
    assert said == [400] * taken + [429] * (200 - taken)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("queue/join", {"fn_index": 9999, "session_hash": "a", "data": []}),
        ("queue/join", {"fn_index": -1, "session_hash": "a", "data": []}),
        ("queue/join", {"fn_index": "x", "session_hash": "a", "data": []}),
        ("run/predict", {"fn_index": 9999, "data": []}),
        ("run/nothing", {"data": []}),
        ("call/nothing", {"data": []}),
        ("call/v2/nothing", {}),
        (
            "component_server",
            {"data": 1, "component_id": 99999, "fn_name": "x", "session_hash": "a"},
        ),
    ],
)
def test_what_is_not_there_is_the_visitors_error(address: str, path: str, body: Any) -> None:
    status, headers, _ = ask(address, f"/gradio_api/{path}", body)
    assert 400 <= status < 500
    assert headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["process_recording", "process_recording/", "deep_link", "run-history/buckets",
             "vibe-edit", "vibe-edit/", "undo-vibe-edit", "vibe-code", "vibe-starter-queries"]
)  # fmt: skip
def test_what_gradio_offers_and_the_page_does_not_use_is_refused(
    address: str, temporary: Path, path: str
) -> None:
    """A recording stayed in the temporary folder for good."""
    head = '--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    body, kind = f"{head}recorded\r\n--x--\r\n", "multipart/form-data; boundary=x"
    status, headers, said = ask(address, f"/gradio_api/{path}", body, Content_Type=kind)
    assert (status, said.count(".")) == (403, 1)
    assert headers["Content-Security-Policy"]
    assert ask(address, f"/gradio_api/{path}?session_hash=a")[0] == 403
    assert not [*temporary.rglob("*.mp4")]


def link_with(seed: int, steps: list[Any]) -> str:
    png = png_in_base64(demo_photo().resize((8, 8)))
    recipe = {"model": "celeba64-x8", "input": png, "samples": 1, "seed": seed}
    packed = zlib.compress(json.dumps(recipe | {"steps": steps}).encode())
    return urlsafe_b64encode(packed).decode().rstrip("=")


def test_a_seed_beyond_64_bits_is_refused_in_one_sentence(address: str, tmp_path: Path) -> None:
    explorer = Explorer(["celeba64-x8"])
    step = {"kind": "others", "sample": 0, "groups": 9, "seed": 2**64}
    for link in (link_with(2**64, []), link_with(0, [step])):
        with pytest.raises(InputError, match="a seed must be below 2⁶⁴"):
            list(explorer.reopen(recipe_from_text(link)))
    (session,) = list(explorer.reopen(recipe_from_text(link_with(2**64 - 1, []))))[-1:]
    assert session.sampling.seed == 2**64 - 1
    demo_photo().save(tmp_path / "a.png")
    with pytest.raises(AppError, match="a seed must be below"):
        client(address).predict(
            image=handle_file(tmp_path / "a.png"),
            scale=8,
            sampling={"seed": 2**64},
            api_name="/upscale",
        )


class Queue:
    """What `Waiting` uses of Gradio's queue."""

    def __init__(self) -> None:
        self.event_ids_to_events: dict[str, Any] = {}
        self.pending_event_ids_session: dict[str, set[str]] = {"s": {"e"}}
        self.cleaned: list[str] = []

    async def push(self) -> tuple[bool, str, str]:
        self.event_ids_to_events["e"] = SimpleNamespace(session_hash="s")
        return True, "e", "success"

    async def clean_events(self, event_id: str) -> None:
        self.cleaned.append(event_id)


@pytest.mark.parametrize(
    ("path", "query", "cleaned"),
    [
        ("/gradio_api/queue/data", b"session_hash=s", []),
        ("/gradio_api/call/upscale/e", b"", []),
        ("/gradio_api/queue/data", b"session_hash=t", ["e"]),
        ("/config", b"", ["e"]),
    ],
)
def test_only_who_listens_keeps_a_place(path: str, query: bytes, cleaned: list[str]) -> None:
    async def visit() -> list[str]:
        queue = Queue()
        waiting = Waiting(queue, grace=0.02)
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query}
        await queue.push()
        with waiting.listens(Request({**scope, "headers": []})):
            await asyncio.sleep(0.1)
        return queue.cleaned

    assert asyncio.run(visit()) == cleaned


def waiting(address: str) -> int:
    return int(json.loads(ask(address, "/gradio_api/queue/status")[2])["queue_size"])


@pytest.fixture
def busy(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page of a tiny model, that draws for ever, and waits for 4 s until one listens."""
    kept, drawn = tmp_path / "kept", threading.Event()
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", None)
    monkeypatch.setattr(Waiting.__init__, "__defaults__", (4.0,))

    def draw(*_: object) -> Iterator[object]:
        drawn.wait()
        raise InputError("nobody waits for it")

    monkeypatch.setattr(Explorer, "start", draw)
    kept.mkdir()
    port = free_port()
    app = make_app([str(model_folder)], kept)
    config = uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    drawn.set()
    server.should_exit = True
    thread.join()


def test_a_visitor_has_ten_seconds_to_begin_to_listen() -> None:
    assert GRACE == 10
    assert signature(Waiting).parameters["grace"].default == GRACE


def test_abandoned_joins_give_up_their_places(busy: str, tmp_path: Path) -> None:
    demo_photo().save(tmp_path / "a.png")
    path = json.loads(upload(busy, (tmp_path / "a.png").read_bytes())[2])[0]
    number, values = handler(busy, "upscale")
    given = [{"path": path, **META}, *values[1:4], {"samples": 32, "temperature": 0.8}, {}]
    for session in range(WAITING):  # nobody ever listens
        assert join(busy, f"gone{session}", number, given)[0] == 200
    began = waiting(busy)
    assert settles(busy, seconds=25)
    assert began > WAITING // 2
    for session in range(WAITING):  # they listen, and go
        assert join(busy, f"left{session}", number, given)[0] == 200
        url = f"{busy}/gradio_api/queue/data?session_hash=left{session}"
        urllib.request.urlopen(url, timeout=20).close()
    assert settles(busy, seconds=25)


def settles(address: str, seconds: float) -> bool:
    """Whether the queue is soon empty."""
    until = time.monotonic() + seconds
    while waiting(address) and time.monotonic() < until:
        time.sleep(0.1)
    return not waiting(address)
