"""What tests drive the program with: processes, a proxy that breaks connections, a client that records bytes."""
