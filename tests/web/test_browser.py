"""What a real browser sends, relayed: a file in a form, and a file as it stands."""

import asyncio
import shutil
from pathlib import Path

import pytest
from fastapi.responses import HTMLResponse

from asyncupload.emulator import Emulator
from web.serving import application, backend, example

pytestmark = pytest.mark.anyio

SIZE = 3_000_001
CONTENT = bytes(place % 251 for place in range(SIZE))

ASKING = f"""<!doctype html><title>waiting</title><script>
const file = new File([Uint8Array.from({{length: {SIZE}}}, (_, place) => place % 251)], "form.bin");
const form = new FormData();
form.append("file", file);
Promise.all([
    fetch("/form", {{method: "POST", body: form}}),
    fetch("/files/plain.bin", {{method: "PUT", body: file}}),
]).then(
    answers => document.title = answers.map(answer => answer.status).join(" "),
    error => document.title = error,
);
</script>"""


async def test_what_chromium_posts_is_stored(server: Emulator, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip(
            "there is no Chromium here: `apt-get install chromium`, or what this system has for that, brings it"
        )
    app = application(example("FastAPI"))
    app.add_api_route("/", lambda: HTMLResponse(ASKING))
    async with backend(app) as url:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        process = await asyncio.create_subprocess_exec(
            chromium,
            *options,
            "--virtual-time-budget=30000",
            "--dump-dom",
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        page, _ = await process.communicate()
    assert b"<title>200 200</title>" in page
    for name in ("form.bin", "plain.bin"):
        assert (await server.content(f"/Library/{name}")).read_bytes() == CONTENT
