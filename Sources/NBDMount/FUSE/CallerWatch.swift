import Glibc
import NBDProtocol

/// Finds callers that are being killed.
///
/// A process that is killed must not have to wait for a server that hangs. The kernel's own way to say so, an interrupt
/// request, is not enough: it comes once, for the first signal, which most often is no reason to give up (on a healthy
/// link an answer comes soon, and programs do not expect EINTR from a file); and it does not come at all for direct I/O that
/// the kernel has made asynchronous. So the callers of requests that take long are looked at, until the answer comes or nobody is
/// left who waits for it.
enum CallerWatch {
  /// The thread is being killed, or has begun to end, which closes its files. Allocates nothing: it is asked when the server is
  /// slow, perhaps because memory is short and the server's answer would free some.
  static func isBeingKilled(_ process: pid_t) -> Bool {
    // In a namespace where the caller has no number it is 0, and nothing can be said.
    guard process > 0 else { return false }
    // A thread that cannot be seen is no proof: it may be hidden from us, or have ended and left asynchronous I/O that
    // its process still waits for. Giving that up would lose data on a server that is merely slow.
    let file = openStat(process)
    guard file >= 0 else { return false }
    defer { close(file) }
    var stat = ThreadStat()
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { bytes in
      while true {
        let count = read(file, bytes.baseAddress, bytes.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        for byte in bytes.prefix(count) { stat.take(byte) }
      }
    }
    return stat.isBeingKilled
  }

  /// Opens `/proc/PROCESS/stat`. Returns -1 where there is none.
  private static func openStat(_ process: pid_t) -> Int32 {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { path in
      path.initialize(repeating: 0)
      var end = 0
      func append(_ text: StaticString) {
        for byte in UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount) {
          path[end] = CChar(bitPattern: byte)
          end += 1
        }
      }
      append("/proc/")
      var divisor: pid_t = 1
      while process / divisor >= 10 { divisor *= 10 }
      while divisor > 0 {
        path[end] = CChar(48 + process / divisor % 10)
        end += 1
        divisor /= 10
      }
      append("/stat")
      guard let start = path.baseAddress else { return -1 }
      return open(start, O_RDONLY | O_CLOEXEC)
    }
  }
}

/// What `/proc/PROCESS/stat` says about a thread (proc_pid_stat(5)); its text comes in any pieces.
struct ThreadStat {
  /// Fields, counted from 1. The second one is the name, in parentheses, and may hold anything.
  private enum Field {
    static let name = 2
    static let state = 3
    static let flags = 9
    static let pendingSignals = 31
  }
  /// `PF_EXITING` of the kernel, in ``Field/flags``.
  private static var exiting: UInt64 { 4 }

  private var field = 1
  private var number: UInt64 = 0
  private var state: UInt8 = 0
  private var flags: UInt64 = 0
  private var pendingSignals: UInt64 = 0

  mutating func take(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: ")"):
      // The last of them is the name's end.
      self = ThreadStat()
      field = Field.name
    case UInt8(ascii: " "), UInt8(ascii: "\n"):
      if field == Field.flags { flags = number }
      if field == Field.pendingSignals { pendingSignals = number }
      field += 1
      number = 0
    case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number &* 10 &+ UInt64(byte & 0xf)
    default: if field == Field.state { state = byte }
    }
  }

  /// SIGKILL is pending: the kernel puts it there, for each thread, for every way to die of a signal. Or the thread ends, and has
  /// the pending signals behind it. One that has ended (a zombie) may have left asynchronous I/O to the others.
  var isBeingKilled: Bool {
    pendingSignals & (1 << UInt64(SIGKILL - 1)) != 0 || (flags & Self.exiting != 0 && state != UInt8(ascii: "Z"))
  }
}

/// A look at many callers, each process once: the same one often waits for many requests.
struct CallerLook: ~Copyable {
  private struct Entry {
    var process: pid_t = 0
    var look: UInt32 = 0
    var isBeingKilled = false
  }

  /// A hash table with open addressing, twice as large as there may be callers. Entries of earlier looks count as free.
  private static var capacity: Int { 2 * RequestSlots.capacity }
  private let entries: UnsafeMutablePointer<Entry>
  private var look: UInt32 = 0

  init() {
    entries = .allocate(capacity: Self.capacity)
    entries.initialize(repeating: Entry(), count: Self.capacity)
  }

  deinit { entries.deallocate() }

  /// Begins a new look: what was found before does not count any more.
  mutating func begin() { look &+= 1 }

  /// ``CallerWatch/isBeingKilled(_:)``, as found in this look. For at most ``RequestSlots/capacity`` different processes.
  mutating func isBeingKilled(_ process: pid_t) -> Bool {
    var index = Int(UInt32(bitPattern: process)) % Self.capacity
    while entries[index].look == look {
      if entries[index].process == process { return entries[index].isBeingKilled }
      index = (index + 1) % Self.capacity
    }
    entries[index] = Entry(process: process, look: look, isBeingKilled: CallerWatch.isBeingKilled(process))
    return entries[index].isBeingKilled
  }
}
