"""What whoever runs the program asks of it: is it alive, is it ready, what does it measure."""
