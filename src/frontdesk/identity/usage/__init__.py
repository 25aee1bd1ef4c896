"""What each caller has used of the model, by day, and the limits on it."""
