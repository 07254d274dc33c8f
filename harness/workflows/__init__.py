"""What a command does, callable from Python: benchmark, forecast, time, replay, train, label.
Prints nothing."""
