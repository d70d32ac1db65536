"""``asyncupload serve``: a document server on this machine, to try uploads against."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from asyncupload.emulator import FAULTS, GENERATIONS, VARIANTS, Emulator, everywhere, rates, together
from asyncupload.emulator.names import exact_path
from asyncupload.emulator.scripts import require_operations

from . import results
from .options import Command, Voice, option, voice_options
from .running import Interrupted, run


def _fault(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for value in values:
        name, _, rate = value.partition("=")
        if name not in FAULTS:
            raise click.BadParameter(f"there is no fault {name!r}; there are {', '.join(sorted(FAULTS))}")
        try:
            chosen[name] = float(rate)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not NAME=RATE, as in {name}=0.05") from None
        if not 0 <= chosen[name] <= 1:
            raise click.BadParameter(f"the rate in {value!r} must lie between 0 and 1")
    if sum(chosen.values()) > 1:
        raise click.BadParameter("the rates add up to more than 1, and each call meets one fault at most")
    return chosen


def _folders(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(exact_path(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _missing(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    try:
        return require_operations(values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _rules(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for value in values:
        folder, _, rule = value.partition(":")
        name, equals, allowed = rule.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not FOLDER:NAME=VALUE, as /Library:AllowableFileTypes=.pdf,.docx")
        found.setdefault(folder, {})[name] = allowed
    return found


def _seconds(name: str, default: float, meaning: str) -> Callable[[Command], Command]:
    kind = click.FloatRange(0, 86_400)
    return option(name, type=kind, default=default, show_default=True, metavar="SECONDS", help=meaning)


@click.command()
@option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 takes a free one.")
@option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where documents are kept; by default in a temporary folder, until the server stops.",
)
@option("--user", default="demo", show_default=True, help="The one user's login name.")
@option(
    "--password",
    default="demo",
    show_default=True,
    help="The user's password, for all on this machine to read; better in ASYNCUPLOAD_PASSWORD.",
)
@option(
    "--folder",
    multiple=True,
    metavar="PATH",
    callback=_folders,
    help="A folder to have from the start; may be repeated.",
)
@option(
    "--fault",
    multiple=True,
    metavar="NAME=RATE",
    callback=_fault,
    help=f"Trouble to make, at a rate from 0 to 1; may be repeated. Names: {', '.join(sorted(FAULTS))}.",
)
@option(
    "--trouble",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="RATE",
    help="How many of all requests, however small, the login too, meet some trouble that passes; from 0 to 1.",
)
@_seconds("--slow", 3.0, "How long a slow call takes.")
@_seconds("--gateway", 1.0, "After which a gateway gives up on a slow call.")
@_seconds("--away", 3.0, "For how long a server is away, or starts again.")
@option(
    "--missing",
    multiple=True,
    metavar="OPERATION",
    callback=_missing,
    help="An operation that this server does not have; may be repeated.",
)
@option(
    "--rule",
    multiple=True,
    metavar="FOLDER:NAME=VALUE",
    callback=_rules,
    help="A folder's rule, as /Library:AllowableFileTypes=.pdf,.docx or NewDocuments=disallows; may be repeated.",
)
@option("--document-max-size", type=click.IntRange(min=0), default=0, metavar="BYTES", help="No larger documents.")
@option(
    "--generation",
    type=click.Choice(sorted(GENERATIONS)),
    default="2026",
    show_default=True,
    help="Which server to play: the one of today's pages, or the one that a real server's WSDL of 2019 describes.",
)
@option("--seed", type=int, default=0, show_default=True, help="The same seed makes the same trouble.")
@option(
    "--variant",
    multiple=True,
    type=click.Choice(sorted(VARIANTS)),
    metavar="NAME",
    help=f"Where sources disagree, the other reading; repeatable. Names: {', '.join(sorted(VARIANTS))}.",
)
@voice_options
def serve(
    host: str,
    port: int,
    data: Path | None,
    user: str,
    password: str,
    folder: tuple[str, ...],
    fault: dict[str, float],
    trouble: float,
    slow: float,
    gateway: float,
    away: float,
    missing: frozenset[str],
    rule: dict[str, dict[str, str]],
    document_max_size: int,
    generation: str,
    seed: int,
    variant: tuple[str, ...],
    voice: Voice,
) -> int:
    """Run an infoRouter document server on this machine, as far as uploads go."""

    async def work() -> None:
        with _folder(data) as where:
            emulator = Emulator(
                where,
                users={user: password},
                folders=folder or ("/Library", "/Finance/Reports"),
                host=host,
                port=port,
                script=together(rates(fault, seed=seed), everywhere(trouble, seed=seed + 1)),
                generation=generation,
                variants=variant,
                missing=missing,
                rules=rule,
                document_max_size=document_max_size,
                slow=slow,
                gateway=gateway,
                away=away,
            )
            async with emulator:
                results.fact(
                    voice,
                    {"status": "serving", "url": emulator.url, "data": str(where)},
                    f"serving {emulator.url} as user {user}, documents in {where}; Ctrl-C stops",
                )
                await asyncio.Event().wait()

    try:
        run(work)
    except Interrupted as signal:
        # Stopped on purpose: for a server that is the regular end.
        return 0 if signal.code == 130 else signal.code
    except (OSError, RuntimeError) as error:
        return results.gave_up(type(error).__name__, f"cannot serve: {error}", "", voice, 1)
    return 0


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="asyncupload-") as temporary:
        yield Path(temporary)
