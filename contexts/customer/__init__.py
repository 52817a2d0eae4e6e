"""customer: who may buy, and how to reach them.

Aggregate: one customer, stream = customer id.

Invariants: a customer registers once; an e-mail belongs to one open account at most, however it is written in capitals;
nothing about a closed account changes, and its id is not given again; an order is admitted or refused, never left open.

The boundary is one customer because the rule that matters looks at one: whether this customer may order now. That is
why admission is decided here, on the customer's own stream, and not by a copy that order would keep: a suspension and
an order that race stand in one line, and no order passes that comes after the suspension, by however little. Only the
e-mail looks at all customers. It is a claim, checked where events are written, on a keyed fingerprint and not on the
address itself.

Orders are not counted or kept here, so a customer's state stays small, however much she buys. Name, e-mail, phone and
address stay sealed in it: no rule reads them, so they are never compared, and a change to the same words is a change.
"""
