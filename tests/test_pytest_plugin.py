"""The fixture for others, in test runs as theirs are: in a process of their own, where pytest finds it by itself."""

import pytest

pytest_plugins = ["pytester"]

PASSING = """
import asyncio, threading
import pytest
from asyncupload import AccessDenied, Client

@pytest.fixture
def anyio_backend():
    return "asyncio"

def client_of(server):
    return Client(server.url, user="demo", password="demo")

async def relay(server, content):
    async with client_of(server) as client:
        return await client.upload(content, to="/Library/a.txt")

def test_of_one_who_has_no_loop(asyncupload_emulator):
    receipt = asyncio.run(relay(asyncupload_emulator, b"content"))
    assert [document.path for document in asyncupload_emulator.documents()] == [receipt.path]
    assert asyncupload_emulator.content("/Library/a.txt") == b"content"

@pytest.mark.anyio
async def test_of_one_who_has_a_loop(asyncupload_emulator):
    assert asyncupload_emulator.documents() == [], "the other test's server"
    await relay(asyncupload_emulator, b"content")
    assert asyncupload_emulator.content("/Library/a.txt") == b"content"

@pytest.mark.anyio
async def test_of_trouble_that_passes(asyncupload_emulator):
    asyncupload_emulator.fail("drop-after", operation="UploadFileChunk", at=1)
    receipt = await relay(asyncupload_emulator, b"content")
    assert receipt.restarted == 1
    assert [call.fault for call in asyncupload_emulator.calls if call.operation == "UploadFileChunk"][0] == "drop-after"

@pytest.mark.anyio
async def test_of_trouble_that_does_not(asyncupload_emulator):
    asyncupload_emulator.fail("forbid")
    with pytest.raises(AccessDenied):
        await relay(asyncupload_emulator, b"content")
    assert asyncupload_emulator.documents() == []
    assert asyncupload_emulator.open_handlers() == []

def test_nothing_is_left_of_them():
    assert threading.enumerate() == [threading.main_thread()]
"""

LAZY = """
import sys

def test_the_run_has_the_plugin_and_did_not_pay_for_it(request):
    assert request.config.pluginmanager.has_plugin("asyncupload")
    assert not {"aiohttp", "structlog", "sqlite3", "anyio.from_thread"} & set(sys.modules)
"""


def test_a_backends_tests_use_the_server_by_its_fixtures_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSING)

    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=5)


def test_a_run_that_does_not_ask_for_it_does_not_pay_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAZY)

    # Without those that load some of it for themselves.
    without = [word for name in ("cacheprovider", "anyio", "pytest_cov") for word in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess("-W", "error", *without)

    result.assert_outcomes(passed=1)
