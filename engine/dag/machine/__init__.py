"""The layers of the state machine that `engine.dag.state` puts together, each built on the one before it."""
