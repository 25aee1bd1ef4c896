"""What answers are made with beside a model: the tools that an agent may call."""
