"""Byte order marks: what some editors, shells and servers write before a text, and how the text is written then."""

import codecs

WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before the one that it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Of encodings in which a letter takes more than a byte. Their decoders take the mark off."""

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), *WIDE)
"""All of them."""
