"""product: what can be bought, at which price.

Aggregate: one product, stream = product id. Kept as rows, without a decider (`crud` says why).

Invariants: a price is positive; a SKU names one product, for ever, also after that product is discontinued, since old
orders name it; nothing about a discontinued product changes.

The boundary is one product because no rule looks at two, but for the uniqueness of the SKU. That is a claim, checked
where events are written, so that products need no common lock. Prices do not wait for orders, nor orders for prices:
order keeps its own price list from these events, and a shopper is never charged a price that the list does not show.
"""
