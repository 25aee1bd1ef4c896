"""The threads API: accounts, threads, messages and streamed answers as authenticated REST with Server-Sent Events."""
