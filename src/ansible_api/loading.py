"""Loading a program: objects come by the hundred thousand and none goes, so every collection looks in vain.

Without collections API and workers start with a fifth less work of the processor.
"""

import gc


def begin() -> None:
    """Collect no garbage from here on."""
    gc.disable()


def end() -> None:
    """Collect again, but never what is loaded by now: it stays, and children that are forked share its memory."""
    gc.freeze()
    gc.enable()
