/// Clauses about servers that have no check, and why. A test makes sure that each is here or in ``Suite/all``.
extension Suite {
  package static let reasonsWhyNot: [String: String] = [
    "TX-029": "that data is on stable storage shows only after a crash of the machine",
    "TX-072": "the server's storage has to fail in the middle of a read, which no client can bring about",
    "SR-027": "what a server still expects when it sends DONE is its own secret",
    "TLS-029": "a server without TLS has no fault, and one with TLS passes TLS-004",
  ]
}
