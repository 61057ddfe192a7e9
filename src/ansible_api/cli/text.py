"""Text from elsewhere made safe for a terminal: a play may print any bytes, an escape sequence must not obey them."""

import re

# ECMA-48: OSC, DCS, SOS, PM and APC strings up to their end; CSI sequences; other escapes; lone C0 and C1 controls.
_STRINGS = re.compile("(?:\x1b[\\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?")
_CSI = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?")
_OTHER = re.compile("\x1b(?!\\[[0-9;:]*m)[ -/]*[0-~]?")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
_LONE_ESCAPE = re.compile("\x1b(?!\\[[0-9;:]*m)")
_SGR = re.compile("\x1b\\[[0-9;:]*m")
# These make text read in another order than it is, so that a line can pass for another one.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text with no control but newline, tab and SGR colours."""
    text = _STRINGS.sub("", text)
    text = _CSI.sub(lambda found: found[0] if _SGR.fullmatch(found[0]) else "", text)
    text = _OTHER.sub("", text)
    text = _CONTROLS.sub("", text)
    # What was cut out may have joined the pieces of another sequence.
    return _BIDI.sub("", _LONE_ESCAPE.sub("", text))


def clean_line(text: object) -> str:
    """One line of plain text, for names and messages."""
    return " ".join(_SGR.sub("", clean(str(text))).split())


def has_colour(text: str) -> bool:
    """Whether the text brings its own colours."""
    return _SGR.search(text) is not None
