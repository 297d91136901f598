"""How fast, beside what one would use instead, on this machine: `python -m eval.speed`.

Everything runs in one process and in turn (A B C A B C …), so that a busy moment hits all alike.
`official` is the published topology run the published way: fp32, class head, linear layers one by
one, plain memory layout, 224² squares. `network` times the network alone; `file` goes from a JPEG
on disk to a PNG on disk. Times do not depend on the weights' values, so networks without a
checkpoint are built with seeded random weights, and the report says which.
"""
