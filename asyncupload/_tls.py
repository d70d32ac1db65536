"""How the server's certificate is checked, and with which one the client shows who it is; and what a refusal means."""

import os
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ._secret import Secret
from .errors import UsageError

File: TypeAlias = str | os.PathLike[str]
Minimum: TypeAlias = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(
    *,
    ca_file: File | None = None,
    client_cert: File | None = None,
    client_key: File | None = None,
    client_key_password: Secret | None = None,
    minimum: Minimum | None = None,
) -> ssl.SSLContext | None:
    """What a client was told of TLS; None if it was told nothing. Reads files.

    Args:
        ca_file: PEM file of authorities to trust instead of the system's.
        client_cert: PEM file with the client's certificate, those of authorities in between behind it.
        client_key: PEM file with its private key; None if that stands in ``client_cert``.
        client_key_password: Of an encrypted key.
        minimum: The oldest version of TLS to speak.

    Raises:
        UsageError: A file cannot be used, the key is another certificate's, or its password is wrong or missing.
    """
    if client_cert is None and (client_key is not None or client_key_password is not None):
        raise UsageError("a client_key, or its password, is of no use without a client_cert (--client-cert)")
    if minimum is not None and minimum not in _VERSIONS:
        raise UsageError(f"tls_min is {minimum!r}; it may be {' or '.join(_VERSIONS)}")
    if ca_file is None and client_cert is None and minimum is None:
        return None
    made = _trusting(ca_file)
    if minimum is not None:
        made.minimum_version = _VERSIONS[minimum]
    if client_cert is not None:
        _identify(made, client_cert, client_key, client_key_password)
    return made


def _trusting(ca_file: File | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{ca_file} cannot be used as a file of certificate authorities: {error}") from error


def _identify(made: ssl.SSLContext, cert: File, key: File | None, password: Secret | None) -> None:
    """Have the client show its certificate, also to a server that asks for it only when it has read a request."""
    _require_readable(cert)
    _require_readable(key or cert)
    asked = _Asked(password, key or cert)
    try:
        made.load_cert_chain(cert, key, asked)
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        # Without what it came from: the library's frames may have the password.
        raise UsageError(_blame(error, cert, key, asked)) from None
    made.post_handshake_auth = True


def _require_readable(file: File) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"the client certificate cannot be used: {file} cannot be read: {error}") from error


class _Asked:
    """Gives the key's password when it is asked for. Where there is none, OpenSSL would ask on the terminal."""

    def __init__(self, password: Secret | None, file: File) -> None:
        self._password = password
        self._file = file
        self.was = False

    def __call__(self) -> str:
        self.was = True
        if self._password is None:
            raise UsageError(
                f"the private key in {self._file} is encrypted: give its password (client_key_password; "
                "ASYNCUPLOAD_CLIENT_KEY_PASSWORD, --client-key-password-file or --client-key-password-command)"
            )
        return self._password.reveal()


def _blame(error: Exception, cert: File, key: File | None, asked: _Asked) -> str:
    reason = (getattr(error, "reason", None) or "").upper()
    if reason == "KEY_VALUES_MISMATCH":
        return f"the private key in {key or cert} is not that of the certificate in {cert}"
    if asked.was:
        return f"the private key in {key or cert} cannot be decrypted: its password is wrong, or it is damaged"
    if not _holds(cert, b"CERTIFICATE"):
        return f"{cert} holds no certificate in the form of PEM (-----BEGIN CERTIFICATE-----)"
    if not _holds(key or cert, b"PRIVATE KEY"):
        more = "" if key else "; name the file that does by client_key (--client-key)"
        return f"{key or cert} holds no private key in the form of PEM (-----BEGIN PRIVATE KEY-----){more}"
    return f"the certificate in {cert} with the private key in {key or cert} cannot be used: {reason or 'damaged'}"


def _holds(file: File, what: bytes) -> bool:
    with suppress(OSError):
        return any(line.startswith(b"-----BEGIN") and what in line for line in Path(file).read_bytes().splitlines())
    return False


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_WANTS_ONE = ("CERTIFICATE_REQUIRED",)
_PERHAPS_WANTS_ONE = ("HANDSHAKE_FAILURE",)
_WANTS_ANOTHER = (
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "DECRYPT_ERROR",
)
_VERSION = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
_WEAK = (
    "DH_KEY_TOO_SMALL",
    "EE_KEY_TOO_SMALL",
    "CA_MD_TOO_WEAK",
    "UNSAFE_LEGACY_RENEGOTIATION",
    "NO_CIPHERS_AVAILABLE",
    "NO_SHARED_CIPHER",
    "WRONG_SIGNATURE_TYPE",
    "HANDSHAKE_FAILURE",
    "INSUFFICIENT_SECURITY",
)
_TOLD = (
    (
        _VERSION,
        (
            "the server and this client have no version of TLS in common: it speaks only older ones than this system, "
            "or --tls-min (tls_min), allows; TLS 1.2 has to be enabled there"
        ),
    ),
    (
        _NO_TLS,
        "what answers at this port speaks no TLS; give the address with http://, or with the port at which it does",
    ),
    (_WEAK, "the server offers only ciphers, keys or ways that this system takes for too weak, and has to be updated"),
)


class ClientRefused(ssl.SSLError):
    """An alert about the client's certificate that came in place of a first answer."""

    def __init__(self, alert: BaseException | None) -> None:
        super().__init__(*getattr(alert, "args", ()))
        self.reason = getattr(alert, "reason", "")


def refuses_client(error: BaseException | None) -> bool:
    """Whether the server has sent an alert about the client's certificate. With TLS 1.3 it comes when the client has
    long taken the handshake to be over, in place of an answer: nothing of the request was looked at."""
    return _alert(error, (*_WANTS_ONE, *_PERHAPS_WANTS_ONE, *_WANTS_ANOTHER))


def advice(error: BaseException, *, identified: bool) -> str:
    """What the user can do about a handshake that failed.

    Args:
        error: The library's, or one that it came from.
        identified: Whether the client has a certificate to show.
    """
    cause: Any = getattr(error, "os_error", None) or error
    if _alert(cause, _WANTS_ONE) or (not identified and _alert(cause, _PERHAPS_WANTS_ONE)):
        how = "and was not shown one that it accepts" if identified else "and none was given"
        return f"the server asks for a client certificate, {how}: --client-cert and --client-key (client_cert)"
    if identified and _alert(cause, (*_WANTS_ANOTHER, *_PERHAPS_WANTS_ONE)):
        return "the server refused the client certificate; look who issued it and until when it is valid"
    found = next((told for names, told in _TOLD if any(name in _reason(cause) for name in names)), "")
    return found or _about_certificate(cause)


def _about_certificate(cause: Any) -> str:
    """By OpenSSL's numbers."""
    code = getattr(cause, "verify_code", 0)
    if code in {9, 10}:
        return "the server's certificate is not valid at this time; look when it expires, and at this machine's clock"
    if code in {62, 63, 64}:
        return "the server's certificate is for another name; ask it by a name that stands in there"
    return "--ca-file (ca_file) names a private authority"


def reason_of(error: BaseException | None) -> str:
    """What OpenSSL says of a failure; empty for one that is not its."""
    if not isinstance(error, ssl.SSLError):
        return ""
    verified = getattr(error, "verify_message", None)
    return verified or (error.reason or "").replace("_", " ").lower() or error.strerror or ""


def _alert(error: BaseException | None, names: tuple[str, ...]) -> bool:
    reason = _reason(error)
    return "ALERT" in reason and any(reason.endswith(name) for name in names)


def _reason(error: BaseException | None) -> str:
    return (getattr(error, "reason", None) or "").upper() if isinstance(error, ssl.SSLError) else ""
