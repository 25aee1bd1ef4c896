"""`frontdesk search`: the command that makes the search index again."""
