"""Real text in English and Russian, and questions whose answers are known: what Debian's packages carry."""
