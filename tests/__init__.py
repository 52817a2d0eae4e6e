"""Tests: a folder for each context, journeys, integration on real servers, load."""
