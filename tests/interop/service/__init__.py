"""A user service as a plain Django project has it; it knows nothing of a proxy before it."""
