"""Acts of what stands between a client and its server: gateways that give up, echoes, and servers that are away."""

import anyio

from asyncupload.emulator.acts import Act, Rest
from asyncupload.emulator.exchange import Exchange
from asyncupload.emulator.forms import Form
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.pages import page
from asyncupload.emulator.replies import Answer, Refusal, Reply


async def slow(exchange: Exchange, rest: Rest) -> Reply:
    return await exchange.slowly(rest)


def giving_up(status: int | None) -> Act:
    """A gateway that waits for so long and then answers this, or resets the connection; what is behind it runs on."""

    async def act(exchange: Exchange, rest: Rest) -> Reply:
        with anyio.move_on_after(exchange.measures.gateway):
            return await exchange.slowly(rest)
        if status is None:
            await exchange.drop(reset=True)
        return page(status)

    return act


def sending_again(code: int | None, text: str) -> Act:
    """A gateway that loses its patience and sends the request once more: the answer to that, a refusal with this, is
    all that its client sees, while the first runs on."""

    def refuse(_: Desk, __: Form) -> Answer:
        raise Refusal(code, text)

    async def act(exchange: Exchange, rest: Rest) -> Reply:
        with anyio.move_on_after(exchange.measures.gateway):
            return await exchange.slowly(rest)
        return await exchange.answer(refuse)

    return act


async def answer_twice(exchange: Exchange, rest: Rest) -> Reply:
    exchange.twice = True
    return await rest()


async def answer_twice_late(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    exchange.echo(reply)
    return reply


async def claim(exchange: Exchange, _: Rest) -> Reply:
    """A success, and nothing was done for it."""
    await exchange.receive()
    return exchange.bare_success()


async def recycle(exchange: Exchange, _: Rest) -> Reply:
    await exchange.receive()
    await exchange.work(forget)
    exchange.outages.recycle(exchange.measures.away)
    return page(502)


async def leave(exchange: Exchange, _: Rest) -> Reply:
    await exchange.receive()
    exchange.outages.leave(exchange.measures.away)
    await exchange.drop()


def forget(desk: Desk, _: Form) -> None:
    """What was in memory only: tickets and handlers."""
    desk.store.accounts.forget_tickets()
    desk.store.handlers.delete_all()
