"""Pictures of every kind, made by code: `valid` and `malformed` ones, and color `profiles`."""
