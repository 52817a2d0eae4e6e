"""The rules of a product, as sentences."""
