/// Clauses about servers that have no check, and why. A test makes sure that each is here or in ``Suite/all``.
extension Suite {
  package static let reasonsWhyNot: [String: String] = [
    "TX-029": "that data is on stable storage shows only after a crash of the machine",
    "TX-072": "the server's storage has to fail in the middle of a read, which no client can bring about",
    "SR-027": "what a server still expects when it sends DONE is its own secret",
    "TLS-029": "a server without TLS has no fault, and one with TLS passes TLS-004",
    "TLS-048": "it is about the versions of TLS, which these checks do not speak yet",
  ].merging(
    [
      "TLS-005", "TLS-011", "TLS-013", "TLS-018", "TLS-022", "TLS-023", "TLS-024", "TLS-025", "TLS-026", "TLS-027", "TLS-028",
      "TLS-030",
      "EH-025",
    ].map { ($0, "it is about what happens inside TLS, which these checks do not speak yet") }
  ) { one, _ in one }
}
