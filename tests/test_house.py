"""The house plan, held: arrows go down only, the emulator stands apart, and one word has one room."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import asyncupload

HOUSE = Path(asyncupload.__file__).parent

FLOORS: tuple[tuple[str, ...], ...] = (
    # words
    (
        "errors",
        "_raised",
        "_unharmed",
        "events",
        "settings",
        "properties",
        "checkpoints",
        "_checksum",
        "_marks",
        "_secret",
        "_log",
        "_names",
        "_budget",
        "_units",
        "_shown",
    ),
    # leaves
    (
        "_ending",
        "_threads",
        "_shield",
        "_targets",
        "_cutting",
        "_file",
        "sources",
        "_body",
        "_statuses",
        "_repair",
        "_reply",
        "_call",
        "_parameters",
        "_wire",
        "_reading",
        "_outcome",
        "_ways",
    ),
    # one thing once
    (
        "_address",
        "_tls",
        "_connections",
        "_cookies",
        "_carried",
        "_proxy",
        "_failure",
        "_transport",
        "_pipeline",
        "_retry",
    ),
    # the server as an object
    ("_handler", "_asker", "_session", "_remote", "_patience"),
    # journeys
    (
        "_place",
        "_rules",
        "_keeping",
        "_settle",
        "_trial",
        "_spelling",
        "_recut",
        "_tally",
        "_staging",
        "_passes",
        "_fetch",
        "_verify",
        "_task",
        "_storing",
        "_upload",
        "_entries",
        "_archive_rules",
        "_archive",
        "_download",
        "_resume",
        "_check",
    ),
    # what the journeys share
    ("_limits", "_journeys", "_opened", "_leavings", "_following"),
    # the front door
    ("client", "measure"),
    ("__init__",),
    # those who watch
    ("telemetry",),
    # many files
    ("bulk",),
    # the street
    ("_signals", "cli", "__main__", "pytest_plugin"),
)
"""From the ground up. A room may use what is below it, and what stands before it on its own floor."""

ORDER = [room for floor in FLOORS for room in floor]

WORDS: dict[str, set[str]] = {
    "aiohttp": {"_carried", "_connections", "_cookies", "_failure", "_transport"},
    "xml": {"_body", "_parameters", "_reply"},
    "defusedxml": {"_reply"},
    "zlib": set(),
    "pybase64": {"_body", "_reading"},
    "binascii": set(),
    "zlib_ng": {"_checksum"},
    "aiofiles": {"_file", "sources", "_download"},
    "structlog": {"_log", "cli"},
    "logging": {"_log"},
    "click": {"cli"},
    "rich": {"cli"},
    "random": {"_retry"},
    "pathspec": {"bulk"},
    "sqlite3": {"bulk"},
    "openpyxl": {"bulk"},
    "platformdirs": {"bulk", "cli"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "pytest": {"pytest_plugin"},
}
"""Which rooms may import a library. The emulator has rules of its own."""

CALLS: dict[str, set[str]] = {
    "print": set(),
    "anyio.sleep": {"_retry", "bulk", "cli"},
    "asyncio.sleep": set(),
    "time.sleep": set(),
    "asyncio.ensure_future": {"_shield", "_following"},
    "asyncio.create_task": {"_pipeline"},
    "anyio.create_task_group": {"bulk", "cli"},
    "reveal": {"_body", "_tls"},
}
"""Which rooms may call something: waiting is _retry's, tasks are _pipeline's, _shield's and
those of many files and of what is told beside them, secrets are _body's, and _tls's for OpenSSL."""


def _room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def _files() -> Iterator[Path]:
    return (file for file in sorted(HOUSE.rglob("*.py")))


def _imports(file: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, inside functions too."""
    package = ["asyncupload", *file.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def _rooms_used(file: Path) -> set[str]:
    used = {name.split(".")[1] for name in _imports(file) if name.startswith("asyncupload.")}
    used |= {"__init__" for name in _imports(file) if name == "asyncupload"}
    # `from asyncupload import __version__` asks the front list itself.
    return {room if room in {*ORDER, "emulator"} else "__init__" for room in used}


def _called(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_every_room_has_its_place_in_the_plan() -> None:
    assert {_room(file) for file in _files()} == {*ORDER, "emulator"}


@pytest.mark.parametrize("room", ORDER)
def test_arrows_go_down_only(room: str) -> None:
    """Also those of imports inside functions."""
    below = set(ORDER[: ORDER.index(room)]) | {room}
    if room in {"cli", "pytest_plugin"}:
        below.add("emulator")  # they run it
    for file in (file for file in _files() if _room(file) == room):
        assert _rooms_used(file) <= below, f"{file.name} uses a room above it"


def test_the_emulator_imports_nothing_from_the_house() -> None:
    """It is an independent reading of the protocol: shared code would make both misread alike."""
    for file in (file for file in _files() if _room(file) == "emulator"):
        assert _rooms_used(file) <= {"emulator"}, file


def test_those_who_watch_know_what_is_told_and_nothing_else() -> None:
    for file in (file for file in _files() if _room(file) == "telemetry"):
        assert _rooms_used(file) <= {"events"}, file


@pytest.mark.parametrize("library", WORDS)
def test_a_library_is_known_to_its_rooms_only(library: str) -> None:
    knowing = {
        _room(file)
        for file in _files()
        if _room(file) != "emulator" and any(name.split(".")[0] == library for name in _imports(file))
    }
    assert knowing == WORDS[library]


def test_only_the_journals_rooms_know_its_database() -> None:
    """The loader knows a queue: one in a shared database can stand there without a word of it changing."""
    knowing = {file.stem for file in _files() if _room(file) == "bulk" and "sqlite3" in _imports(file)}
    assert knowing == {"database", "journal", "moves", "opening", "twins", "witness"}
    for word in ("rows", "queue"):
        used = {name.split(".")[2] for name in _imports(HOUSE / "bulk" / f"{word}.py") if ".bulk." in name}
        assert used <= {"rows"}


@pytest.mark.parametrize("call", CALLS)
def test_a_deed_is_done_in_its_rooms_only(call: str) -> None:
    doing = {
        _room(file)
        for file in _files()
        if _room(file) != "emulator"
        and any(name == call or (call == "reveal" and name.endswith(".reveal")) for name in _called(file))
    }
    assert doing == CALLS[call]


def test_only_the_command_line_writes_to_the_terminal() -> None:
    writing = {
        _room(file)
        for file in _files()
        if any(name in {"sys.stdout.write", "sys.stderr.write", "click.echo", "click.secho"} for name in _called(file))
    }
    assert writing == {"cli"}


SPEAKING = re.compile(
    r"click\.(echo|secho|prompt|confirm|pause|progressbar|echo_via_pager|get_text_stream|get_binary_stream)"
    r"|sys\.(__)?std(out|err)(__)?|os\.write|getpass\..*|warnings\.warn|traceback\.print_.*"
    r"|rich\.(print.*|get_console|console\.Console)|Console|structlog\.(configure|Print.*|Write.*)"
)
"""What reaches a terminal, or may."""


def test_all_that_the_command_line_says_goes_through_one_room() -> None:
    """It lets no text from outside speak to the terminal, and survives a standard output that is closed or full."""
    for file in (file for file in _files() if _room(file) == "cli" and file.stem != "terminal"):
        tree = ast.parse(file.read_text("utf-8"))
        named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
        said = {name for name in {*named, *_imports(file)} if SPEAKING.fullmatch(name)}
        assert not said, f"{file.name} speaks past cli/terminal.py: {said}"


@pytest.mark.parametrize("drawing", ["Live", "Progress"])
def test_what_is_drawn_is_drawn_on_that_rooms_console(drawing: str) -> None:
    """And rich puts nothing in the place of the standard streams, which are guarded."""
    for file in (file for file in _files() if _room(file) == "cli"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == drawing:
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("console") in {"console", "terminal.console()"}
                assert given.get("redirect_stdout") == given.get("redirect_stderr") == "False"


def test_there_is_no_room_for_odds_and_ends() -> None:
    assert not {file.stem for file in _files()} & {"utils", "helpers", "common", "base", "misc"}


def test_an_integrity_check_is_never_an_assert() -> None:
    """``python -O`` would remove it."""
    for file in _files():
        found = [node.lineno for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Assert)]
        assert not found, f"{file} line {found}"


def test_files_and_functions_stay_readable() -> None:
    """Around 250 lines a file, rarely over 40 a function, nested three deep: measured where it begins to hurt."""
    for file in _files():
        lines = file.read_text("utf-8").splitlines()
        assert len(lines) <= 420, f"{file} has {len(lines)} lines"
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.body[0].lineno + 1
                assert length <= 60, f"{file}: {node.name} has {length} lines"


def test_public_names_are_one_sorted_list() -> None:
    names = asyncupload.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert all(hasattr(asyncupload, name) for name in names)
