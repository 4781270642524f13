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

  /// Some threads have to be left for the file's flush of a process that was killed.
  @Test(
    arguments: [(nil, 64, 48), (100, 64, 48), (nil, 8, 6), (20, 8, 6), (4, 64, 4), (nil, 1, 1), (nil, 3, 1)] as [(UInt32?, UInt32, UInt32)])
  func backgroundRequestsLeaveThreadsOfTheThreadsEngine(_ wanted: UInt32?, _ workers: UInt32, _ expected: UInt32) {
    #expect(ThreadsEngine.backgroundRequests(wanted, workers: workers) == expected)
  }
}
