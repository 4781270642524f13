import Glibc
import Testing

@testable import NBDMount

/// Who is being killed, and so need not be waited for any longer.
@Suite struct CallerWatchTests {
  @Test func aRunningProcessIsNot() {
    #expect(!CallerWatch.isBeingKilled(getpid()))
  }

  /// Nobody has this number: the kernel's own limit is lower. An unseen caller may still want its data.
  @Test func aProcessThatCannotBeSeenIsNot() {
    #expect(!CallerWatch.isBeingKilled(pid_t.max))
    #expect(!CallerWatch.isBeingKilled(0))
  }
}
