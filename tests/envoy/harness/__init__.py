"""What the tests stand on: a real Envoy, an upstream that remembers, clients that send exactly what they are given."""
