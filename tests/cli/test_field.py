"""A load whose source is in trouble meanwhile, as in the field: by real means, in a process of its own."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from .commands import COMMAND, end, environment, start
from .conftest import Server
from .test_bulk import TO, many, numbers, summary


@pytest.fixture
def share(tmp_path: Path) -> Path:
    return tmp_path / "share"


@pytest.fixture
def env(server: Server, tmp_path: Path) -> dict[str, str]:
    return {
        **server.login,
        "ASYNCUPLOAD_JOURNAL": str(tmp_path / "load.journal"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ASYNCUPLOAD_ATTEMPTS": "1",
        "ASYNCUPLOAD_LIMIT_RATE": "150KiB",
        "ASYNCUPLOAD_FILES": "4",
    }


def test_a_share_that_is_moved_away_for_a_while(server: Server, share: Path, env: dict[str, str]) -> None:
    """abraunegg/onedrive#2755."""
    files, away = many(share, 20), share.with_name("away")
    process = start("bulk", share, TO, "--json", env=env)
    server.wait_for("UploadFileChunk", 4)
    share.rename(away)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2)
    away.rename(share)
    ended = end(process)
    assert ended.code == 0, ended.err
    assert numbers(ended) == {"stored": 20}
    assert sorted(server.documents()) == sorted(files)


def test_a_share_that_stays_away_is_given_up_and_the_next_run_goes_on(
    server: Server, share: Path, env: dict[str, str]
) -> None:
    files, away = many(share, 20), share.with_name("away")
    process = start("bulk", share, TO, "--json", "--give-up-after", 0.5, env=env)
    server.wait_for("UploadFileChunk", 4)
    share.rename(away)
    ended = end(process)
    assert ended.code == 1
    assert summary(ended)["failed"] == 0
    assert summary(ended)["cancelled"]
    away.rename(share)
    ended = end(start("bulk", share, TO, "--json", env=env))
    assert (ended.code, numbers(ended)) == (0, {"stored": 20})
    assert sorted(server.documents()) == sorted(files)


def unprivileged() -> list[str]:
    """What to put before a command so that it may not read what its user may not read, also as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything here")
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]


def test_rights_that_are_taken_away_and_given_back(server: Server, share: Path, env: dict[str, str]) -> None:
    many(share, 20)
    command = [*unprivileged(), *COMMAND, "bulk", str(share), TO, "--json"]
    process = subprocess.Popen(
        command, env=environment(**env), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    server.wait_for("UploadFileChunk", 4)
    share.chmod(0)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2)
    share.chmod(0o755)
    ended = end(process)
    assert ended.code == 0, ended.err
    assert numbers(ended) == {"stored": 20}


FAILING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t read(int fd, void *to, size_t most) {
    static ssize_t (*real)(int, void *, size_t);
    char link[64], path[4096];
    if (!real) real = dlsym(RTLD_NEXT, "read");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    const char *bad = getenv("BAD_FILE");
    if (bad && !strcmp(path, bad) && lseek(fd, 0, SEEK_CUR) > 0) { errno = EIO; return -1; }
    return real(fd, to, most);
}
"""


def test_a_read_that_fails_in_the_middle_costs_that_file_and_no_other(
    server: Server, share: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """A bad sector: the disk is well otherwise."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no compiler")
    source, shim = tmp_path / "failing.c", tmp_path / "failing.so"
    source.write_text(FAILING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True, capture_output=True)
    many(share, 6)
    bad = share / "bad.bin"
    bad.write_bytes(os.urandom(3 * 256 * 1024))
    env = {**env, "ASYNCUPLOAD_LIMIT_RATE": "100MiB", "LD_PRELOAD": str(shim), "BAD_FILE": str(bad)}
    ended = end(start("bulk", share, TO, "--json", "--chunk-size", 256 * 1024, env=env))
    assert ended.code == 1
    assert numbers(ended) == {"stored": 6, "failed": 1}
    assert "Input/output error" in ended.out
    assert server.left() == 0
