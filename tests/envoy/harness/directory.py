"""Directories that are gone when their owner is."""

import os
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp


class Directory:
    """A new directory below the temporary one. It is removed by `remove`, when nobody holds this object any more, or at the
    end of the process, whatever comes first; with KEEP_LOGS set by nobody."""

    def __init__(self, kind=""):
        self.path = Path(mkdtemp(prefix=f"portcullis-{kind}"))
        self.remove = lambda: None
        if not os.environ.get("KEEP_LOGS"):
            self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
