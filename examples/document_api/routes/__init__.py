"""HTTP, and nothing else: what comes in is handed on, and what comes back is answered."""
