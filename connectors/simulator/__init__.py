"""A fleet of meters in one process: the product's demo and load generator, and what the tests run against."""
