"""payment: the money of an order, as the provider keeps it for us.

Aggregate: one payment, stream = order id. An order has one payment.

Invariants: whatever moves money is asked of the provider first and then done or failed, each recorded; the first answer
to a call stands; no more is captured than was authorised; what is paid back and what is being paid back is never more
than was captured. Nothing to pay needs no provider.

The boundary is one payment because money of one order never depends on another's. It is not the order's own boundary:
a provider may be silent for hours, and an order must be placed, cancelled and told of meanwhile. payment knows amounts
and not why: when to take or to give back is the order's decision, and how to reach the provider is `provider`'s alone.
"""
