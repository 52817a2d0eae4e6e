"""order: what a customer asked for, and how far that has come.

Aggregate: one order, stream = order id.

Invariants: an order is placed once, and what was placed never changes; each line is of another SKU and has an amount
that the price list decided, or that a trusted channel stated. It is confirmed only when the customer may have it, its
goods are set aside and its money is authorised. It ends cancelled, delivered or returned; what it held by then goes
back. Once it has left it cannot be cancelled, and only delivery knows whether it has.

The order is its own process manager: `process` says what it notes of others and what it asks of them, and every race
between the two is settled by its own rules. So there is one place to look, and no second record that could differ.

The boundary is one order because no rule looks at two: a shop's busiest minute is a thousand orders that need not wait
for each other. What an order needs of the world outside (prices) it holds as a copy of its own, the price list, which
may be seconds old. A shopper who states the price she saw is told when the list says another.
"""
