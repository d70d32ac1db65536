"""Many files: what to send, what became of each, and a report that adds up."""
