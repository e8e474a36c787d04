"""The kernels of the Triton engine; importing them needs Triton, so only the engine itself does.

Kernels work on a grid of independent programs. `rows` are the M = B * T tokens of a call, row
b * T + t being token t of stream b. Sizes that a program lays out in registers are powers of two
and written in capitals: the true size is masked. Every kernel is launched by `launch.py`, with
fusion of products and sums switched off.
"""
