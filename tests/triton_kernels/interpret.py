"""Run the Triton kernels of density maps in triton's interpreter and print what they computed, as JSON.

A process of its own, because TRITON_INTERPRET has to be set before triton is imported:

    TRITON_INTERPRET=1 python interpret.py CASES.pt RESULTS.pt

CASES.pt is a list of (operator, arguments), RESULTS.pt the list of their maps.
"""

import sys

import torch

from skt_ext import _triton

if __name__ == "__main__":
    cases = torch.load(sys.argv[1], weights_only=True)
    torch.save([getattr(_triton, name)(*arguments) for name, arguments in cases], sys.argv[2])
