"""The process that has a driver's library open: reads (function, arguments), calls, answers (message, arrays)."""

import ctypes
import os
import pickle
import sys

import numpy as np


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    requests = sys.stdin.buffer
    # What a kernel prints must not get into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            name, arguments = pickle.load(requests)
        except EOFError:
            return
        values: list[object] = []
        arrays = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                # A copy of its own, so that a sanitizer knows where it ends.
                array = argument.copy()
                arrays.append(array)
                values.append(ctypes.c_void_p(array.ctypes.data))
            elif argument is None:
                values.append(ctypes.c_void_p(None))
            elif isinstance(argument, float):
                values.append(ctypes.c_double(argument))
            else:
                values.append(ctypes.c_int64(argument))
        function = getattr(library, name)
        returns_message = not name.startswith("skt_emulation_")
        function.restype = ctypes.c_char_p if returns_message else None
        message = function(*values)
        pickle.dump((message.decode() if message else None, arrays), answers)
        answers.flush()


main()
