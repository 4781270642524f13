import Testing

@testable import NBDMount

/// Options that not every engine has.
@Suite struct EngineOptionTests {
  @Test(arguments: [("--engine threads", true), ("--engine reactor", false), ("", false)])
  func ioUringNeedsTheThreadsEngine(_ engine: String, _ isAccepted: Bool) {
    let words = engine.split(separator: " ").map(String.init) + ["-o", "io_uring", "dir", "nbd://h"]
    switch CommandLineOutcome(arguments: words) {
    case .mount(let configuration): #expect(isAccepted && configuration.fuse.usesIOUring)
    case let other: #expect(!isAccepted && "\(other)".contains("--engine threads"))
    }
  }
}
