"""Chat interfaces over HTTP, for those who build them: camelCase, and failures in plain words."""
