"""The journey of an order through all six contexts."""
