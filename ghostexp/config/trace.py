"""Where the stack trace of a refusal is kept, so that the screen shows one sentence."""

import os
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

# of runs that never began, which leave no folder
REFUSED_LOG = Path(tempfile.gettempdir()) / f"ghostexp-refused-{os.getuid()}.log"


def keep_trace(error: BaseException, path: Path, title: str) -> bool:
    """Append the trace to the file at `path`, under a title; False where that is not possible."""
    trace = "".join(traceback.format_exception(error))
    try:
        with path.open("a", errors="backslashreplace") as file:
            file.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S}] {title}\n{trace}")
    except OSError:  # a full disk: the sentence is what matters
        return False
    return True
