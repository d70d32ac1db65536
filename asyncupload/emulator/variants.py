"""Where the server's descriptions disagree, and which reading an emulator follows.

The rows and questions in brackets are those of the notes on the protocol; variants that contradict each other
may be asked for together, the one that refuses more wins then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

VARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "mismatch-success": 'a chunk whose CRC is wrong is answered success="true" tryagain="true" (row 1)',
        "no-filehexcrc": "the last chunk's answer does not carry the CRC of the whole file (row 3)",
        "padded-filehexcrc": "the CRC of the whole file has eight lower-case digits (question 2)",
        "unpadded-crc-text": "a chunk's CRC is compared as text, upper-case and without leading zeros (row 4)",
        "padded-crc-text": "a chunk's CRC is compared as text, eight upper-case digits (row 4)",
        "get-chunks": "a chunk may come as base64 in a query string (row 5)",
        "no-multipart": "a chunk in a file part is HTTP 400 (row 6)",
        "no-base64": "a chunk in base64 is HTTP 400 (row 6)",
        "swapped-roots": "what would be a <root> becomes a <response>, and the other way round (row 7)",
        "capital-roots": "<Root> and <Response> (row 7)",
        "namespaced-roots": "answers lie in the namespace of the service (row 7)",
        "no-errorcode": "failures carry their text only, as older servers do (row 8)",
        "lowercase-errorcode": "the error code's attribute is spelled errorcode (row 8)",
        "old-handler-text": "a handler that is no GUID is invalid, one that is not there was not found (row 9)",
        "lenient-consume": "a refused finalize leaves the upload handler usable (row 12)",
        "ticket-bound": "an upload handler serves the ticket that it was made with, and no other (row 13)",
        "unbound": "an upload handler serves every user (row 13)",
        "create-checks-ticket": "an upload handler is made for a good ticket only (row 14)",
        "auto-version": "an existing document takes a new version without being checked out first (row 15)",
        "checkout-locks": "CHECKOUT leaves the document checked out after the upload (row 16)",
        "empty-parameters": "xmlParameters may be empty (row 17)",
        "capital-documentid": "a finalize answers DocumentID (row 19)",
        "key-parameters": 'xmlParameters are read as <parameter key="..">, and in no other (row 18)',
        "item-parameters": 'xmlParameters are read as <item NAME=".." VALUE="..">, and in no other (row 18)',
        "name-parameters": 'xmlParameters are read as <parameter Name=".." Value="..">, and in no other (row 18)',
        "no-parameters": "xmlParameters are read in no grammar: what they ask for is dropped (row 18)",
        "no-comments": "a version's comment is not kept, however it is sent (row 18)",
        "no-dates": "CREATIONDATE and MODIFICATIONDATE are not kept (row 18)",
        "own-numbers": "a version's number is the server's choice, whatever is asked for (row 22)",
        "bare-document": "GetDocument tells neither description nor keywords nor dates (row 19)",
        "sample-names": "ChunkSize and versionComment are read like PreferedChunkSize and versionComments (row 20)",
        "major-versions": "the version after 1000000 is 2000000 (row 22)",
        "zero-is-latest": "version 0 is the latest, published or not (row 23)",
        "verified-child": "VerifyVersionHash answers a <Value> element, and no hashVerified (row 24)",
        "bare-failure": "folder operations fail with an error text and no success attribute (row 25)",
        "no-sysadmin": "the user sysadmin gets no ticket (row 26)",
        "dead-ticket-4000": "a dead ticket has error code 4000, and [901] in the text only (row 28)",
        "zip-logs": "the log of a ZIP names also the members that were filed (row 29)",
        "capital-booleans": "true and false are answered as True and False (row 30)",
        "chunk-after-last": "chunks are appended also after the last one (question 5)",
        "early-finalize": "a finalize before the last chunk files what is staged (question 6)",
        "large-chunks": "a chunk may be larger than negotiated (question 9)",
        "clean-names": "a document's name is cleaned like a folder's, not refused (question 11)",
        "empty-errors": "HTTP 400 and the like have no body (question 13)",
        "release-checkout": "a new version takes away the checkout that it was made under (question 14)",
        "no-soap": "there is no SOAP: an envelope is HTTP 404, and so is the WSDL (section d)",
        "case-soap": "an element in SOAP whose case is not that of the WSDL is null (section d)",
        "limit-at-chunk": "a document grows beyond document_max_size in no chunk (question 15)",
        "classic-binding": "forms are bound as by ASP.NET's own web services: a chunk is repeated decimal values, "
        "numbers have 32 bits, fields must be there but may be empty, what cannot be bound is HTTP 500 (real server)",
        "no-forms": "there are neither forms nor queries, as ASP.NET's own web services have it unless told otherwise: "
        "HTTP 500 with its words (real server)",
        "request-validation": "what looks like markup in a form or a query is HTTP 500, as ASP.NET has it unless told "
        "otherwise: < before a letter, !, / or ?, and &# (real server)",
        "soap-12": "SOAP 1.2 is spoken as well (real server)",
        "missing-404": "an operation that is missing is HTTP 404, not 500 with ASP.NET's words (section c)",
        "slow-finalize": "every finalize takes `slow` seconds, runs on if its connection goes, and uses its handler up "
        "at its end (section c)",
        "no-lock": "every Lock is refused (section c)",
        "no-unlock": "every UnLock is refused (section c)",
        "zip-breaks": "UploadZipWithHandler files the first member, and then fails with SystemError (section c)",
        "renew-revives": "RenewTicket brings a dead ticket back, as the same GUID (question 8)",
        "broken-handlers": "every other upload handler, from the first, has SystemError for its fourth chunk and all "
        "later ones (section c)",
    }
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The variants in force; every field is a name of VARIANTS with underscores."""

    mismatch_success: bool = False
    no_filehexcrc: bool = False
    padded_filehexcrc: bool = False
    unpadded_crc_text: bool = False
    padded_crc_text: bool = False
    get_chunks: bool = False
    no_multipart: bool = False
    no_base64: bool = False
    swapped_roots: bool = False
    capital_roots: bool = False
    namespaced_roots: bool = False
    no_errorcode: bool = False
    lowercase_errorcode: bool = False
    old_handler_text: bool = False
    lenient_consume: bool = False
    ticket_bound: bool = False
    unbound: bool = False
    create_checks_ticket: bool = False
    auto_version: bool = False
    checkout_locks: bool = False
    empty_parameters: bool = False
    capital_documentid: bool = False
    key_parameters: bool = False
    item_parameters: bool = False
    name_parameters: bool = False
    no_parameters: bool = False
    no_comments: bool = False
    no_dates: bool = False
    own_numbers: bool = False
    bare_document: bool = False
    sample_names: bool = False
    major_versions: bool = False
    zero_is_latest: bool = False
    verified_child: bool = False
    bare_failure: bool = False
    no_sysadmin: bool = False
    dead_ticket_4000: bool = False
    zip_logs: bool = False
    capital_booleans: bool = False
    chunk_after_last: bool = False
    early_finalize: bool = False
    large_chunks: bool = False
    clean_names: bool = False
    empty_errors: bool = False
    release_checkout: bool = False
    no_soap: bool = False
    case_soap: bool = False
    limit_at_chunk: bool = False
    classic_binding: bool = False
    no_forms: bool = False
    request_validation: bool = False
    soap_12: bool = False
    missing_404: bool = False
    slow_finalize: bool = False
    no_lock: bool = False
    no_unlock: bool = False
    zip_breaks: bool = False
    renew_revives: bool = False
    broken_handlers: bool = False


def behaviour(names: Iterable[str]) -> Behaviour:
    """The behaviour that these variants ask for; ValueError for a name that is none."""
    chosen = set(names)
    unknown = sorted(chosen - VARIANTS.keys())
    if unknown:
        raise ValueError(f"no such variant: {', '.join(unknown)}; known are {', '.join(VARIANTS)}")
    return Behaviour(**{name.replace("-", "_"): True for name in chosen})
