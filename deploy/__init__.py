"""Frontdesk past one machine: nginx's configuration, the image, and the same topology without containers."""
