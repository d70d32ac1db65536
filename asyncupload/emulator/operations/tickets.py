"""Logging in and out, and the operations that tell about the server."""

import time
from datetime import UTC, datetime

from asyncupload.emulator.accounts import Ticket, User
from asyncupload.emulator.forms import Form
from asyncupload.emulator.operations.desk import Desk, guid, timestamp
from asyncupload.emulator.replies import Answer, Refusal, element, text_element


def authenticate(desk: Desk, form: Form) -> Answer:
    """AuthenticateUser and AuthenticateUser1; the latter's language would change texts that are English here."""
    return _welcome(desk.store.accounts.issue(_known_user(desk, form)))


def renew(desk: Desk, form: Form) -> Answer:
    """A ticket that is still good is prolonged, any other GUID is replaced by a new one, or comes back to life."""
    old = form.text("OldTicket") or form.cookie
    if old and guid(old) is None:
        raise Refusal(4000, "invalid ticket format")
    user = _known_user(desk, form)
    ticket = desk.store.accounts.look_up(old)
    if ticket is None and old and desk.how.renew_revives:
        return _welcome(desk.store.accounts.issue(user, guid(old)))
    if ticket is None or ticket.user != user:
        return _welcome(desk.store.accounts.issue(user))
    return _welcome(desk.store.accounts.prolong(ticket))


def is_valid(desk: Desk, form: Form) -> Answer:
    """Looks without prolonging."""
    return Answer(_profile(desk.ticket(form, "AuthenticationTicket")))


def log_out(desk: Desk, form: Form) -> Answer:
    desk.store.accounts.withdraw(desk.ticket(form, "AuthenticationTicket"))
    return Answer()


def server_info(_: Desk, __: Form) -> Answer:
    now = datetime.now(UTC)
    local = now.astimezone()
    return Answer(
        {
            "VersionNumber": "8.7.0.0",
            "Server_date_time": local.isoformat(timespec="milliseconds"),
            "Coordinated_Universal_Time": timestamp(now.timestamp()),
            "UTC_Offset": local.strftime("%z"),
            "Company": "asyncupload emulator",
            "ServerName": "emulator",
            "LicenseCount": "0",
            "SubscriptionEndDate": "",
            "WindowsAuthenticationIsOn": "false",
            "WorkflowIsOn": "false",
            "AnonymousAccessIsOn": "false",
            "ComplianceModuleIsOn": "false",
        }
    )


def general_settings(desk: Desk, form: Form) -> Answer:
    desk.caller(form)
    upload = (
        text_element("DocumentMaxSize", str(desk.document_max_size))
        + text_element("FileUploadTimeOut", "900")
        + text_element("DefaultUploadFileChunkSize", str(desk.default_chunk_size))
    )
    return Answer(inside=element("GeneralSettings", {}, element("UploadSettings", {}, upload)))


def parameters(desk: Desk, form: Form) -> Answer:
    """getApplicationParameters, as far as it is told to those who are no administrators."""
    desk.caller(form)
    limit = text_element("FILEUPLOADLIMIT", str(desk.document_max_size))
    return Answer(inside=element("PARAMETERS", {}, limit))


def _known_user(desk: Desk, form: Form) -> User:
    user = desk.store.accounts.check(form.text("UID"), form.text("PWD"))
    if user is None:
        raise Refusal(4010, "[900] Authentication failed")
    if desk.how.no_sysadmin and user.login.casefold() == "sysadmin":
        raise Refusal(4030, "[902] Ticket generation not allowed")
    return user


def _welcome(ticket: Ticket) -> Answer:
    return Answer({"ticket": ticket.guid, **_profile(ticket)})


def _profile(ticket: Ticket) -> dict[str, str]:
    login = ticket.user.login
    return {
        "userid": str(ticket.user.id),
        "username": login,
        "firstName": login,
        "lastName": "",
        "fullname": login,
        "email": f"{login}@localhost",
        "expireOn": timestamp(max(ticket.expires, time.time())),
        "isAuthenticated": "True",
    }
