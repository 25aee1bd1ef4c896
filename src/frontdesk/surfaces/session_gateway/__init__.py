"""The surface for agent front ends that stand before a back end of their own: sessions, their feed, forwarded tools."""
