"""What operators see: logs, measurements and traces. No secret and no message text leaves through here at INFO."""
