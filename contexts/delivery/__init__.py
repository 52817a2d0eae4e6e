"""delivery: whether an order's parcel has left, and whether it arrived.

Aggregate: the delivery of one order, stream = order id.

Invariants: it is asked for once; it leaves at most once, and never after it was cancelled; what has left is not
cancelled any more; it ends once, delivered or returned; after three failed attempts it is returned.

The boundary lies here because delivery alone knows whether it has left: the warehouse and the courier speak to nobody
else. So whether an order can still be stopped is decided here, on one stream, however the two wishes race; the order
asks, and hears which of them came first.
"""
