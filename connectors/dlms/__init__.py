"""The way to a meter: the COSEM engine, and what drives it over a network."""
