"""Puts the program together: which adapter stands behind which port is decided here and nowhere else."""

from frontdesk.bootstrap.server import running_services
from frontdesk.bootstrap.worker import Worker, running_worker

__all__ = ["Worker", "running_services", "running_worker"]
