"""Many files: a plan, a journal that survives everything, and the rows that it is made of."""
