"""What faults do: each one is an act around a call, before, after or instead of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from asyncupload.emulator import pages
from asyncupload.emulator.exchange import Exchange
from asyncupload.emulator.forms import Form
from asyncupload.emulator.operations import finalizes
from asyncupload.emulator.operations.desk import Chunk, Desk
from asyncupload.emulator.pages import page
from asyncupload.emulator.replies import Answer, Refusal, Reply

Rest = Callable[[], Awaitable[Reply]]
"""What a fault is wrapped around: the faults within it, and innermost the operation."""

Act = Callable[[Exchange, Rest], Awaitable[Reply]]


# --- the connection


def dropping(*, reset: bool, applied: bool) -> Act:
    async def act(exchange: Exchange, rest: Rest) -> Reply:
        await (rest() if applied else exchange.receive())
        await exchange.drop(reset=reset)

    return act


async def drop_headers(exchange: Exchange, _: Rest) -> Reply:
    await exchange.drop()


async def drop_body(exchange: Exchange, _: Rest) -> Reply:
    await exchange.receive_half()
    await exchange.drop()


async def half_answer(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    await exchange.send(reply.head + reply.body[: len(reply.body) // 2])


async def half_head(exchange: Exchange, rest: Rest) -> Reply:
    head = (await rest()).head
    await exchange.send(head[: len(head) // 2])


async def close_idle(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    exchange.record.status = reply.status
    await exchange.send(reply.head + reply.body)


async def close_on_reuse(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    exchange.close_on_reuse = True
    return reply


async def stall(exchange: Exchange, _: Rest) -> Reply:
    await exchange.receive()
    await exchange.stall()


async def stall_after(exchange: Exchange, rest: Rest) -> Reply:
    await rest()
    await exchange.stall()


async def delay(exchange: Exchange, rest: Rest) -> Reply:
    await exchange.receive()
    await anyio.sleep(exchange.measures.delay)
    return await rest()


async def delay_after(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    await anyio.sleep(exchange.measures.delay)
    return reply


async def drop_late(exchange: Exchange, rest: Rest) -> Reply:
    await exchange.later(rest)
    await exchange.drop()


async def fail_late(exchange: Exchange, rest: Rest) -> Reply:
    await exchange.later(rest)
    return page(504)


# --- another answer


def instead(make: Callable[[], Reply]) -> Act:
    """Nothing is applied, and this is the answer."""
    return instead_by(lambda _: make())


def instead_by(make: Callable[[Exchange], Reply]) -> Act:
    async def act(exchange: Exchange, _: Rest) -> Reply:
        await exchange.receive()
        return make(exchange)

    return act


def misread(make: Callable[[], Reply]) -> Act:
    """As `instead`, with a document that an operation might have written: in an envelope for who sent one."""
    return instead_by(lambda exchange: exchange.dressed(make()))


def afterwards(make: Callable[[], Reply]) -> Act:
    """The call is applied, and this is the answer."""
    return afterwards_by(lambda _, __: make())


def afterwards_by(make: Callable[[Exchange, Reply], Reply]) -> Act:
    """What this makes of the answer to what was applied."""

    async def act(exchange: Exchange, rest: Rest) -> Reply:
        return make(exchange, await rest())

    return act


def paged(status: int) -> Act:
    return instead(lambda: page(status))


def paged_after(status: int) -> Act:
    return afterwards(lambda: page(status))


def wait(status: int) -> Act:
    return instead_by(lambda exchange: page(status, {"Retry-After": str(exchange.measures.retry_after)}))


def wait_until(exchange: Exchange) -> Reply:
    return page(503, {"Retry-After": pages.wait_date(exchange.measures.retry_after)})


async def huge_after(exchange: Exchange, rest: Rest) -> Reply:
    await rest()
    return pages.huge(exchange.measures.huge_size)


async def truncated(_: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    return replace(reply, body=reply.body[: len(reply.body) // 2])


# --- the protocol


def answering(make: Callable[[Desk, Form], Answer]) -> Act:
    async def act(exchange: Exchange, _: Rest) -> Reply:
        return await exchange.answer(make)

    return act


def first(change: Callable[[Desk, Form], None]) -> Act:
    """This happens to the server just before the call."""

    async def act(exchange: Exchange, rest: Rest) -> Reply:
        await exchange.work(change)
        return await rest()

    return act


def damaged(change: Callable[[Chunk], Chunk]) -> Act:
    async def act(exchange: Exchange, rest: Rest) -> Reply:
        exchange.damage(change)
        return await rest()

    return act


async def lose_chunk(exchange: Exchange, rest: Rest) -> Reply:
    exchange.lose_chunk()
    return await rest()


async def forget_sessions_after(exchange: Exchange, rest: Rest) -> Reply:
    reply = await rest()
    await exchange.work(forget_sessions)
    return reply


async def system_error_after(exchange: Exchange, rest: Rest) -> Reply:
    await rest()
    return await exchange.answer(system_error)


def expire_ticket(desk: Desk, form: Form) -> None:
    for name in ("authenticationTicket", "OldTicket"):
        ticket = desk.store.accounts.look_up(form.text(name) or form.cookie)
        if ticket is not None:
            desk.store.accounts.withdraw(ticket)


def forget_sessions(desk: Desk, _: Form) -> None:
    desk.store.accounts.forget_tickets()


def system_error(_: Desk, __: Form) -> Answer:
    raise Refusal(None, "SystemError:Object reference not set to an instance of an object.")


def consuming(code: int, text: str) -> Act:
    """A finalize that is refused with this, after its handler is used up."""
    return answering(lambda desk, form: finalizes.refuse_and_consume(desk, form, Refusal(code, text)))


def refused(code: int, text: str) -> Act:
    def refuse(_: Desk, __: Form) -> Answer:
        raise Refusal(code, text)

    return answering(refuse)


def corrupted(chunk: Chunk) -> Chunk:
    middle, changed = len(chunk) // 2, bytearray(chunk)
    changed[middle : middle + 1] = bytes(byte ^ 0xFF for byte in changed[middle : middle + 1])
    return bytes(changed)


def without_ids(exchange: Exchange, reply: Reply) -> Reply:
    return exchange.bare_success() if reply.done else reply
