"""Blobs by signed links: what the server's own store gives and takes without an account, for whoever has the link."""
