"""The work of each command, callable from Python: benchmark, forecast, time, replay, train, label.

Nothing here prints; how work is computed (engine, executors) does not belong here.
"""
