"""The command line `keras-s2s`.

The modules import TensorFlow only when a command needs it, so that `--help` and errors in the input
appear at once.
"""

from __future__ import annotations

import os


def run() -> None:
    """Run the command line of this process and exit, quietly after Ctrl-C at any time."""
    try:
        from keras_s2s.cli import main
    except KeyboardInterrupt:
        os._exit(130)
    main.run()
