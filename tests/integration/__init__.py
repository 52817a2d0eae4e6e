"""Faults on the whole real system: what is killed, frozen, lost or forged, and what must hold afterwards."""
