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

  /// A line as the kernel writes it, with what matters put in.
  private static func line(name: String = "dd", state: String = "S", flags: UInt32 = 0x40_0000, signals: Int32 = 0) -> String {
    "321 (\(name)) \(state) 1 321 321 0 -1 \(flags) 100 0 0 0 1 2 0 0 20 0 1 0 5600 8000000 200 18446744073709551615 "
      + "1 2 3 0 0 \(signals) 0 4096 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0\n"
  }

  @Test(arguments: [
    (line(), false), (line(signals: 256), true), (line(signals: 256 | 2), true), (line(signals: 0x7fff_feff), false),
    // It ends, or has ended.
    (line(flags: 0x40_0004), true), (line(state: "Z", flags: 0x40_0004), false),
    // Names of the processes' own choice.
    (line(name: ") 1 2 3 4 5 6"), false), (line(name: "a b c 256 256 4"), false), (line(name: ") Z", signals: 256), true),
    ("", false), ("321 (dd", false),
  ]) func theStatTellsWhoIsBeingKilled(text: String, isKilled: Bool) {
    var stat = ThreadStat()
    for byte in text.utf8 { stat.take(byte) }
    #expect(stat.isBeingKilled == isKilled)
  }

  @Test func aLookRemembersEachProcess() {
    var look = CallerLook()
    for _ in 0..<3 {
      look.begin()
      for process in [getpid(), pid_t.max, 0, getpid(), getpid() + pid_t(2 * RequestSlots.capacity)] {
        let isKilled = look.isBeingKilled(process)
        #expect(!isKilled)
      }
    }
  }
}
