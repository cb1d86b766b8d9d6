"""`shallop broker check`: what any broker does, and what that means for shallop. It needs no server of ours."""
