"""stock: what is on the shelves of a site, and for whom it is set aside.

Aggregate: one site, stream = site id.

Invariants: of no product more is set aside than is on hand, so nothing is sold twice; an order's goods are set aside
all together or not at all, once; what leaves was set aside before. Where a count finds less than is set aside, the
latest reservations give way, each as a whole and by name, until the rest fits.

The boundary is the site, and not the product, because an order wants several products of one site at once: with a
stream a product, all-or-nothing would need a transaction over streams, or reservations undone half-way. Here it
is one decision and one event. The price is a stream that grows with every order of its site; so its state is a map
that shares what does not change, it is kept in memory while it is in use, and snapshots spare its first events. No rule
looks at two sites. Orders that are over leave the state.
"""
