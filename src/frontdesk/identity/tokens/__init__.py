"""Access and refresh tokens (RFC 7519): made here, checked here, and refused here with one neutral text."""
